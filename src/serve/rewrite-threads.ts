import { parentPort, Worker } from 'node:worker_threads';
import type { Aliases } from '../store/write-interceptor.js';
import { isTldrError, messageOf, TldrError, type ErrorCode } from '../core/errors.js';
import {
  isPendingRewrite,
  projected,
  type AnswerForm,
  type GrpcRewrite,
  type LookupAnswer,
  type PendingRewrite,
  type ReadHead,
  type RestRewrite,
  type GrpcChange,
  type RestChange,
} from './protocol.js';
import { finishedWith, type KeptVectors } from './kept-vectors.js';
import type { Rewriters } from './proxy-options.js';

/** Below this size, copying costs less than transferring the memory. */
const TRANSFER_BYTES_MIN = 64 * 1024;

/** A task for a rewriting thread. `body` is transferred, not copied, and comes back with the result. */
export type RewriteTask = { readonly body: Uint8Array } & (
  | { readonly kind: 'rest'; readonly head: ReadHead; readonly lookups?: readonly LookupAnswer[] | undefined }
  | { readonly kind: 'grpc'; readonly path: string; readonly lookups?: readonly Uint8Array[] | undefined }
  | { readonly kind: 'rest-change'; readonly head: ReadHead; readonly aliases: Aliases }
  | { readonly kind: 'grpc-change'; readonly path: string; readonly aliases: Aliases }
  | { readonly kind: 'rest-answer'; readonly form: AnswerForm; readonly status: number }
  | { readonly kind: 'grpc-answer'; readonly form: AnswerForm }
);

/** The result of each kind of task. */
export interface RewriteResults {
  readonly rest: RestRewrite;
  readonly grpc: GrpcRewrite;
  readonly 'rest-change': RestChange;
  readonly 'grpc-change': GrpcChange;
  readonly 'rest-answer': Uint8Array;
  readonly 'grpc-answer': Uint8Array;
}

type AnyResult = RewriteResults[RewriteTask['kind']];

/** A result, and the task's body back from the thread. */
export interface Rewritten<Result> {
  readonly result: Result;
  readonly body: Uint8Array;
  readonly kept?: KeptVectors | undefined;
}

type Reply =
  | ({ readonly id: number } & Rewritten<AnyResult>)
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

interface Waiting {
  readonly worker: Worker;
  readonly resolve: (reply: Rewritten<AnyResult>) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Rewrites large bodies in worker threads. The caller supplies the file that a thread runs. That file imports
 * the adapter, loads the encoders and calls `answerRewrites`.
 */
export class RewriteThreads {
  readonly #file: URL;
  readonly #data: unknown;
  readonly #size: number;
  readonly #workers: (Worker | undefined)[];
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #isClosed = false;

  constructor(options: { readonly file: URL; readonly data: unknown; readonly size: number }) {
    this.#file = options.file;
    this.#data = options.data;
    this.#size = options.size;
    this.#workers = Array.from({ length: options.size });
  }

  /**
   * @throws the errors of the rewriter; INTERNAL when the thread failed; UNAVAILABLE once the pool is closed
   */
  run<Kind extends RewriteTask['kind']>(
    task: RewriteTask & { readonly kind: Kind },
  ): Promise<Rewritten<RewriteResults[Kind]>> {
    // A thread started now would never be ended, and the process would not wait for its answer.
    if (this.#isClosed)
      return Promise.reject(
        new TldrError('UNAVAILABLE', 'the proxy has ended its rewriting threads: repeat the request'),
      );
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const worker = this.#workerFor(id);
      // The reply has the type of the task's kind, which the map of waiting tasks does not know.
      const settle: Waiting['resolve'] = (reply) => resolve(reply as Rewritten<RewriteResults[Kind]>);
      this.#waiting.set(id, { worker, resolve: settle, reject });
      worker.postMessage({ id, task }, transferable(task.body));
    });
  }

  /** Ends the threads. Tasks in progress fail, and so do later ones. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#workers.map(async (worker) => worker?.terminate()));
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
    if ('result' in reply) waiting?.resolve(reply);
    else waiting?.reject(new TldrError(reply.code, reply.message));
  }

  /** Fails the tasks of a lost thread. The next task starts another thread. */
  #lost(worker: Worker, cause: unknown): void {
    const at = this.#workers.indexOf(worker);
    if (at >= 0) this.#workers[at] = undefined;
    for (const [id, waiting] of this.#waiting) {
      if (waiting.worker !== worker) continue;
      this.#waiting.delete(id);
      waiting.reject(new TldrError('INTERNAL', `a rewriting thread failed: ${messageOf(cause)}`, { cause }));
    }
  }
}

/** Answers every task with these rewriters. Runs inside a worker thread. */
export function answerRewrites(rewriters: Rewriters): void {
  parentPort?.on('message', ({ id, task }: { readonly id: number; readonly task: RewriteTask }) => {
    try {
      const begun = begin(rewriters, task);
      const { result, kept } = isPendingRewrite(begun)
        ? finishedWith(begun, projected(begun))
        : { result: begun, kept: undefined };
      const reply: Reply = { id, result, body: task.body, kept };
      // An unchanged body is the same memory in both: a set, so that it is transferred once.
      const handed = new Set([...transferable(task.body), ...transferable(bytesOf(result))]);
      parentPort?.postMessage(reply, [...handed]);
    } catch (error) {
      const code = isTldrError(error) ? error.code : 'INTERNAL';
      parentPort?.postMessage({ id, code, message: messageOf(error) } satisfies Reply);
    }
  });
}

/** Runs a task in the calling thread, up to the projection of its vectors. */
export function begin(
  { rest, grpc, changes }: Rewriters,
  task: RewriteTask,
): AnyResult | PendingRewrite<AnyResult> {
  switch (task.kind) {
    case 'rest':
      return rest.begin(task.head, task.body, task.lookups);
    case 'grpc':
      return grpc.begin(task.path, task.body, task.lookups);
    case 'rest-change':
      return changes?.rest.begin(task.head, task.body, task.aliases) ?? { kind: 'other' };
    case 'grpc-change':
      return changes?.grpc.begin(task.path, task.body, task.aliases) ?? { kind: 'other' };
    case 'rest-answer':
      return rest.rewriteAnswer(task.form, task.status, task.body);
    case 'grpc-answer':
      return grpc.rewriteAnswer(task.form, task.body);
  }
}

function bytesOf(result: AnyResult): Uint8Array | undefined {
  if (result instanceof Uint8Array) return result;
  if (result.kind !== 'send') return undefined;
  return 'request' in result ? result.request.body : result.call.message;
}

function transferable(bytes: Uint8Array | undefined): ArrayBuffer[] {
  if (bytes === undefined || bytes.byteLength < TRANSFER_BYTES_MIN) return [];
  return bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [];
}
