import type { PointId } from './point-id.js';
import type { PointCondition } from './vector-store.js';
import type { GrpcCall, GrpcStatus, RestAnswer, RestHead, RestRequest } from './wire.js';

/**
 * Writes to a collection that is being migrated: they go to the source, and the points they may have changed are
 * brought to the target. An adapter reads requests, the proxy sends them, a guard remembers and brings over.
 */

/** A collection that is being migrated, as requests name it. */
export interface FollowedFacts {
  /** Every name by which clients reach the source, the configured one first. */
  readonly names: readonly string[];
  /** The collections' own names. */
  readonly source: string;
  readonly target: string;
}

/** The points that a request may change; too many are no fault, one too few is. */
export interface Touched {
  readonly ids: readonly PointId[];
  readonly conditions: readonly PointCondition[];
}

/** What a request means for followed collections; `Request` is as the transport has it. */
export type Change<Request, Refusal> =
  /** Nothing: it goes its usual way. */
  | { readonly kind: 'other' }
  | {
      readonly kind: 'points';
      /** The first of the collection's names. */
      readonly collection: string;
      readonly touched: Touched;
      /** For the source, which answers when all is applied. */
      readonly request: Request;
    }
  /** A change of settings that both sides get. */
  | {
      readonly kind: 'settings';
      readonly collection: string;
      readonly source: Request;
      readonly target: Request;
    }
  | Refusal;

/** What a head or path alone says of a change: nothing, that the body has to be read, or a refusal. */
export type ChangeRoute<Refusal> = { readonly kind: 'other' } | { readonly kind: 'read' } | Refusal;
export type RestChange = Change<RestRequest, RestAnswer>;
export type GrpcChange = Change<GrpcCall, GrpcStatus>;

/** Reads changes from REST requests; pure and synchronous. */
export interface RestChanges {
  route(head: RestHead): ChangeRoute<RestAnswer>;
  /** @param body decompressed */
  read(head: RestHead, body: Uint8Array): RestChange;
  /** Whether an answer says that everything asked for has been applied. */
  isApplied(status: number, body: Uint8Array): boolean;
}

/** The same for gRPC. */
export interface GrpcChanges {
  route(path: string): ChangeRoute<GrpcStatus>;
  /** @param message decompressed, without the five bytes of framing */
  read(path: string, message: Uint8Array): GrpcChange;
  /** @param message the answer of a call that ended with status 0 */
  isApplied(message: Uint8Array): boolean;
}

/** What a write's answer is, and whether it says that everything has been applied. */
export interface Sent<Answer> {
  readonly answer: Answer;
  readonly applied: boolean;
}

/** Stands between clients' writes and the source. */
export interface WriteGuard {
  /**
   * Remembers the points, lets `send` make the write, and brings them to the target.
   * @param collection the first of its names
   * @throws UNAVAILABLE where nothing was sent, or what was written cannot be read yet; INVALID_ARGUMENT for a
   * condition that cannot be looked up
   */
  write<Answer>(collection: string, touched: Touched, send: () => Promise<Sent<Answer>>): Promise<Answer>;
}
