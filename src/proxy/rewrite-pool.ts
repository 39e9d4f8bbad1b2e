import { parentPort, Worker } from 'node:worker_threads';
import { isTldrError, messageOf, TldrError, type ErrorCode } from '../core/errors.js';
import type { GrpcRewrite, LookupAnswer, RestHead, RestRewrite } from '../core/wire.js';
import type { Rewriters } from './proxy-options.js';

interface RestTask {
  readonly head: RestHead;
  readonly body: Uint8Array;
  readonly lookups: readonly LookupAnswer[] | undefined;
}

interface GrpcTask {
  readonly path: string;
  readonly message: Uint8Array;
  readonly lookups: readonly Uint8Array[] | undefined;
}

type Task = ({ readonly transport: 'rest' } & RestTask) | ({ readonly transport: 'grpc' } & GrpcTask);
type Reply =
  | { readonly id: number; readonly result: RestRewrite | GrpcRewrite }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

interface Waiting {
  readonly worker: Worker;
  readonly resolve: (result: RestRewrite & GrpcRewrite) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Rewrites large bodies in worker threads. The file that a thread runs is the composition root's: it knows the
 * adapter, loads the encoders and calls `answerRewrites`.
 */
export class RewritePool {
  readonly #file: URL;
  readonly #data: unknown;
  readonly #size: number;
  readonly #workers: Worker[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #closed = false;

  constructor(options: { readonly file: URL; readonly data: unknown; readonly size: number }) {
    this.#file = options.file;
    this.#data = options.data;
    this.#size = options.size;
  }

  rest(task: RestTask): Promise<RestRewrite> {
    return this.#run({ transport: 'rest', ...task });
  }

  grpc(task: GrpcTask): Promise<GrpcRewrite> {
    return this.#run({ transport: 'grpc', ...task });
  }

  /** Ends the threads once nothing waits for them. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#waiting.size === 0) await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #run(task: Task): Promise<RestRewrite & GrpcRewrite> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const worker = this.#workerFor(id);
      this.#waiting.set(id, { worker, resolve, reject });
      worker.postMessage({ id, task });
    });
  }

  #workerFor(id: number): Worker {
    const at = id % this.#size;
    const there = this.#workers[at];
    if (there !== undefined) return there;
    const worker = new Worker(this.#file, { workerData: this.#data });
    worker.unref();
    worker.on('message', (reply: Reply) => this.#settle(reply));
    worker.on('error', (cause) => this.#lost(worker, cause));
    worker.on('exit', () => this.#lost(worker, new Error('it ended')));
    this.#workers[at] = worker;
    return worker;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('result' in reply) waiting?.resolve(reply.result as RestRewrite & GrpcRewrite);
    else waiting?.reject(new TldrError(reply.code, reply.message));
    if (this.#closed) void this.close();
  }

  /** What a thread had under way fails; the next task starts another. */
  #lost(worker: Worker, cause: unknown): void {
    const at = this.#workers.indexOf(worker);
    if (at >= 0) this.#workers.splice(at, 1);
    for (const [id, waiting] of this.#waiting) {
      if (waiting.worker !== worker) continue;
      this.#waiting.delete(id);
      waiting.reject(new TldrError('INTERNAL', `a rewriting thread failed: ${messageOf(cause)}`, { cause }));
    }
  }
}

/** Inside a worker thread: answers every task with these rewriters. */
export function answerRewrites(rewriters: Promise<Rewriters>): void {
  parentPort?.on('message', ({ id, task }: { readonly id: number; readonly task: Task }) => {
    void rewriters
      .then(({ rest, grpc }) =>
        task.transport === 'rest'
          ? rest.rewrite(task.head, task.body, task.lookups)
          : grpc.rewrite(task.path, task.message, task.lookups),
      )
      .then(
        (result) => parentPort?.postMessage({ id, result } satisfies Reply),
        (error: unknown) =>
          parentPort?.postMessage({
            id,
            code: isTldrError(error) ? error.code : 'INTERNAL',
            message: messageOf(error),
          } satisfies Reply),
      );
  });
}
