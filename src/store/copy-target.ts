import type { Distance } from '../core/distance.js';
import type { PointId } from '../core/point-id.js';
import type { RunOptions } from '../core/run-options.js';
import type { CollectionSpec, Datatype, Layout, Quantization, StorageKind } from './collection.js';
import type { InPartition, WriteBatch } from './points.js';
import type { StateStore } from './state-store.js';
import type { VectorSource } from './vector-source.js';

/** The settings that a migration changes. All others are carried over. */
export interface TargetChange {
  readonly name: string;
  readonly layout: Layout;
  /** The source vector that is reduced ('' for the default vector). */
  readonly vectorName: string;
  /** Name of the compact vector. Equal to `vectorName` in the compact layout. */
  readonly compactName: string;
  readonly compactDim: number;
  readonly compactDistance: Distance;
  /** Datatype of the compact vector. If absent: that of the source's vector. */
  readonly datatype?: Datatype | undefined;
  /**
   * Quantisation whose codes are held in memory while the compact vector is on disk, or 'none' to hold the
   * compact vector itself in memory. If absent: as the source's vector has it.
   */
  readonly quantization?: Quantization | undefined;
  /** Links of each point in the graph of the compact vector (`m` of HNSW). If absent: as the source's vector has it. */
  readonly hnswM?: number | undefined;
  /** Added to the source's metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Features that a migration asks for, and not every version of a store has. */
export interface TargetCapabilities {
  readonly datatypes: readonly Datatype[];
  readonly quantizations: readonly Quantization[];
}

/** Returns the kinds of storage among the given ones that a store lacks. */
export function lackingKinds(
  { datatypes, quantizations }: TargetCapabilities,
  kinds: readonly StorageKind[],
): StorageKind[] {
  const able: readonly string[] = [...datatypes, ...quantizations];
  return kinds.filter((kind) => !able.includes(kind));
}

/** Reads and makes the bytes of `PointBatch.extra`. Pure. */
export interface PointCodec {
  /** Name of the byte format. */
  readonly format: string;
  /** Returns the bytes of a point with this payload (JSON text) and no other vectors. */
  readonly pack: (payloadJson: string) => Uint8Array;
  /** Returns the bytes in an order that does not depend on the server's, without the vectors named. */
  readonly canonical: (
    extra: Uint8Array,
    options?: { readonly withoutVectors?: readonly string[] },
  ) => Uint8Array;
  /** Returns the bytes of the point without one of its vectors, in the same format. */
  readonly withoutVector: (extra: Uint8Array, name: string) => Uint8Array;
  /** Returns all components of a vector, of all rows of a multivector; null if it is not there. */
  readonly floats: (extra: Uint8Array, name: string) => Float32Array | null;
  /** Returns a dense vector of `dim` values; null if it is not there. */
  readonly vector: (extra: Uint8Array, name: string, dim: number) => Float32Array | null;
}

/** Names that lead to collections and can be switched, such as aliases. */
export interface CollectionNames {
  /** Returns all names of the store that are not collections' own: name to collection. */
  readonly all: () => Promise<ReadonlyMap<string, string>>;
  /** Makes a name lead to a collection in one atomic step, and creates the name if necessary. */
  readonly switch: (name: string, collection: string) => Promise<void>;
  /** Removes a name, not its collection. No error if there is no such name. */
  readonly drop: (name: string) => Promise<void>;
  /** Names that hide a collection of the same name. */
  readonly over?: HidingNames;
}

/** Makes the own name of a collection lead to another one. */
export interface HidingNames {
  /** Returns why this store cannot do so, for people; null if it can. Reads only. */
  readonly refusal: () => Promise<string | null>;
  /**
   * Makes the name of an existing collection lead to another one, in one atomic step. This hides the first
   * collection until the name is dropped; `CopyTarget.drop` of the name removes the hidden one. A store that
   * does not promise this tries it on temporary collections first.
   * @throws UNSUPPORTED when the store cannot do so
   */
  readonly hide: (name: string, collection: string) => Promise<void>;
}

/** A store that a migration can copy a collection to. Writes are acknowledged when they are applied. */
export interface CopyTarget extends VectorSource {
  readonly capabilities: TargetCapabilities;
  readonly codec: PointCodec;
  /**
   * Returns the source's spec with the change. Pure. If the source is itself a two-stage target whose full
   * vector is reduced again, the spec has the settings of the collection from which that target was made, and
   * not its hidden vector (`hiddenVectorOf`).
   * @throws UNSUPPORTED when the store cannot store the target in this way
   * @throws NOT_FOUND when the source has no such vector
   * @throws INVALID_ARGUMENT when the change is impossible, for example by a name that is taken
   */
  deriveTarget(source: CollectionSpec, change: TargetChange): CollectionSpec;
  /**
   * Returns one readable line for each setting in which two specs differ, except names and metadata. Pure.
   * `loading` ignores settings that are held back between `create` and `finishBulkLoad`. `creating` also
   * ignores settings that `create` adds one by one after it made the collection.
   */
  differences(
    expected: CollectionSpec,
    actual: CollectionSpec,
    options?: { readonly loading?: boolean; readonly creating?: boolean },
  ): readonly string[];
  /**
   * Creates the collection with all its settings, and holds index building back for a bulk load. With
   * `resume`, an existing collection is completed if its metadata identifies it (`identifying`).
   * @throws ALREADY_EXISTS when a collection of that name exists and is not completed
   */
  create(spec: CollectionSpec, options?: { readonly resume?: boolean }): Promise<void>;
  /**
   * Ends the bulk load: restores every setting of `spec` and waits until the collection is ready.
   * @throws TIMEOUT when the store makes no progress
   */
  finishBulkLoad(spec: CollectionSpec, run?: RunOptions): Promise<void>;
  drop(collection: string): Promise<void>;
  setMetadata(collection: string, metadata: Readonly<Record<string, string>>): Promise<void>;
  /**
   * Writes points and waits until they are applied. Each replaces the whole point of the same id: nothing of its payload
   * and none of its vectors stays, whatever the store does by itself.
   */
  upsert(collection: string, batch: WriteBatch, options?: InPartition): Promise<void>;
  /** Removes points. Without ids, it only restores settings that an interrupted write left changed. */
  remove(collection: string, ids: readonly PointId[], options?: InPartition): Promise<void>;
  readonly names?: CollectionNames;
  /** Keeps the states of migrations in the database. */
  readonly state?: StateStore;
}

/** Returns whether a migration can copy a collection to this store. */
export function isCopyTarget(store: VectorSource): store is CopyTarget {
  return 'codec' in store;
}
