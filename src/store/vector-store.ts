import type { Distance } from '../core/distance.js';
import type { Matrix } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import type { RequestLimits } from '../core/read-turns.js';
import type { RowMemory } from '../core/row-memory.js';
import type { RunOptions } from '../core/run.js';
import type { Datatype, Quantization } from './storage-kinds.js';

export * from './storage-kinds.js';

/** One dense vector space of a collection. `name` is '' for the unnamed default vector. */
export interface DenseVectorSpec {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  /** True if a point holds a list of vectors under this name. Such vectors cannot be reduced yet. */
  readonly multivector: boolean;
  /** Bytes per stored component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** A collection's settings in vendor-neutral terms, and the vendor's own to carry over unchanged. */
export interface CollectionSpec {
  readonly name: string;
  readonly vectors: readonly DenseVectorSpec[];
  /** Names of vectors that are not dense (such as sparse ones). They are part of `PointBatch.extra`. */
  readonly otherVectors: readonly string[];
  /** Shard keys, which are copied one by one. Empty if the collection is not sharded by key. */
  readonly shardKeys: readonly ShardKey[];
  /** The collection's own metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The vendor's settings as lossless JSON text. Only the adapter that wrote it reads it. */
  readonly native: string;
}

/** A shard key as text with its kind, since "1" and 1 are different keys. */
export interface ShardKey {
  readonly kind: 'keyword' | 'number';
  readonly value: string;
}

/** How a target stores compact vectors. See `Layouts of the target` in ARCHITECTURE. */
export type Layout = 'compact' | 'two-stage';

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
}

/** One vector of a temporary collection. 'source' stores it as the source's vector is stored. */
export interface ScratchVector {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  readonly storage: VectorStorage | 'source';
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
  /** Added to the source's metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Ids from `from` (included) to `to` (excluded) in store order. Null is an open end. Plain data. */
export interface IdRange {
  readonly from: PointId | null;
  readonly to: PointId | null;
}

/**
 * Points as columns. Row i of `vectors` belongs to `ids[i]`. If `hasVector[i]` is 0, the point has no such
 * vector and the row is zero. `extra[i]` is everything else of the point (payload, other vectors) in the
 * store's own bytes, which only stores of the same `format` can read.
 */
export interface PointBatch {
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
  readonly hasVector: Uint8Array;
  readonly extra: readonly Uint8Array[];
  /** Bytes that this batch holds in memory, for flow control. */
  readonly sizeBytes: number;
}

/** One vector column of a write. Rows are as in `PointBatch`; rows with `has[i]` 0 are not written. */
export interface VectorColumn {
  readonly name: string;
  readonly matrix: Matrix;
  readonly has: Uint8Array;
}

/** Points to write. Each replaces the whole point of the same id, unless the write only inserts. */
export interface WriteBatch {
  readonly ids: readonly PointId[];
  readonly vectors: readonly VectorColumn[];
  readonly extra: readonly Uint8Array[];
}

/** Options of `VectorStore.scan`. */
export interface ScanOptions extends RunOptions {
  readonly vectorName: string;
  readonly range?: IdRange;
  readonly shardKey?: ShardKey | undefined;
  /** Most points per batch. A store may return fewer, to bound the batch's bytes. */
  readonly batchSize?: number;
  /** Memory for the batches' vectors. The caller gives a batch's vectors back when it is done with them. */
  readonly rowMemory?: RowMemory;
}

/** Options of `VectorStore.sample`. */
export interface SampleOptions extends RunOptions {
  readonly vectorName: string;
  readonly size: number;
}

/** A condition that selects points, in the store's own bytes. The adapter defines the forms. */
export interface PointCondition {
  readonly form: string;
  readonly bytes: Uint8Array;
}

/** A random sample of points. Ids are distinct within a shard key, and every point has the vector. */
export interface PointSample {
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
}

/** How a search uses quantisation codes: it fetches `oversampling` times the limit, rescored by vectors. */
export interface QuantizedSearch {
  readonly rescore: boolean;
  readonly oversampling?: number;
}

/** A search of one vector, with or without a first stage. */
export interface SearchRequest {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly withPayload?: boolean;
  /** Compare with every vector; do not use the index. */
  readonly exact?: boolean;
  /** If absent, the store decides. */
  readonly quantized?: QuantizedSearch | undefined;
  /** First stage: a search of another vector, whose results are rescored by `vector` above. */
  readonly prefetch?: Prefetch;
  readonly shardKey?: ShardKey | undefined;
}

/** The first stage of a two-stage search. */
export interface Prefetch {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly quantized?: QuantizedSearch | undefined;
}

/** A result of a search. */
export interface ScoredPoint {
  readonly id: PointId;
  readonly score: number;
  /** The payload as JSON text, with every number as the store holds it. */
  readonly payloadJson?: string;
}

/** Features of a store that differ between vendors and versions. */
export interface StoreCapabilities {
  readonly vendor: string;
  readonly version: string;
  /** Whether an upsert can leave existing points unchanged. */
  readonly insertOnly: boolean;
  /** Whether collections can hold metadata. */
  readonly metadata: boolean;
  /** Whether one request can prefetch by one vector and rescore by another. */
  readonly twoStage: boolean;
  readonly datatypes: readonly Datatype[];
  readonly quantizations: readonly Quantization[];
}

/** How busy a store is with one collection, as far as it reports that. */
export interface StoreStatus {
  /** True while the store builds indexes or merges parts of the collection. */
  readonly optimizing: boolean;
  /** The error that stopped this work; null without one. */
  readonly failure: string | null;
  /** Updates that were accepted and are not applied yet; null if the store does not report them. */
  readonly queuedUpdates: number | null;
}

/** Ids in order, with a version of each point that changes at every write. Only equality has a meaning. */
export interface VersionBatch {
  readonly ids: readonly PointId[];
  readonly versions: readonly string[];
}

/** Expected memory of one collection, in bytes. */
export interface MemoryEstimate {
  readonly vectorsRamBytes: number;
  readonly vectorsDiskBytes: number;
  readonly indexRamBytes: number;
}

/**
 * The contract of an adapter. Every method retries what is safe to retry and throws only `TldrError`.
 * Reads never change a collection. Writes are acknowledged when they are applied.
 */
export interface VectorStore {
  /** Name of the byte format of `PointBatch.extra`. */
  readonly format: string;
  /** Address of this store without credentials, fit to be printed. */
  readonly endpoint: string;
  capabilities(): Promise<StoreCapabilities>;

  listCollections(): Promise<readonly string[]>;
  exists(collection: string): Promise<boolean>;
  /** @throws NOT_FOUND */
  describe(collection: string): Promise<CollectionSpec>;
  /** Returns the exact number of points, of one shard key if given. */
  count(collection: string, options?: { readonly shardKey?: ShardKey | undefined }): Promise<number>;
  /** Returns batches in ascending id order within `range`, with bounded memory. */
  scan(collection: string, options: ScanOptions): AsyncIterable<PointBatch>;
  /**
   * Returns every point's version in id order, without reading the points; null if two reads cannot be
   * compared, as with replicas.
   */
  versions(
    collection: string,
    options?: RunOptions & { readonly shardKey?: ShardKey | undefined },
  ): Promise<AsyncIterable<VersionBatch> | null>;
  /** Returns those of the points that exist, in ascending id order. */
  retrieve(
    collection: string,
    ids: readonly PointId[],
    options: { readonly vectorName: string; readonly shardKey?: ShardKey | undefined },
  ): Promise<PointBatch>;
  /**
   * Returns the ids of all points that a condition selects, page by page, from every shard key.
   * @throws INVALID_ARGUMENT when the store refuses the condition, UNSUPPORTED when it has no conditions
   */
  matchingIds(collection: string, condition: PointCondition): AsyncIterable<readonly PointId[]>;
  /** Resolves when every write that the store received before, acknowledged or not, can be read. */
  waitForApplied(collection: string): Promise<void>;
  /** Returns disjoint ranges that cover every possible id, about equally full. Choose once, then store. */
  splitRanges(
    collection: string,
    options: { readonly parts: number; readonly shardKey?: ShardKey | undefined },
  ): Promise<readonly IdRange[]>;
  /**
   * Returns at most `size` random points that have the vector, from every shard key in proportion to its
   * points. Does not read the whole collection.
   */
  sample(collection: string, options: SampleOptions): Promise<PointSample>;

  /**
   * Returns the spec of a temporary collection that always uses its HNSW index, even when it is small enough
   * for a full scan. Pure. @throws UNSUPPORTED when the store cannot store vectors that way, NOT_FOUND
   */
  deriveScratch(source: CollectionSpec, scratch: ScratchRequest): CollectionSpec;
  /** Returns how a vector is stored, from its spec. Pure. @throws NOT_FOUND */
  vectorStorage(spec: CollectionSpec, vectorName: string): KeptVector;
  /** Measures the storage of each dense vector. May leave files in the store, which `dropScratch` removes. */
  measureVectors(collection: string, run?: RunOptions): Promise<readonly VectorBytes[]>;
  /** Removes a temporary collection and the files that measuring left. No error if there is none. */
  dropScratch(collection: string): Promise<void>;

  /** Returns the source's spec with the change. Pure. @throws UNSUPPORTED, NOT_FOUND, INVALID_ARGUMENT */
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
   * Creates the collection with shard keys and payload indexes, and holds index building back for a bulk
   * load. With `resume`, an existing collection is completed if its metadata identifies it (`identifying`).
   * @throws ALREADY_EXISTS when a collection of that name exists and is not completed
   */
  create(spec: CollectionSpec, options?: { readonly resume?: boolean }): Promise<void>;
  /**
   * Ends the bulk load: restores every setting of `spec` and waits until the collection is ready.
   * @throws TIMEOUT when the store makes no progress
   */
  finishBulkLoad(spec: CollectionSpec, run?: RunOptions): Promise<void>;
  deleteCollection(collection: string): Promise<void>;
  setMetadata(collection: string, metadata: Readonly<Record<string, string>>): Promise<void>;

  /** Writes points and waits until they are applied. With `insertOnly`, existing points stay as they are. */
  upsert(
    collection: string,
    batch: WriteBatch,
    options?: { readonly insertOnly?: boolean; readonly shardKey?: ShardKey | undefined },
  ): Promise<void>;
  /** Deletes points. Without ids, it only restores settings that an interrupted write left changed. */
  deletePoints(
    collection: string,
    ids: readonly PointId[],
    options?: { readonly shardKey?: ShardKey | undefined },
  ): Promise<void>;
  search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]>;
  /** Returns how long the store takes for a search, in milliseconds, by its own clock if it reports that. */
  timeSearch(collection: string, request: SearchRequest): Promise<number>;

  /** Returns the store's limits on requests to a collection. */
  requestLimits(collection: string): Promise<RequestLimits>;
  /** Returns how busy the store is with a collection. Costs one small request. */
  status(collection: string): Promise<StoreStatus>;
  /** Returns how many calls the store rate-limited since it was opened, including those repeated later. */
  rateLimitCount(): number;

  /** Returns all aliases of the store: alias name to collection name. */
  aliases(): Promise<ReadonlyMap<string, string>>;
  /** Points an alias at a collection in one atomic step, and creates the alias if necessary. */
  switchAlias(alias: string, collection: string): Promise<void>;
  /** Removes an alias, not its collection. No error if there is no such alias. */
  dropAlias(alias: string): Promise<void>;
  /** Returns why this store cannot use `aliasOverCollection`, for people; null if it can. Reads only. */
  shadowingRefusal(): Promise<string | null>;
  /**
   * Makes the name of an existing collection an alias of another one, in one atomic step. This hides the
   * first collection until `dropAlias` of its name; `deleteCollection` of the name removes the hidden one. A
   * store that does not promise this tries it on temporary collections first. @throws UNSUPPORTED
   */
  aliasOverCollection(name: string, collection: string): Promise<void>;
  createPayloadIndex(collection: string, field: string, schemaJson: string): Promise<void>;

  /** Returns the `PointBatch.extra` bytes of a point with this payload (JSON text) and no other vectors. */
  packRest(payloadJson: string): Uint8Array;
  /** Returns the payload in extra bytes as JSON text, with numbers as they are (`1.0` stays `1.0`). */
  payloadJson(rest: Uint8Array): string;
  /** Returns extra bytes in an order that does not depend on the server's, without the vectors named. */
  canonicalRest(rest: Uint8Array, options?: { readonly withoutVectors?: readonly string[] }): Uint8Array;
  /** Returns all components of a vector in extra bytes, of all rows of a multivector; null if absent. */
  extraFloats(rest: Uint8Array, name: string): Float32Array | null;
  /** Returns a dense vector of `dim` values from extra bytes; null if it is not there. */
  extraVector(rest: Uint8Array, name: string, dim: number): Float32Array | null;
  estimateMemory(spec: CollectionSpec, pointCount: number): MemoryEstimate;
  close(): Promise<void>;
}
