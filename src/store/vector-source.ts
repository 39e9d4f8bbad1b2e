import type { PointId } from '../core/point-id.js';
import type { RequestLimits } from '../core/request-pacer.js';
import type { RunOptions } from '../core/run-options.js';
import type { CollectionSpec } from './collection.js';
import type {
  IdRange,
  InPartition,
  PointBatch,
  PointCondition,
  PointSample,
  SampleOptions,
  ScanOptions,
  VersionBatch,
} from './points.js';
import type { ScoredPoint, SearchRequest } from './search.js';
import type { Storage } from './storage.js';

/** A store's own keys of points: how they are written as text, and their order. */
export interface StoreKeys {
  /** Reads an id from its text. @throws INVALID_ARGUMENT for text that is no id of this store */
  readonly parse: (text: string) => PointId;
  /** Returns the text of an id, which `parse` reads. */
  readonly format: (id: PointId) => string;
  /** Store order: negative, zero or positive, as `Array.prototype.sort` expects. */
  readonly compare: (a: PointId, b: PointId) => number;
  /**
   * Returns disjoint ranges that cover every possible id, about equally full. Choose once, then store. If
   * absent, a collection is read as one range.
   */
  readonly split?: (
    collection: string,
    options: InPartition & { readonly parts: number },
  ) => Promise<readonly IdRange[]>;
}

/** How a store tells what clients have changed. */
export interface SourceChanges {
  /**
   * Returns every point's version in id order, without reading the points; null if two reads cannot be
   * compared, as with replicas.
   */
  readonly versions?: (
    collection: string,
    options?: RunOptions & InPartition,
  ) => Promise<AsyncIterable<VersionBatch> | null>;
  /** Resolves when every write that the store received before, acknowledged or not, can be read. */
  readonly waitForApplied?: (collection: string) => Promise<void>;
  /**
   * Returns the ids of all points that a condition selects, page by page, from every partition.
   * @throws INVALID_ARGUMENT when the store refuses the condition
   */
  readonly matching?: (collection: string, condition: PointCondition) => AsyncIterable<readonly PointId[]>;
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

/** What a store tells about its load and its limits, so that a copy does not disturb clients. */
export interface Load {
  /** Returns how busy the store is with a collection. Costs one small request. */
  readonly status: (collection: string) => Promise<StoreStatus>;
  /** Returns the store's limits on requests to a collection. */
  readonly limits: (collection: string) => Promise<RequestLimits>;
  /** Returns how long the store takes for a search, in milliseconds, by its own clock if it reports that. */
  readonly timeSearch: (collection: string, request: SearchRequest) => Promise<number>;
  /** Returns how many calls the store rate-limited since it was opened. Calls that were retried later count too. */
  readonly rateLimitCount: () => number;
}

/**
 * A store that vectors are read from: enough to inspect, train, search and evaluate. Every method retries
 * what is safe to retry and throws only `TldrError`. None of them changes a collection. A facet that a store
 * lacks is absent, and callers do without it or say that they need it.
 */
export interface VectorSource {
  /** Name of the kind of database. */
  readonly kind: string;
  /** Address of this store without credentials, fit to be printed. */
  readonly endpoint: string;
  readonly keys: StoreKeys;
  listCollections(): Promise<readonly string[]>;
  exists(collection: string): Promise<boolean>;
  /** Returns the settings of a collection. @throws NOT_FOUND when there is no such collection */
  describe(collection: string): Promise<CollectionSpec>;
  /** Returns the exact number of points. */
  count(collection: string, options?: InPartition): Promise<number>;
  /** Returns batches in ascending id order within `range`, with bounded memory. */
  scan(collection: string, options: ScanOptions): AsyncIterable<PointBatch>;
  /** Returns those of the points that exist, in ascending id order. */
  retrieve(
    collection: string,
    ids: readonly PointId[],
    options: InPartition & { readonly vectorName: string },
  ): Promise<PointBatch>;
  /**
   * Returns at most `size` random points that have the vector, from every partition in proportion to its
   * points. Does not read the whole collection.
   */
  sample(collection: string, options: SampleOptions): Promise<PointSample>;
  search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]>;
  /** Returns the payload in the bytes of `PointBatch.extra` as JSON text, with numbers as they are. */
  payloadJson(extra: Uint8Array): string;
  readonly storage?: Storage;
  readonly changes?: SourceChanges;
  readonly load?: Load;
  close(): Promise<void>;
}
