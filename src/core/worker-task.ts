import { Worker, workerData } from 'node:worker_threads';
import { isTldrError, messageOf, nativeLibraryError, TldrError, type ErrorCode } from './errors.js';
import type { Progress, RunOptions } from './run-options.js';

/** What a worker thread sends: any number of progress and event messages, then one result or error. */
export type WorkerMessage =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'event'; readonly event: unknown }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: ErrorCode; readonly message: string };

/** A task for a worker thread: the worker's file, its input, and callbacks. */
export interface WorkerTask extends RunOptions {
  readonly file: URL;
  readonly data: unknown;
  readonly onEvent?: (event: unknown) => void;
  /** If the signal stops the worker, return its result (for example a state to resume from), not ABORTED. */
  readonly resultWhenStopped?: boolean;
}

/** What a worker receives: its task, and a flag that is not 0 once the worker is asked to stop. */
interface WorkerInput {
  readonly task: unknown;
  readonly stop: Int32Array;
}

/**
 * Runs one task in a worker thread and returns its result. If the signal fires, the worker is asked to stop.
 * It is not terminated: to terminate a thread during a native call would crash the process.
 * @throws ABORTED when the signal fires
 * @throws any error of the worker
 */
export function runInWorker(options: WorkerTask): Promise<unknown> {
  const { file, data, signal, onProgress, onEvent, resultWhenStopped = false } = options;
  return new Promise((resolve, reject) => {
    const aborted = (): TldrError =>
      new TldrError('ABORTED', 'stopped before it was finished', { cause: signal?.reason });
    if (signal?.aborted === true) {
      reject(aborted());
      return;
    }
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const input: WorkerInput = { task: data, stop };
    const worker = new Worker(file, { workerData: input });
    const onAbort = (): void => void Atomics.store(stop, 0, 1);
    const end = (then: () => void): void => {
      signal?.removeEventListener('abort', onAbort);
      worker.removeAllListeners();
      void worker.terminate().then(then);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'progress') onProgress?.(message.progress);
      else if (message.kind === 'event') onEvent?.(message.event);
      else if (message.kind === 'error') end(() => reject(new TldrError(message.code, message.message)));
      else if (signal?.aborted === true && !resultWhenStopped) end(() => reject(aborted()));
      else end(() => resolve(message.result));
    });
    worker.on('error', (cause) => {
      const failure = new TldrError('INTERNAL', `worker thread failed: ${messageOf(cause)}`, { cause });
      end(() => reject(nativeLibraryError(cause) ?? failure));
    });
    worker.on('exit', (code) => {
      end(() => reject(new TldrError('INTERNAL', `worker thread ended early with code ${code}`)));
    });
  });
}

/**
 * Runs all tasks at the same time, each in its own worker thread. Their progress is added up and reported out
 * of `total`.
 * @throws as `runInWorker`
 */
export function runInWorkers({
  tasks,
  total,
  onProgress,
  ...shared
}: Omit<WorkerTask, 'data'> & {
  readonly tasks: readonly unknown[];
  readonly total: number;
}): Promise<unknown[]> {
  const done = new Float64Array(tasks.length);
  return Promise.all(
    tasks.map((data, i) =>
      runInWorker({
        ...shared,
        data,
        onProgress: (progress) => {
          done[i] = progress.done;
          onProgress?.({ ...progress, done: done.reduce((sum, value) => sum + value, 0), total });
        },
      }),
    ),
  );
}

/** Inside a worker: the task it was given. */
export function workerTask(): unknown {
  return (workerData as WorkerInput).task;
}

/** Inside a worker: true once it has been asked to stop. */
export function isStopped(): boolean {
  return Atomics.load((workerData as WorkerInput).stop, 0) !== 0;
}

/** Inside a worker, between two native calls. @throws ABORTED once it has been asked to stop */
export function throwIfStopped(): void {
  if (isStopped()) throw new TldrError('ABORTED', 'stopped before it was finished');
}

/** The message for something thrown inside a worker. */
export function errorMessage(thrown: unknown): WorkerMessage {
  const error = nativeLibraryError(thrown) ?? thrown;
  const code = isTldrError(error) ? error.code : 'INTERNAL';
  return { kind: 'error', code, message: messageOf(error) };
}

/** Zeros that worker threads can read and write without copying them. */
export function sharedFloats(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(length * Float32Array.BYTES_PER_ELEMENT));
}

/** A copy of `values` that worker threads can read without copying it again. */
export function shareFloats(values: Float32Array): Float32Array {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const shared = sharedFloats(values.length);
  shared.set(values);
  return shared;
}
