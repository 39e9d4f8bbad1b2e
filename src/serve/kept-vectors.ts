import { row, type Matrix } from '../core/matrix.js';
import type { PendingRewrite, ProjectionJob, SearchedVectors } from './protocol.js';

/** Compact vectors of one request: points that a client wrote, or vectors that it searched for. */
export interface CompactVectors {
  /** The configured name of the served collection. */
  readonly collection: string;
  /** Fingerprint of the encoder that projected them. */
  readonly encoder: string;
  readonly as: ProjectionJob['as'];
  readonly rows: readonly Float32Array[];
  /** How many vectors of the request the rows stand for. */
  readonly seen: number;
}

/** Vectors of a request that are used for more than the request itself, once the database has accepted it. */
export interface KeptVectors {
  /** Set if the collection's queries are recorded. */
  readonly searched?: SearchedVectors | undefined;
  /** Set if the encoder's file tells where its training sample lies. */
  readonly compact?: CompactVectors | undefined;
}

/** Returns the finished rewrite and the vectors to keep. @param y projected vectors, n x outputDim */
export function finishedWith<Result>(
  pending: PendingRewrite<Result>,
  y: Matrix,
): { readonly result: Result; readonly kept: KeptVectors | undefined } {
  const { searched, toCompare, projector, as } = pending;
  const result = pending.finish(y);
  if (searched === undefined && toCompare === undefined) return { result, kept: undefined };
  // Copies, since the matrix may be that of several requests.
  const compact = toCompare && {
    collection: toCompare.collection,
    encoder: projector.fingerprint,
    as,
    rows: toCompare.rows.map((i) => row(y, i).slice()),
    seen: toCompare.seen,
  };
  return { result, kept: { searched, compact } };
}
