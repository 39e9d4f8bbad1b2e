/**
 * What a proxy needs to know of a database's protocol: an adapter implements it, the proxy moves the bytes. Rewriting
 * is synchronous and free of input and output, so that it can run in a worker thread; everything that crosses over is
 * plain data. Where it runs in the proxy's own thread it may stop before its vectors are projected, and go on after.
 */
import type { Matrix } from '../core/matrix.js';
import type { VectorProjector } from '../store/served.js';
import type { Aliases, PermissionRequests, AffectedPoints, WriteOutcome } from '../store/write-guard.js';

/** Vectors that are to be projected before a rewrite can end. */
export interface ProjectionJob {
  readonly projector: VectorProjector;
  readonly as: 'points' | 'queries';
  /** n x inputDim. */
  readonly x: Matrix;
}

/** A rewrite that waits for its vectors, so that those of several requests can be projected together. */
export interface PendingRewrite<Result> extends ProjectionJob {
  /** Called once, with n x outputDim. */
  finish(y: Matrix): Result;
}

/** n x outputDim. */
export function projected({ projector, as, x }: ProjectionJob): Matrix {
  return as === 'points' ? projector.project(x) : projector.projectQueries(x);
}

export function isPendingRewrite<Result extends object>(
  begun: Result | PendingRewrite<Result>,
): begun is PendingRewrite<Result> {
  return 'finish' in begun;
}

/** The rewrite at its end, its vectors projected by themselves. */
export function finished<Result extends object>(begun: Result | PendingRewrite<Result>): Result {
  return isPendingRewrite(begun) ? begun.finish(projected(begun)) : begun;
}

/** A request's first line, and its headers with lower-case names. */
export interface RestHead {
  readonly method: string;
  /** Path and query exactly as they were received. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface RestRequest {
  readonly method: string;
  readonly url: string;
  readonly body: Uint8Array;
}

/** An answer that the proxy gives itself, in the database's own shape. */
export interface RestAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** '' for none. */
  readonly contentType: string;
  readonly body: string;
  /** The header of that name. */
  readonly retryAfter?: string | undefined;
}

/** How an upstream answer becomes the client's; which forms there are is the adapter's business. */
export interface AnswerForm {
  readonly form: string;
  /** The client's name of the collection. */
  readonly collection: string;
  /** True: answers below status 400 (gRPC: status 0) pass untouched, streamed. */
  readonly errorsOnly: boolean;
}

export type RestRoute =
  /** Not concerned: every byte passes in both directions. */
  | { readonly kind: 'pass' }
  /** The body passes as it is, to another address; the answer may need a change. */
  | { readonly kind: 'forward'; readonly url: string; readonly answer: AnswerForm | null }
  /** The body is to be read whole and given to `rewrite`. */
  | { readonly kind: 'rewrite' }
  | RestAnswer;

export type RestRewrite =
  | {
      readonly kind: 'send';
      readonly request: RestRequest;
      readonly answer: AnswerForm | null;
      /** Vectors that were projected. */
      readonly projected: number;
      /** The same search for the full collection as it was before, for measuring the overlap; searches only. */
      readonly search: boolean;
    }
  /** Send these with the client's credentials, then call `rewrite` again with the bodies of their answers in order. */
  | { readonly kind: 'lookup'; readonly requests: readonly RestRequest[] }
  | RestAnswer;

export interface LookupAnswer {
  readonly status: number;
  readonly body: Uint8Array;
  /** Of its headers what matters where it failed; '' and undefined for none. */
  readonly contentType: string;
  readonly retryAfter: string | undefined;
}

/** The collection that a request is about. */
export interface Addressed {
  /** A collection's own name, or an alias. */
  readonly name: string;
  /** Whether the request may change something. */
  readonly changes: boolean;
}

/** Knows what names mean to the database at the moment. */
export interface NameLookup {
  /**
   * Returns null if rewriting goes by what the name means already. Otherwise resolves as soon as it does.
   * @throws UNAVAILABLE where the database does not say
   */
  learn(addressed: Addressed): Promise<void> | null;
}

export interface RestRewriter {
  /** Returns the collection that a request is about; null for none. */
  collectionOf(head: RestHead): Addressed | null;
  route(head: RestHead): RestRoute;
  /** @param body decompressed, and not to be changed before the rewrite has ended */
  begin(
    head: RestHead,
    body: Uint8Array,
    lookups?: readonly LookupAnswer[],
  ): RestRewrite | PendingRewrite<RestRewrite>;
  /** The same to its end. */
  rewrite(head: RestHead, body: Uint8Array, lookups?: readonly LookupAnswer[]): RestRewrite;
  /** @param body decompressed; the status may be an error's */
  rewriteAnswer(form: AnswerForm, status: number, body: Uint8Array): Uint8Array;
  /** Whether a success in answer to a deletion says that there was something to delete. */
  isDeleted(body: Uint8Array): boolean;
  /** Result ids, in order, of a search's answer in the client's form; for the overlap of `--shadow`. */
  resultIds(body: Uint8Array): readonly (readonly string[])[];
}

/** Why a proxy cannot do what it was asked, whatever was asked. */
export type ProxyFailure =
  | 'too-large'
  | 'unreadable'
  /** A body in a compression that the proxy cannot read. */
  | 'unsupported'
  | 'overloaded'
  | 'unavailable'
  /** The database sends its clients to another address. */
  | 'redirected'
  | 'timeout'
  | 'internal'
  /** An address, such as `*`, that no path of the database can be. */
  | 'no-path';

/** How much came, as far as it was announced, and how much is allowed. */
export interface BodySize {
  readonly limitBytes: number;
  readonly announcedBytes: number | null;
}

/** An answer in the database's own shape for a failure of the proxy's own; `size` comes with `too-large`. */
export type FailureAnswer = (failure: ProxyFailure, message: string, size?: BodySize) => RestAnswer;

/** How a call ended. */
export interface CallStatus {
  readonly code: number;
  readonly message: string;
}

/** A status that the proxy answers with itself. */
export interface GrpcStatus extends CallStatus {
  readonly kind: 'status';
}

export type GrpcRoute =
  | { readonly kind: 'pass' }
  /** The one request message is to be read whole and given to `rewrite`. */
  | { readonly kind: 'rewrite' }
  | GrpcStatus;

export interface GrpcCall {
  /** For example `/package.Service/Method`. */
  readonly path: string;
  readonly message: Uint8Array;
}

export type GrpcRewrite =
  /** Not concerned after all: the bytes as they came. */
  | { readonly kind: 'pass' }
  | {
      readonly kind: 'send';
      readonly call: GrpcCall;
      readonly answer: AnswerForm | null;
      readonly projected: number;
      readonly search: boolean;
    }
  /**
   * Make these with the client's credentials, then call `rewrite` again with their answers in order. Where one fails,
   * its status is the client's answer, its text rewritten in the form given.
   */
  | { readonly kind: 'lookup'; readonly calls: readonly GrpcCall[]; readonly answer: AnswerForm }
  /** Answered here with one message. */
  | { readonly kind: 'reply'; readonly message: Uint8Array }
  | GrpcStatus;

export interface GrpcRewriter {
  route(path: string): GrpcRoute;
  /** Returns the collection that a call is about; null for none. */
  collectionOf(path: string, message: Uint8Array): Addressed | null;
  /** @param message decompressed, without the five bytes of framing, and not to be changed before the rewrite has ended */
  begin(
    path: string,
    message: Uint8Array,
    lookups?: readonly Uint8Array[],
  ): GrpcRewrite | PendingRewrite<GrpcRewrite>;
  /** The same to its end. */
  rewrite(path: string, message: Uint8Array, lookups?: readonly Uint8Array[]): GrpcRewrite;
  rewriteAnswer(form: AnswerForm, message: Uint8Array): Uint8Array;
  /** An error as the client should read it. */
  rewriteStatus(form: AnswerForm, status: CallStatus): CallStatus;
  /** Whether a success in answer to a deletion says that there was something to delete. */
  isDeleted(message: Uint8Array): boolean;
  /** Result ids, in order, one list per search, of the answer to a search made by this path. */
  resultIds(path: string, message: Uint8Array): readonly (readonly string[])[];
}

/** A request by the alias that its client used. */
export interface Named<Request> {
  readonly alias: string;
  /** Where it led. */
  readonly collection: string;
  readonly request: Request;
}

/** What a request means for followed collections; `Request` is as the transport has it. */
export type Change<Request, Refusal> =
  /** Nothing: it goes its usual way. */
  | { readonly kind: 'other' }
  | {
      readonly kind: 'points';
      /** The collection's configured name. */
      readonly collection: string;
      readonly touched: AffectedPoints;
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
  begin(head: RestHead, body: Uint8Array, aliases: Aliases): RestChange | PendingRewrite<RestChange>;
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
  begin(path: string, message: Uint8Array, aliases: Aliases): GrpcChange | PendingRewrite<GrpcChange>;
  /** The same to its end. */
  read(path: string, message: Uint8Array, aliases: Aliases): GrpcChange;
  /** @param text the message of a call's status */
  isPermitted(code: number, text: string): boolean;
  /** @param message the answer of a call that ended with status 0 */
  outcomeOf(message: Uint8Array): WriteOutcome;
}
