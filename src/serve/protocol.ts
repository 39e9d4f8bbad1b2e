/**
 * The contract between the proxy and the code that knows a database's protocol. An adapter implements it, and
 * the proxy moves the bytes. Rewriting is synchronous and does no input or output, so that it can run in a
 * worker thread. Everything that crosses the thread boundary is plain data. In the proxy's own thread, a
 * rewrite may stop before its vectors are projected and continue afterwards.
 */
import type { Matrix } from '../core/matrix.js';
import type { VectorProjector } from '../store/served.js';
import type {
  Aliases,
  PermissionRequests,
  AffectedPoints,
  WriteOutcome,
} from '../store/write-interceptor.js';

/** Vectors to project before a rewrite can finish. */
export interface ProjectionJob {
  readonly projector: VectorProjector;
  readonly as: 'points' | 'queries';
  /** The vectors, n x inputDim. */
  readonly x: Matrix;
}

/** Vectors that a client searched for, as it sent them. */
export interface SearchedVectors {
  /** The configured name of the served collection. */
  readonly collection: string;
  /** A part of them, if the request has many. */
  readonly rows: readonly Float32Array[];
}

/** Rows of a projection job that say whether clients' vectors are still of the kind that the encoder was fitted to. */
export interface RowsToCompare {
  /** The configured name of the served collection. */
  readonly collection: string;
  /** A part of them, if the request has many. */
  readonly rows: readonly number[];
  /** How many rows these stand for. */
  readonly seen: number;
}

/** A rewrite that waits for its projected vectors. The proxy projects those of several requests together. */
export interface PendingRewrite<Result> extends ProjectionJob {
  /** Set if the collection's queries are recorded. */
  readonly searched?: SearchedVectors | undefined;
  /** Set if the encoder's file tells where its training sample lies. */
  readonly toCompare?: RowsToCompare | undefined;
  /** Returns the finished rewrite. Called once. @param y projected vectors, n x outputDim */
  finish(y: Matrix): Result;
}

/** Returns the projected vectors of one job, n x outputDim. */
export function projected({ projector, as, x }: ProjectionJob): Matrix {
  return as === 'points' ? projector.project(x) : projector.projectQueries(x);
}

export function isPendingRewrite<Result extends object>(
  begun: Result | PendingRewrite<Result>,
): begun is PendingRewrite<Result> {
  return 'finish' in begun;
}

/** Returns the finished rewrite. Vectors that still wait are projected on their own. */
export function finished<Result extends object>(begun: Result | PendingRewrite<Result>): Result {
  return isPendingRewrite(begun) ? begun.finish(projected(begun)) : begun;
}

/** Method, address and headers of a request. Header names are in lower case. */
export interface RestHead {
  readonly method: string;
  /** Path and query exactly as they were received. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/**
 * A request as far as its head tells: read once, then handed on. It is plain data, which goes to a worker thread
 * with the body. An adapter adds what its own functions need.
 */
export interface ReadHead extends RestHead {
  /** The collection that the request addresses; null for none. */
  readonly addressed: Addressed | null;
  /** Whether the request may change a collection or an alias. */
  readonly changes: boolean;
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
  /** '' if the answer has none. */
  readonly contentType: string;
  readonly body: string;
  /** Value of the header `retry-after`. */
  readonly retryAfter?: string | undefined;
}

/** How an upstream answer is rewritten for the client. The adapter defines the forms. */
export interface AnswerForm {
  readonly form: string;
  /** The client's name of the collection. */
  readonly collection: string;
  /** True: answers below status 400 (gRPC: status 0) pass untouched, streamed. */
  readonly errorsOnly: boolean;
}

export type RestRoute =
  /** The proxy changes nothing: every byte passes in both directions. */
  | { readonly kind: 'pass' }
  /** The body passes unchanged to another address. The answer may need a change. */
  | { readonly kind: 'forward'; readonly url: string; readonly answer: AnswerForm | null }
  /** The proxy reads the whole body and calls `begin` with it. */
  | { readonly kind: 'rewrite' }
  | RestAnswer;

export type RestRewrite =
  | {
      readonly kind: 'send';
      readonly request: RestRequest;
      readonly answer: AnswerForm | null;
      /** Number of projected vectors. */
      readonly projected: number;
      /** Whether this is a search, which can be repeated on the full collection to measure the overlap. */
      readonly search: boolean;
    }
  /**
   * Send these requests with the client's credentials, then call `begin` again with their answers in order.
   */
  | { readonly kind: 'lookup'; readonly requests: readonly RestRequest[] }
  | RestAnswer;

export interface LookupAnswer {
  readonly status: number;
  readonly body: Uint8Array;
  /** With `retryAfter`: the headers that matter if the lookup failed; '' and undefined if absent. */
  readonly contentType: string;
  readonly retryAfter: string | undefined;
}

/** The collection that a request addresses. */
export interface Addressed {
  /** A collection's own name, or an alias. */
  readonly name: string;
  /** Whether the request may change something. */
  readonly changes: boolean;
}

/** Resolves names as the database does at the moment. */
export interface NameLookup {
  /**
   * Returns null if the rewriter already knows what the name means. Otherwise returns a promise that resolves
   * as soon as it does.
   * @throws UNAVAILABLE when the database does not say what the name means
   */
  learn(addressed: Addressed): Promise<void> | null;
}

/** The heads that it gets are those that its `read` returned, or copies of them. */
export interface RestRewriter<Head extends ReadHead = ReadHead> {
  read(head: RestHead): Head;
  route(head: Head): RestRoute;
  /** @param body decompressed; the caller must not change it before the rewrite is finished */
  begin(
    head: Head,
    body: Uint8Array,
    lookups?: readonly LookupAnswer[],
  ): RestRewrite | PendingRewrite<RestRewrite>;
  /** @param body decompressed; the status may be an error's */
  rewriteAnswer(form: AnswerForm, status: number, body: Uint8Array): Uint8Array;
  /** Returns whether the successful answer to a deletion says that something was deleted. */
  isDeleted(body: Uint8Array): boolean;
  /**
   * Returns the result ids, in order, of a search's answer in the client's form; for the overlap of
   * `--shadow`.
   */
  resultIds(body: Uint8Array): readonly (readonly string[])[];
}

/** Reasons for which the proxy cannot handle a request, independent of the request's kind. */
export type ProxyFailure =
  | 'too-large'
  | 'unreadable'
  /** A body in a compression that the proxy cannot read. */
  | 'unsupported'
  | 'overloaded'
  | 'unavailable'
  /** The database redirects its clients to another address. */
  | 'redirected'
  | 'timeout'
  | 'internal'
  /** The request's address cannot be a path of the database, for example `*`. */
  | 'no-path';

/** The announced size of a body, if known, and the allowed size. */
export interface BodySize {
  readonly limitBytes: number;
  readonly announcedBytes: number | null;
}

/** Returns the proxy's own failure as an answer in the database's shape. `size` is given with `too-large`. */
export type FailureAnswer = (failure: ProxyFailure, message: string, size?: BodySize) => RestAnswer;

/** The status with which a call ended. */
export interface CallStatus {
  readonly code: number;
  readonly message: string;
}

/** A status that the proxy answers itself. */
export interface GrpcStatus extends CallStatus {
  readonly kind: 'status';
}

export type GrpcRoute =
  | { readonly kind: 'pass' }
  /** The proxy reads the one request message and calls `begin` with it. */
  | { readonly kind: 'rewrite' }
  | GrpcStatus;

export interface GrpcCall {
  /** For example `/package.Service/Method`. */
  readonly path: string;
  readonly message: Uint8Array;
}

export type GrpcRewrite =
  /** Nothing to change after all: the bytes pass as received. */
  | { readonly kind: 'pass' }
  | {
      readonly kind: 'send';
      readonly call: GrpcCall;
      readonly answer: AnswerForm | null;
      readonly projected: number;
      readonly search: boolean;
    }
  /**
   * Make these calls with the client's credentials, then call `begin` again with their answers in order. If
   * a call fails, its status is the client's answer, with the text rewritten in the form `answer`.
   */
  | { readonly kind: 'lookup'; readonly calls: readonly GrpcCall[]; readonly answer: AnswerForm }
  /** The proxy answers itself, with one message. */
  | { readonly kind: 'reply'; readonly message: Uint8Array }
  | GrpcStatus;

export interface GrpcRewriter {
  route(path: string): GrpcRoute;
  /** Returns the collection that a call addresses; null for none. */
  collectionOf(path: string, message: Uint8Array): Addressed | null;
  /**
   * @param message decompressed, without the five bytes of framing; the caller must not change it before the
   * rewrite is finished
   */
  begin(
    path: string,
    message: Uint8Array,
    lookups?: readonly Uint8Array[],
  ): GrpcRewrite | PendingRewrite<GrpcRewrite>;
  rewriteAnswer(form: AnswerForm, message: Uint8Array): Uint8Array;
  /** Returns an error status in the form that the client reads. */
  rewriteStatus(form: AnswerForm, status: CallStatus): CallStatus;
  /** Returns whether the successful answer to a deletion says that something was deleted. */
  isDeleted(message: Uint8Array): boolean;
  /** Returns the result ids, in order, one list per search, from the answer to the search method `path`. */
  resultIds(path: string, message: Uint8Array): readonly (readonly string[])[];
}

/** A request by the alias that its client used. */
export interface Named<Request> {
  readonly alias: string;
  /** The collection that the alias led to. */
  readonly collection: string;
  readonly request: Request;
}

/** The effect of a request on mirrored collections. `Request` is the transport's type. */
export type Change<Request, Refusal> =
  /** No effect: the request is handled as usual. */
  | { readonly kind: 'other' }
  | {
      readonly kind: 'points';
      /** The collection's configured name. */
      readonly collection: string;
      readonly touched: AffectedPoints;
      /** The source's own name. */
      readonly ownName: string;
      /** The client's request with the source's own name. Everything else, `wait` included, is unchanged. */
      readonly request: Request;
      /** Set if the client used an alias: needed for credentials that are valid for the alias only. */
      readonly named: Named<Request> | null;
    }
  /** A change of settings that is made on source and target. */
  | {
      readonly kind: 'settings';
      readonly collection: string;
      readonly source: Request;
      readonly named: Named<Request> | null;
      readonly target: Request;
    }
  /**
   * A write by an alias of a collection that is not mirrored. `request` uses that collection's own name,
   * since the alias could be moved to a mirrored collection before the write arrives.
   */
  | {
      readonly kind: 'elsewhere';
      readonly request: Request;
      readonly named: Named<Request>;
    }
  | Unnamed<Request>
  | Refusal;

/**
 * A write by a name that is no alias. If it is no collection either, an alias could be created before the
 * write arrives.
 */
export interface Unnamed<Request> {
  readonly kind: 'unnamed';
  readonly name: string;
  readonly permission: Request;
}

/** The effect of a request as far as its address and names tell, before its body is read. */
export type ChangeRoute<Request, Refusal> =
  /** No effect: the request is handled as usual. */
  | { readonly kind: 'other' }
  /**
   * The body has to be read. If `permission` is null, the server checks permissions on the request itself.
   */
  | { readonly kind: 'read'; readonly permission: PermissionRequests<Request> | null }
  /** Refused. Only a client that the server grants `permission` may read the reason. */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly permission: Request }
  | Unnamed<Request>
  | Refusal;

export type RestChange = Change<RestRequest, RestAnswer>;

export type GrpcChange = Change<GrpcCall, GrpcStatus>;

/**
 * Reads changes from REST requests; pure and synchronous. For every request that may change something, the
 * proxy reads the database's aliases, since aliases are created, moved and removed while the proxy runs.
 */
export interface RestChanges<Head extends ReadHead = ReadHead> {
  /** @param aliases read after the request arrived */
  route(head: Head, aliases: Aliases): ChangeRoute<RestRequest, RestAnswer>;
  /**
   * Reads the change and refuses it if it could not be mirrored to the target. Some changes show this only
   * once their vectors are projected.
   * @param body decompressed
   * @param aliases the aliases that `route` was called with
   */
  begin(head: Head, body: Uint8Array, aliases: Aliases): RestChange | PendingRewrite<RestChange>;
  /** Returns whether the answer to a permission request grants the permission. */
  isPermitted(status: number, body: Uint8Array): boolean;
  /** Returns the outcome of a write from its answer. */
  outcomeOf(status: number, body: Uint8Array): WriteOutcome;
}

/** Reads changes from gRPC calls, as `RestChanges` does from REST requests. */
export interface GrpcChanges {
  isChange(path: string): boolean;
  /**
   * Returns the route from the collection's name alone.
   * @param message decompressed, without the five bytes of framing
   * @param aliases read after the call arrived
   */
  route(path: string, message: Uint8Array, aliases: Aliases): ChangeRoute<GrpcCall, GrpcStatus>;
  /**
   * @param message decompressed, without the five bytes of framing
   * @param aliases read after the call arrived
   */
  begin(path: string, message: Uint8Array, aliases: Aliases): GrpcChange | PendingRewrite<GrpcChange>;
  /** @param text the message of a call's status */
  isPermitted(code: number, text: string): boolean;
  /** @param message the answer of a call that ended with status 0 */
  outcomeOf(message: Uint8Array): WriteOutcome;
}
