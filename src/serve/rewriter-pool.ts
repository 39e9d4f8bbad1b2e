import type { Aliases, WriteOutcome } from '../store/write-interceptor.js';
import {
  isPendingRewrite,
  type Addressed,
  type AnswerForm,
  type CallStatus,
  type GrpcCall,
  type GrpcRoute,
  type GrpcStatus,
  type ReadHead,
  type RestAnswer,
  type RestHead,
  type RestRequest,
  type RestRoute,
  type ChangeRoute,
} from './protocol.js';
import { ProjectionQueue } from './projection-queue.js';
import { finishedWith } from './kept-vectors.js';
import type { Rewriters } from './proxy-options.js';
import {
  begin,
  type RewriteThreads,
  type RewriteResults,
  type RewriteTask,
  type Rewritten,
} from './rewrite-threads.js';

/**
 * Rewrites requests for one state of the configuration. Small bodies are rewritten at once, and their vectors
 * are projected together with those of other requests. Large bodies are rewritten in worker threads, so that
 * the event loop is never blocked for long. A request uses one state from its beginning to its end. A
 * replaced state is closed when its last request has ended.
 */
export class RewriterPool {
  readonly #rewriters: Rewriters;
  readonly #pool: RewriteThreads | null;
  readonly #workerBytesMin: number;
  readonly #projections = new ProjectionQueue();
  #users = 0;
  #retired = false;

  constructor(rewriters: Rewriters, pool: RewriteThreads | null, workerBytesMin: number) {
    this.#rewriters = rewriters;
    this.#pool = pool;
    this.#workerBytesMin = workerBytesMin;
  }

  /** Keeps this state open until `release` is called once. */
  use(): this {
    this.#users++;
    return this;
  }

  /** Releases this state, and returns `next`, held in its place. */
  exchangedFor(next: RewriterPool): RewriterPool {
    const held = next.use();
    this.release();
    return held;
  }

  release(): void {
    this.#users--;
    this.#closeIfUnused();
  }

  /** Closes this state once its last request has ended. No new request may use it. */
  retire(): void {
    this.#retired = true;
    this.#closeIfUnused();
  }

  readRest(head: RestHead): ReadHead {
    return this.#rewriters.rest.read(head);
  }

  /** Returns the collection that a call addresses; null for none. */
  grpcCollection(path: string, message: Uint8Array): Addressed | null {
    return this.#rewriters.grpc.collectionOf(path, message);
  }

  routeRest(head: ReadHead): RestRoute {
    return this.#rewriters.rest.route(head);
  }

  /** Returns whether a request may change a mirrored collection. */
  isRestChange({ changes }: ReadHead): boolean {
    return changes && this.#rewriters.changes !== undefined;
  }

  isGrpcChange(path: string): boolean {
    return this.#rewriters.changes?.grpc.isChange(path) === true;
  }

  /** Returns the effect on mirrored collections as far as the request's head tells. */
  routeRestChange(head: ReadHead, aliases: Aliases): ChangeRoute<RestRequest, RestAnswer> {
    return this.#rewriters.changes?.rest.route(head, aliases) ?? { kind: 'other' };
  }

  /** Returns the effect on mirrored collections as far as the call's collection name tells. */
  routeGrpcChange(path: string, message: Uint8Array, aliases: Aliases): ChangeRoute<GrpcCall, GrpcStatus> {
    return this.#rewriters.changes?.grpc.route(path, message, aliases) ?? { kind: 'other' };
  }

  /** Returns whether the answer to a permission request grants the permission. */
  isRestPermitted(status: number, body: Uint8Array): boolean {
    return this.#rewriters.changes?.rest.isPermitted(status, body) === true;
  }

  isGrpcPermitted(code: number, text: string): boolean {
    return this.#rewriters.changes?.grpc.isPermitted(code, text) === true;
  }

  /** Returns the outcome of a change from its answer. */
  restOutcome(status: number, body: Uint8Array): WriteOutcome {
    return this.#rewriters.changes?.rest.outcomeOf(status, body) ?? 'unknown';
  }

  grpcOutcome(message: Uint8Array): WriteOutcome {
    return this.#rewriters.changes?.grpc.outcomeOf(message) ?? 'unknown';
  }

  routeGrpc(path: string): GrpcRoute {
    return this.#rewriters.grpc.route(path);
  }

  /** Runs a task. The caller must not use the task's body afterwards, but the returned one. */
  async run<Kind extends RewriteTask['kind']>(
    task: RewriteTask & { readonly kind: Kind },
  ): Promise<Rewritten<RewriteResults[Kind]>> {
    if (this.#pool !== null && task.body.length >= this.#workerBytesMin) return this.#pool.run<Kind>(task);
    const begun = begin(this.#rewriters, task);
    const { result, kept } = isPendingRewrite(begun)
      ? finishedWith(begun, await this.#projections.project(begun))
      : { result: begun, kept: undefined };
    // The result has the type of the task's kind.
    return { result: result as RewriteResults[Kind], body: task.body, kept };
  }

  grpcStatus(form: AnswerForm, status: CallStatus): CallStatus {
    return this.#rewriters.grpc.rewriteStatus(form, status);
  }

  isRestDeleted(body: Uint8Array): boolean {
    return this.#rewriters.rest.isDeleted(body);
  }

  isGrpcDeleted(message: Uint8Array): boolean {
    return this.#rewriters.grpc.isDeleted(message);
  }

  resultIds(body: Uint8Array): readonly (readonly string[])[] {
    return this.#rewriters.rest.resultIds(body);
  }

  grpcResultIds(path: string, message: Uint8Array): readonly (readonly string[])[] {
    return this.#rewriters.grpc.resultIds(path, message);
  }

  #closeIfUnused(): void {
    if (this.#retired && this.#users === 0) void this.#pool?.close();
  }
}
