import type { Distance } from '../core/distance.js';
import type { RunOptions } from '../core/run-options.js';
import type { CollectionSpec, Datatype, Quantization } from './collection.js';

/** How one vector is stored. With a quantisation, the codes are held in memory. */
export interface VectorStorage {
  readonly datatype: Datatype;
  readonly quantization: Quantization;
  /** True if the vector is read from disk when needed; false if it is held in memory. */
  readonly onDisk: boolean;
  readonly indexed: boolean;
}

/** How an existing vector is stored, and which parts of it stay in memory. */
export interface KeptVector extends VectorStorage {
  readonly codesInMemory: boolean;
  readonly indexInMemory: boolean;
  /**
   * Links of each point in the graph (`m` of HNSW) with which a target or a temporary collection stores the vector if
   * nothing else is asked of it; 0 for no graph.
   */
  readonly hnswM: number;
}

/** One vector of a temporary collection. 'source' stores it as the source's vector is stored. */
export interface ScratchVector {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  readonly storage: VectorStorage | 'source';
  /** Links of each point in its graph; if absent, as the source's vector has it. */
  readonly hnswM?: number | undefined;
  /** Searched by these first components alone, for stores with `Storage.beside`. If absent: by all. */
  readonly prefix?: number | undefined;
}

/** A temporary collection for measurements, with the vectors of the same points stored in several ways. */
export interface ScratchRequest {
  readonly name: string;
  /** The source vector whose index settings all vectors use. */
  readonly vectorName: string;
  readonly vectors: readonly ScratchVector[];
  /** JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Storage that one vector of a collection takes up, as measured in the store. */
export interface VectorBytes {
  readonly name: string;
  readonly vectorBytes: number;
  /** Bytes of the quantisation's codes; 0 without a quantisation. */
  readonly codeBytes: number;
  /** Bytes of the code books, which do not depend on the number of points. */
  readonly codeBookBytes: number;
  readonly indexBytes: number;
  /** Bytes that the index of one point grows by when the number of points doubles. */
  readonly indexGrowthBytes: number;
}

/** Expected memory of one collection, in bytes. */
export interface MemoryEstimate {
  readonly vectorsRamBytes: number;
  readonly vectorsDiskBytes: number;
  readonly indexRamBytes: number;
}

/** What a store knows of the memory that vectors take up. `plan` also needs the measurements. */
export interface Storage {
  /**
   * Returns how a vector is stored, according to the collection's spec. Pure.
   * @throws NOT_FOUND when the spec has no such vector
   */
  readonly of: (spec: CollectionSpec, vectorName: string) => KeptVector;
  /** Returns the expected memory of a collection with this many points. Pure. */
  readonly estimate: (spec: CollectionSpec, pointCount: number) => MemoryEstimate;
  /**
   * Returns the spec of a temporary collection that always uses its vector index, even when it is small
   * enough for a full scan. Pure. @throws UNSUPPORTED when the store
   * cannot store vectors that way, NOT_FOUND when the source has no such vector
   */
  readonly scratch: (source: CollectionSpec, scratch: ScratchRequest) => CollectionSpec;
  /** Measures the storage of each dense vector. May leave files in the store, which `dropScratch` removes. */
  readonly measure: (collection: string, run?: RunOptions) => Promise<readonly VectorBytes[]>;
  /**
   * Removes a temporary collection and the files that `measure` made in the store, such as snapshots. No error
   * if there is none.
   */
  readonly dropScratch: (collection: string) => Promise<void>;
}
