import type { Matrix } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import type { ReusedRowMemory } from '../core/reused-row-memory.js';
import type { RunOptions } from '../core/run-options.js';
import type { Partition } from './collection.js';

/** Ids from `from` (included) to `to` (excluded) in store order. Null is an open end. Plain data. */
export interface IdRange {
  readonly from: PointId | null;
  readonly to: PointId | null;
}

/** The partition that a request is about. If absent: the whole collection. */
export interface InPartition {
  readonly partition?: Partition | undefined;
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

/** Options of `VectorSource.scan`. */
export interface ScanOptions extends RunOptions, InPartition {
  readonly vectorName: string;
  readonly range?: IdRange;
  /** Most points per batch. A store may return fewer, to bound the batch's bytes. */
  readonly batchSize?: number;
  /** Memory for the batches' vectors. The caller gives a batch's vectors back when it is done with them. */
  readonly rowMemory?: ReusedRowMemory;
}

/** Options of `VectorSource.sample`. */
export interface SampleOptions extends RunOptions {
  readonly vectorName: string;
  readonly size: number;
}

/** A condition that selects points, in the store's own bytes. The adapter defines the forms. */
export interface PointCondition {
  readonly form: string;
  readonly bytes: Uint8Array;
}

/** A random sample of points. Ids are distinct within a partition, and every point has the vector. */
export interface PointSample {
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
}

/** Ids in order, with a version of each point that changes at every write. Only equality has a meaning. */
export interface VersionBatch {
  readonly ids: readonly PointId[];
  readonly versions: readonly string[];
}
