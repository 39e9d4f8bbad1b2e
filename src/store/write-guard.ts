import type { Distance } from '../core/distance.js';
import type { PointId } from '../core/point-id.js';
import type { VectorProjector } from './served.js';
import type { PointCondition } from './vector-store.js';

/**
 * Writes to a collection that is being migrated: they go to the source, and the points they may have changed are
 * brought to the target. An adapter reads requests, the proxy sends them, a guard remembers and brings over.
 */

/** A collection that is being migrated. */
export interface MirroredFacts {
  /** What clients call it: the source's own name, or an alias of it. */
  readonly name: string;
  /** The collections' own names. */
  readonly source: string;
  readonly target: string;
  /** Vectors of the source that the migration may reduce: those of the encoder's size, or the one that it reduces. */
  readonly vectors: readonly MirroredVector[];
  /** Bytes of one stored component of a compact vector; those of float32 until the target exists. */
  readonly compactBytes: number;
}

/** A dense vector of a source, as the source stores it. */
export interface MirroredVector {
  readonly name: string;
  readonly distance: Distance;
  /** Bytes per component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** With what projects its vectors, which is no plain data. */
export interface MirroredCollection extends MirroredFacts {
  readonly projector: VectorProjector;
}

/** Where every alias of the database leads. */
export type Aliases = ReadonlyMap<string, string>;

/** The points that a request may change; too many are no fault, one too few is. */
export interface AffectedPoints {
  readonly ids: readonly PointId[];
  readonly conditions: readonly PointCondition[];
}

/**
 * Requests for permission: the same operation with nothing to do. The server only says whether it accepts the
 * credentials for it.
 */
export interface PermissionRequests<Request> {
  /** By the source's own name. */
  readonly own: Request;
  /** By the alias that the client used, for credentials that open nothing but the alias. */
  readonly alias: Request | null;
}

/**
 * What an answer says of a write: all of it was applied; the database has logged it, for a client that did not want to
 * wait, and applies it later; or nothing that is certain.
 */
export type WriteOutcome = 'applied' | 'logged' | 'unknown';

/** What a write's answer is, and what it says of the write. */
export interface Sent<Answer> {
  readonly answer: Answer;
  readonly outcome: WriteOutcome;
}

/** Stands between clients' writes and the source. */
export interface WriteInterceptor {
  /**
   * The aliases at a moment after this was called, which `RewriteContext` knows by then too.
   * @throws UNAVAILABLE where the database does not say
   */
  aliases(): Promise<Aliases>;
  /** Whether a collection of this name has been seen. */
  isKnown(collection: string): boolean;
  /** Whether there is a collection of this name; aliases are none. @throws UNAVAILABLE as `aliases` */
  isCollection(name: string): Promise<boolean>;
  /**
   * Remembers the points, lets `send` make the write, and brings them to the target; a write whose answer says that it
   * was logged is brought there after it was answered.
   * @param collection its configured name
   * @throws UNAVAILABLE where nothing was sent, or what was written cannot be read yet; INVALID_ARGUMENT for a
   * condition that cannot be looked up
   */
  write<Answer>(
    collection: string,
    touched: AffectedPoints,
    send: () => Promise<Sent<Answer>>,
  ): Promise<Answer>;
}
