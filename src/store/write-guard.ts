import type { Distance } from '../core/distance.js';
import type { PointId } from '../core/point-id.js';
import type { VectorProjector } from './served.js';
import type { PointCondition } from './vector-store.js';
import type {
  GrpcCall,
  GrpcStatus,
  Projecting,
  RestAnswer,
  RestHead,
  RestRequest,
} from '../serve/protocol.js';

/**
 * Writes to a collection that is being migrated: they go to the source, and the points they may have changed are
 * brought to the target. An adapter reads requests, the proxy sends them, a guard remembers and brings over.
 */

/** A collection that is being migrated. */
export interface FollowedFacts {
  /** What clients call it: the source's own name, or an alias of it. */
  readonly name: string;
  /** The collections' own names. */
  readonly source: string;
  readonly target: string;
  /** Vectors of the source that the migration may reduce: those of the encoder's size, or the one that it reduces. */
  readonly vectors: readonly FollowedVector[];
  /** Bytes of one stored component of a compact vector; those of float32 until the target exists. */
  readonly compactBytes: number;
}

/** A dense vector of a source, as the source stores it. */
export interface FollowedVector {
  readonly name: string;
  readonly distance: Distance;
  /** Bytes per component: 4 float32, 2 float16, 1 uint8. */
  readonly componentBytes: number;
}

/** With what projects its vectors, which is no plain data. */
export interface FollowedCollection extends FollowedFacts {
  readonly projector: VectorProjector;
}

/** Where every alias of the database leads. */
export type Aliases = ReadonlyMap<string, string>;

/** A request by the alias that its client used. */
export interface Named<Request> {
  readonly alias: string;
  /** Where it led. */
  readonly collection: string;
  readonly request: Request;
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
      /** The collection's configured name. */
      readonly collection: string;
      readonly touched: Touched;
      /** The source's own name. */
      readonly ownName: string;
      /** By the source's own name; in all else, `wait` included, as its client sent it. */
      readonly request: Request;
      /** Where its client used an alias: for credentials that open nothing but the alias. */
      readonly named: Named<Request> | null;
    }
  /** A change of settings that both sides get. */
  | {
      readonly kind: 'settings';
      readonly collection: string;
      readonly source: Request;
      readonly named: Named<Request> | null;
      readonly target: Request;
    }
  /**
   * A write by an alias of another collection, by that collection's own name: the alias could be moved to a followed
   * one before the write arrives.
   */
  | {
      readonly kind: 'elsewhere';
      readonly request: Request;
      readonly named: Named<Request>;
    }
  | Unnamed<Request>
  | Refusal;

/** A write by a name that no alias has: if no collection has it either, an alias could be made before it arrives. */
export interface Unnamed<Request> {
  readonly kind: 'unnamed';
  readonly name: string;
  readonly permission: Request;
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

/** What is known of a change before its body is looked into. */
export type ChangeRoute<Request, Refusal> =
  /** Nothing: it goes its usual way. */
  | { readonly kind: 'other' }
  /** Its body has to be read. Without requests for permission the server itself permits what it is sent. */
  | { readonly kind: 'read'; readonly permission: PermissionRequests<Request> | null }
  /** Refused in words that only a client with these permissions should read. */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly permission: Request }
  | Unnamed<Request>
  | Refusal;
export type RestChange = Change<RestRequest, RestAnswer>;
export type GrpcChange = Change<GrpcCall, GrpcStatus>;

/**
 * Reads changes from REST requests; pure and synchronous. What a name means is asked of the database for every request
 * that may change something: aliases are made, moved and removed while the proxy runs.
 */
export interface RestChanges {
  /** Whether a request may change something anywhere: then it takes the aliases to know what. */
  isChange(head: RestHead): boolean;
  /** @param aliases read after the request came */
  route(head: RestHead, aliases: Aliases): ChangeRoute<RestRequest, RestAnswer>;
  /**
   * Refuses what could not be brought to the target; some of it shows only once its vectors are projected.
   * @param body decompressed
   * @param aliases those that it was routed by
   */
  begin(head: RestHead, body: Uint8Array, aliases: Aliases): RestChange | Projecting<RestChange>;
  /** The same to its end. */
  read(head: RestHead, body: Uint8Array, aliases: Aliases): RestChange;
  /** Whether the answer to a request for permission gives it. */
  isPermitted(status: number, body: Uint8Array): boolean;
  /** What an answer says of the write that it answers. */
  outcomeOf(status: number, body: Uint8Array): WriteOutcome;
}

/** The same for gRPC. */
export interface GrpcChanges {
  isChange(path: string): boolean;
  /**
   * Looks at the name of the collection alone.
   * @param message decompressed, without the five bytes of framing
   * @param aliases read after the call came
   */
  route(path: string, message: Uint8Array, aliases: Aliases): ChangeRoute<GrpcCall, GrpcStatus>;
  /**
   * @param message decompressed, without the five bytes of framing
   * @param aliases read after the call came
   */
  begin(path: string, message: Uint8Array, aliases: Aliases): GrpcChange | Projecting<GrpcChange>;
  /** The same to its end. */
  read(path: string, message: Uint8Array, aliases: Aliases): GrpcChange;
  /** @param text the message of a call's status */
  isPermitted(code: number, text: string): boolean;
  /** @param message the answer of a call that ended with status 0 */
  outcomeOf(message: Uint8Array): WriteOutcome;
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
export interface WriteGuard {
  /**
   * The aliases at a moment after this was called, which `Rewriting` knows by then too.
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
  write<Answer>(collection: string, touched: Touched, send: () => Promise<Sent<Answer>>): Promise<Answer>;
}
