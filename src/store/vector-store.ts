import type { Distance } from '../core/distance.js';
import type { Matrix } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import type { RequestLimits } from '../core/read-turns.js';
import type { RowMemory } from '../core/row-memory.js';
import type { RunOptions } from '../core/run.js';

/** One dense vector space of a collection. `name` is '' for the unnamed default vector. */
export interface DenseVectorSpec {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  /** True when one point holds a list of vectors under this name; such vectors cannot be reduced yet. */
  readonly multivector: boolean;
  /** Bytes per stored component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** A collection's shape in neutral terms, plus everything the vendor wants carried over, untouched. */
export interface CollectionSpec {
  readonly name: string;
  readonly vectors: readonly DenseVectorSpec[];
  /** Names of vectors that are not dense (sparse and the like); they travel inside `PointBatch.rest`. */
  readonly otherVectors: readonly string[];
  /** Shard keys to be copied one by one; empty where the collection is not sharded by key. */
  readonly shardKeys: readonly ShardKey[];
  /** The collection's own metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The vendor's settings as JSON text (lossless); only the adapter that wrote it reads it. */
  readonly native: string;
}

/** Kept as text with its kind, since "1" and 1 are different keys. */
export interface ShardKey {
  readonly kind: 'keyword' | 'number';
  readonly value: string;
}

/** Where the reduced vectors go. See `Layouts of the target` in ARCHITECTURE. */
export type Layout = 'compact' | 'two-stage';

/** How the components of a stored vector are written. */
export const DATATYPES = ['float32', 'float16', 'uint8'] as const;
export type Datatype = (typeof DATATYPES)[number];

/** Codes searched instead of the vectors: one byte per component, product codes 8 to 32 times smaller, or bits. */
export const QUANTIZATIONS = [
  'none',
  'scalar',
  'product-x8',
  'product-x16',
  'product-x32',
  'binary',
] as const;
export type Quantization = (typeof QUANTIZATIONS)[number];

/** How one vector is kept. With a quantisation the codes are held in memory. */
export interface VectorStorage {
  readonly datatype: Datatype;
  readonly quantization: Quantization;
  /** The vector itself is read from disk when needed instead of held in memory. */
  readonly onDisk: boolean;
  readonly indexed: boolean;
}

/** How an existing vector is kept, and which parts of it stay in memory. */
export interface KeptVector extends VectorStorage {
  readonly codesInMemory: boolean;
  readonly indexInMemory: boolean;
}

/** One vector of a scratch collection; 'source' keeps it as the source's vector is kept. */
export interface ScratchVector {
  readonly name: string;
  readonly dim: number;
  readonly distance: Distance;
  readonly storage: VectorStorage | 'source';
}

/** A collection to measure in and remove: many ways of keeping the vectors of the same points. */
export interface ScratchRequest {
  readonly name: string;
  /** The vector of the source whose index settings are used for all. */
  readonly vectorName: string;
  readonly vectors: readonly ScratchVector[];
  /** JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What one vector of a collection takes up, as the store wrote it. */
export interface VectorBytes {
  readonly name: string;
  readonly vectorBytes: number;
  /** Codes of the quantisation; 0 without one. */
  readonly codeBytes: number;
  /** What the codes need whatever the number of points: code books. */
  readonly codeBookBytes: number;
  readonly indexBytes: number;
  /** Bytes that the index of one point grows by when the number of points doubles. */
  readonly indexGrowthBytes: number;
}

/** What a migration changes about a collection; everything else is carried over. */
export interface TargetChange {
  readonly name: string;
  readonly layout: Layout;
  /** The source vector that is reduced ('' for the default vector). */
  readonly vectorName: string;
  /** Name of the reduced vector: equal to `vectorName` in the compact layout. */
  readonly compactName: string;
  readonly compactDim: number;
  readonly compactDistance: Distance;
  /** How the reduced vector is written; where absent as the source's vector is. */
  readonly datatype?: Datatype | undefined;
  /**
   * Codes held in memory while the reduced vector goes to disk, or 'none' with the reduced vector in memory; where
   * absent as the source's vector has it.
   */
  readonly quantization?: Quantization | undefined;
  /** Added to the source's metadata: JSON text per top-level key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Ids from `from` (included) to `to` (excluded) in store order; null means open. Plain data. */
export interface IdRange {
  readonly from: PointId | null;
  readonly to: PointId | null;
}

/**
 * Points as columns. Row i of `vectors` belongs to `ids[i]`; where `hasVector[i]` is 0 the point has no such
 * vector and the row is zero. `rest[i]` is everything else of the point (payload, other vectors) in the
 * store's own bytes: opaque, and only meaningful to stores of the same `format`.
 */
export interface PointBatch {
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
  readonly hasVector: Uint8Array;
  readonly extra: readonly Uint8Array[];
  /** Bytes this batch holds in memory, for flow control. */
  readonly sizeBytes: number;
}

/** One vector column of a write: rows as in `PointBatch`; rows with `has[i]` 0 are not written. */
export interface VectorColumn {
  readonly name: string;
  readonly matrix: Matrix;
  readonly has: Uint8Array;
}

/** Points to write: replaces a point of the same id as a whole, unless inserting only. */
export interface WriteBatch {
  readonly ids: readonly PointId[];
  readonly vectors: readonly VectorColumn[];
  readonly extra: readonly Uint8Array[];
}

export interface ScanOptions extends RunOptions {
  readonly vectorName: string;
  readonly range?: IdRange;
  readonly shardKey?: ShardKey | undefined;
  /** Points per batch at most; stores may return less to keep a batch's bytes bounded. */
  readonly batchSize?: number;
  /** Where the vectors of batches may be put; whoever is done with those of one gives them back to it. */
  readonly rowMemory?: RowMemory;
}

export interface SampleOptions extends RunOptions {
  readonly vectorName: string;
  readonly size: number;
}

/** What selects points, in the store's own bytes; which forms there are is the adapter's business. */
export interface PointCondition {
  readonly form: string;
  readonly bytes: Uint8Array;
}

/** A random sample: ids are distinct within a shard key, every one of them has the vector. */
export interface PointSample {
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
}

/** How codes are used: ask for `oversampling` times the limit and rescore those with the vectors themselves. */
export interface QuantizedSearch {
  readonly rescore: boolean;
  readonly oversampling?: number;
}

export interface SearchRequest {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly withPayload?: boolean;
  /** Compare with every vector instead of walking the index. */
  readonly exact?: boolean;
  /** Where absent the store decides. */
  readonly quantized?: QuantizedSearch | undefined;
  /** First stage: candidates found on another vector, rescored by `vector` above. */
  readonly prefetch?: Prefetch;
  readonly shardKey?: ShardKey | undefined;
}

export interface Prefetch {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly quantized?: QuantizedSearch | undefined;
}

export interface ScoredPoint {
  readonly id: PointId;
  readonly score: number;
  /** JSON text with every number as the store holds it. */
  readonly payloadJson?: string;
}

/** What differs between vendors and versions, as data. */
export interface StoreCapabilities {
  readonly vendor: string;
  readonly version: string;
  /** Upsert can leave existing points untouched. */
  readonly insertOnly: boolean;
  /** Collections can carry metadata. */
  readonly metadata: boolean;
  /** Prefetch on one vector, rescore on another, in one request. */
  readonly twoStage: boolean;
  readonly datatypes: readonly Datatype[];
  readonly quantizations: readonly Quantization[];
}

/** How busy a store is with one collection, as far as it says. */
export interface StoreStatus {
  /** Indexes are being built or parts of the collection merged. */
  readonly optimizing: boolean;
  /** Why it cannot do that any more, or null. */
  readonly failure: string | null;
  /** Updates that were accepted and are not applied yet; null where the store does not tell. */
  readonly queuedUpdates: number | null;
}

/** Points in id order with what changes at every write on them; only good to be compared with itself. */
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
 * What an adapter offers. Every method retries what is safe to retry and throws only `TldrError`.
 * Reading never changes a collection. Writes are acknowledged when they are applied.
 */
export interface VectorStore {
  /** Names the byte format of `PointBatch.rest`. */
  readonly format: string;
  /** Where this store is, printable: no credentials. */
  readonly endpoint: string;
  capabilities(): Promise<StoreCapabilities>;

  listCollections(): Promise<readonly string[]>;
  exists(collection: string): Promise<boolean>;
  /** @throws NOT_FOUND */
  describe(collection: string): Promise<CollectionSpec>;
  /** Exact number of points; of one shard key when given. */
  count(collection: string, options?: { readonly shardKey?: ShardKey | undefined }): Promise<number>;
  /** Batches in ascending id order within `range`, with bounded memory. */
  scan(collection: string, options: ScanOptions): AsyncIterable<PointBatch>;
  /**
   * Every point's version, in id order and without reading the points; null where two readings cannot be compared,
   * as between replicas.
   */
  versions(
    collection: string,
    options?: RunOptions & { readonly shardKey?: ShardKey | undefined },
  ): Promise<AsyncIterable<VersionBatch> | null>;
  /** The points of these ids that exist, in ascending id order. */
  retrieve(
    collection: string,
    ids: readonly PointId[],
    options: { readonly vectorName: string; readonly shardKey?: ShardKey | undefined },
  ): Promise<PointBatch>;
  /**
   * Ids of all points that a condition selects, page by page, those of every shard key.
   * @throws INVALID_ARGUMENT for a condition that the store does not take, UNSUPPORTED where it has none
   */
  matchingIds(collection: string, condition: PointCondition): AsyncIterable<readonly PointId[]>;
  /** Resolves when every write that the store took before, acknowledged or not, can be read. */
  waitForApplied(collection: string): Promise<void>;
  /** Disjoint ranges that cover every possible id, about equally full: to be chosen once and stored. */
  splitRanges(
    collection: string,
    options: { readonly parts: number; readonly shardKey?: ShardKey | undefined },
  ): Promise<readonly IdRange[]>;
  /**
   * At most `size` random points that have the vector, without reading the whole collection; from every shard key
   * in proportion to its points.
   */
  sample(collection: string, options: SampleOptions): Promise<PointSample>;

  /**
   * The spec of a scratch collection whose indexes are walked even where comparing everything would be as fast;
   * pure. @throws UNSUPPORTED for a way of keeping vectors that the store lacks, NOT_FOUND
   */
  deriveScratch(source: CollectionSpec, scratch: ScratchRequest): CollectionSpec;
  /** How a vector is kept, from its spec; pure. @throws NOT_FOUND */
  vectorStorage(spec: CollectionSpec, vectorName: string): KeptVector;
  /** What each dense vector takes up, measured. May leave files behind in a store that `dropScratch` clears. */
  measureVectors(collection: string, run?: RunOptions): Promise<readonly VectorBytes[]>;
  /** Removes a scratch collection and all that measuring left; no error where there is none. */
  dropScratch(collection: string): Promise<void>;

  /** The source's spec with the change applied; pure. @throws UNSUPPORTED, NOT_FOUND, INVALID_ARGUMENT */
  deriveTarget(source: CollectionSpec, change: TargetChange): CollectionSpec;
  /**
   * Settings in which two specs differ, one readable line each, names and metadata aside; pure. With `loading`,
   * settings held back between `create` and `finish` are left out; with `creating`, those too that `create` adds
   * one by one once the collection is there.
   */
  differences(
    expected: CollectionSpec,
    actual: CollectionSpec,
    options?: { readonly loading?: boolean; readonly creating?: boolean },
  ): readonly string[];
  /**
   * Creates the collection with shard keys and payload indexes, index building held back for a bulk load. With
   * `resume` a collection that says it is this one is completed, as after a crash in the middle: by `METADATA_KEY` of its
   * metadata, or without that by all of it, `RECORD_KEY` aside.
   * @throws ALREADY_EXISTS
   */
  create(spec: CollectionSpec, options?: { readonly resume?: boolean }): Promise<void>;
  /**
   * Ends the bulk load: restores every setting of `spec` and waits until the collection is ready.
   * @throws TIMEOUT when it does not get on
   */
  finishBulkLoad(spec: CollectionSpec, run?: RunOptions): Promise<void>;
  deleteCollection(collection: string): Promise<void>;
  setMetadata(collection: string, metadata: Readonly<Record<string, string>>): Promise<void>;

  /** Writes and waits until applied. With `insertOnly` existing points stay as they are. */
  upsert(
    collection: string,
    batch: WriteBatch,
    options?: { readonly insertOnly?: boolean; readonly shardKey?: ShardKey | undefined },
  ): Promise<void>;
  /** Without ids it only ends what an interrupted write left of the collection's settings. */
  deletePoints(
    collection: string,
    ids: readonly PointId[],
    options?: { readonly shardKey?: ShardKey | undefined },
  ): Promise<void>;
  search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]>;
  /** How long the store works on such a search, in milliseconds: by its own clock where it tells. */
  timeSearch(collection: string, request: SearchRequest): Promise<number>;

  /** What the store lets through of a collection. */
  requestLimits(collection: string): Promise<RequestLimits>;
  /** How busy the store is with a collection: one small request. */
  status(collection: string): Promise<StoreStatus>;
  /** Calls that the store turned away as too many since it was opened here, those repeated with success included. */
  rateLimitCount(): number;

  /** Alias name to collection name, of the whole store. */
  aliases(): Promise<ReadonlyMap<string, string>>;
  /** Points an alias at a collection in one atomic step, creating it if need be. */
  switchAlias(alias: string, collection: string): Promise<void>;
  /** Removes an alias; what it led to stays. No error where there is none. */
  dropAlias(alias: string): Promise<void>;
  /** Why `aliasOverCollection` cannot be used on this store, in words, or null; reads only. */
  shadowingRefusal(): Promise<string | null>;
  /**
   * Lets the name of an existing collection lead to another one, in one atomic step: the first is hidden until
   * `dropAlias` of its name, and `deleteCollection` of the name removes the hidden one. A store that does not
   * promise this tries it on collections of its own first. @throws UNSUPPORTED
   */
  aliasOverCollection(name: string, collection: string): Promise<void>;
  createPayloadIndex(collection: string, field: string, schemaJson: string): Promise<void>;

  /** A point's rest bytes from its payload as JSON text; no other vectors. */
  packRest(payloadJson: string): Uint8Array;
  /** The payload inside rest bytes as JSON text, numbers kept as they are (`1.0` stays `1.0`). */
  payloadJson(rest: Uint8Array): string;
  /** The same rest always gives the same bytes, whatever order the server sent it in; vectors may be left out. */
  canonicalRest(rest: Uint8Array, options?: { readonly withoutVectors?: readonly string[] }): Uint8Array;
  /** Every component of another vector of a point, of all rows of a multivector, or null. */
  extraFloats(rest: Uint8Array, name: string): Float32Array | null;
  /** A dense vector of `dim` values among the other vectors of a point, or null. */
  extraVector(rest: Uint8Array, name: string, dim: number): Float32Array | null;
  estimateMemory(spec: CollectionSpec, pointCount: number): MemoryEstimate;
  close(): Promise<void>;
}
