import type { Distance } from '../core/distance.js';
import type { PointId } from '../core/point-id.js';
import type { VectorProjector } from './served.js';
import type { PointCondition } from './points.js';

/**
 * Dual writes to a collection during its migration. Each write goes to the source; then the points that it
 * may have changed are brought to the target. The adapter reads requests, the proxy sends them, and the write
 * interceptor journals the points and brings them over.
 */

/** A collection during its migration behind the proxy: plain data. */
export interface MirroredFacts {
  /** The name that clients use: the source's own name, or an alias of it. */
  readonly name: string;
  /** The collections' own names, not aliases. */
  readonly source: string;
  readonly target: string;
  /** Source vectors that the migration reduces or, while that is unknown, all of the encoder's input size. */
  readonly vectors: readonly MirroredVector[];
  /** Bytes of one stored component of a compact vector. Those of float32 until the target exists. */
  readonly compactBytes: number;
}

/** A dense vector of a source, as the source stores it. */
export interface MirroredVector {
  readonly name: string;
  readonly distance: Distance;
  /** Bytes per component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** The facts with the projector, which is not plain data. */
export interface MirroredCollection extends MirroredFacts {
  readonly projector: VectorProjector;
}

/** All aliases of the database: alias name to collection name. */
export type Aliases = ReadonlyMap<string, string>;

/** The points that a request may change. It may name too many points, but must not miss one. */
export interface AffectedPoints {
  readonly ids: readonly PointId[];
  readonly conditions: readonly PointCondition[];
}

/**
 * Requests that ask for permission only: the client's operation with nothing to do. The server's answer says
 * whether it accepts the credentials.
 */
export interface PermissionRequests<Request> {
  /** The request by the source's own name. */
  readonly own: Request;
  /** The request by the alias that the client used, for credentials that allow only the alias. */
  readonly alias: Request | null;
}

/**
 * State of a write, according to the database's answer. `applied`: all of it was applied. `logged`: the
 * client did not wait, and the database applies it later. `unknown`: the answer does not say.
 */
export type WriteOutcome = 'applied' | 'logged' | 'unknown';

/** The answer to a write, and the state of the write. */
export interface Sent<Answer> {
  readonly answer: Answer;
  readonly outcome: WriteOutcome;
}

/** Intercepts clients' writes to the source of a migration. */
export interface WriteInterceptor {
  /**
   * Returns the aliases as of a moment after this call. `RewriteContext` knows them too by then.
   * @throws UNAVAILABLE when they cannot be read from the database
   */
  aliases(): Promise<Aliases>;
  /** Returns whether a collection of this name has been seen. */
  isKnown(collection: string): boolean;
  /** Returns whether a collection has this name. Aliases do not count. @throws UNAVAILABLE as `aliases` */
  isCollection(name: string): Promise<boolean>;
  /**
   * Journals the points, calls `send` to make the write, and brings the points to the target. If the write
   * was only logged, its points are brought over after the client was answered.
   * @param collection its configured name
   * @throws UNAVAILABLE when nothing was sent, or the written points cannot be read yet
   * @throws INVALID_ARGUMENT when a condition cannot be looked up
   */
  write<Answer>(
    collection: string,
    touched: AffectedPoints,
    send: () => Promise<Sent<Answer>>,
  ): Promise<Answer>;
}
