import type { Distance } from '../../core/distance.js';
import type { PointId } from '../../core/point-id.js';
import type { Quantization } from '../collection.js';
import type { PointCondition } from '../points.js';
import type { VectorSource } from '../vector-source.js';

/** A facet that a store may lack, by the property that holds it. `target` stands for all of `CopyTarget`. */
export type OptionalFacet =
  | 'keys.split'
  | 'storage'
  | 'changes.versions'
  | 'changes.waitForApplied'
  | 'changes.matching'
  | 'load'
  | 'target'
  | 'names'
  | 'names.over'
  | 'state'
  | 'in-place';
/** A part of the contract. Every store has the first two. */
export type ContractFacet = 'source' | 'keys' | OptionalFacet;

/** One case of the contract. Any test runner can run it. */
export interface ContractCase {
  readonly facet: ContractFacet;
  readonly name: string;
  /** Opens a store, checks it and cleans up. Rejects with an `AssertionError` if the store does otherwise. */
  readonly run: () => Promise<void>;
}

/** A point of a collection that the suite asks for. */
export interface ContractPoint {
  readonly id: PointId;
  /** Null for a point without the vector. */
  readonly vector: Float32Array | null;
  readonly payloadJson: string;
}

/** A collection that the suite asks for. */
export interface ContractCollection {
  readonly name: string;
  readonly vectorName: string;
  readonly dim: number;
  readonly distance: Distance;
  /** In the store's own order of ids. Empty if the suite writes the points itself, as to a `CopyTarget`. */
  readonly points: readonly ContractPoint[];
}

/** What the author of an adapter gives the suite for one case. */
export interface ContractStore {
  readonly store: VectorSource;
  /**
   * Returns different ids of the store's own kind, at least 520 if asked. Begin with unusual ones: the smallest, the largest, and
   * those that are easily changed on their way. A shorter list is the beginning of a longer one.
   */
  readonly ids: (count: number) => readonly PointId[];
  /** Makes a collection. Its name is free. */
  readonly makeCollection: (collection: ContractCollection) => Promise<void>;
  /** The distances by which the store can search. */
  readonly distances: readonly Distance[];
  /** Name of the vector in the collections. If absent: the default vector, ''. */
  readonly vectorName?: string;
  /** Returns a condition that selects these points, for `changes.matching`. */
  readonly conditionFor?: (ids: readonly PointId[]) => PointCondition;
  /** What `storage.measure` must find. */
  readonly measured?: {
    /** Bytes of one vector's codes. */
    readonly codeBytes: (quantization: Quantization, dim: number) => number;
    /** How many bytes a vector of a collection may take beside its components, all points together. */
    readonly overheadBytesMax: number;
  };
  /** Returns the bytes of an encoder that the store can compute, for cosine, for `in-place`. */
  readonly encoderFor?: (inputDim: number) => Uint8Array;
  /** Closes the store and removes what this case made. */
  readonly cleanUp: () => Promise<void>;
}

/** What the suite needs to know of an adapter. */
export interface Contract {
  /** The facets that the store promises to have. The suite fails if the store has others, or lacks one. */
  readonly facets: readonly OptionalFacet[];
  /**
   * Opens a store for one case. If it takes long to start a server, start one for all cases: cases never use
   * the same name.
   */
  readonly open: () => Promise<ContractStore>;
}
