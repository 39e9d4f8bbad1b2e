import type {
  AnswerForm,
  GrpcRewrite,
  GrpcRoute,
  LookupAnswer,
  RestHead,
  RestRewrite,
  RestRoute,
} from '../core/wire.js';
import type { Rewriters } from './proxy-options.js';
import type { RewritePool } from './rewrite-pool.js';

/**
 * Rewriting for one state of the configuration: small bodies at once, large ones in worker threads, so that the event
 * loop is never held for long.
 */
export class Rewriting {
  readonly #rewriters: Rewriters;
  readonly #pool: RewritePool | null;
  readonly #workerBytesMin: number;

  constructor(rewriters: Rewriters, pool: RewritePool | null, workerBytesMin: number) {
    this.#rewriters = rewriters;
    this.#pool = pool;
    this.#workerBytesMin = workerBytesMin;
  }

  routeRest(head: RestHead): RestRoute {
    return this.#rewriters.rest.route(head);
  }

  routeGrpc(path: string): GrpcRoute {
    return this.#rewriters.grpc.route(path);
  }

  rewriteRest(head: RestHead, body: Uint8Array, lookups?: readonly LookupAnswer[]): Promise<RestRewrite> {
    if (this.#pool !== null && body.length >= this.#workerBytesMin)
      return this.#pool.rest({ head, body, lookups });
    return Promise.resolve(this.#rewriters.rest.rewrite(head, body, lookups));
  }

  rewriteGrpc(path: string, message: Uint8Array, lookups?: readonly Uint8Array[]): Promise<GrpcRewrite> {
    if (this.#pool !== null && message.length >= this.#workerBytesMin)
      return this.#pool.grpc({ path, message, lookups });
    return Promise.resolve(this.#rewriters.grpc.rewrite(path, message, lookups));
  }

  rewriteRestAnswer(form: AnswerForm, status: number, body: Uint8Array): Uint8Array {
    return this.#rewriters.rest.rewriteAnswer(form, status, body);
  }

  rewriteGrpcAnswer(form: AnswerForm, message: Uint8Array): Uint8Array {
    return this.#rewriters.grpc.rewriteAnswer(form, message);
  }

  rewriteGrpcStatus(form: AnswerForm, message: string): string {
    return this.#rewriters.grpc.rewriteStatus(form, message);
  }

  resultIds(body: Uint8Array): readonly (readonly string[])[] {
    return this.#rewriters.rest.resultIds(body);
  }

  async close(): Promise<void> {
    await this.#pool?.close();
  }
}
