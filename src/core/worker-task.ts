import { Worker } from 'node:worker_threads';
import { isTldrError, messageOf, TldrError, type ErrorCode } from './errors.js';
import type { Progress, RunOptions } from './run.js';

/** What a worker thread sends: any number of progress and event messages, then one result or error. */
export type WorkerMessage =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'event'; readonly event: unknown }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: ErrorCode; readonly message: string };

export interface WorkerTask extends RunOptions {
  readonly file: URL;
  readonly data: unknown;
  readonly onEvent?: (event: unknown) => void;
  /** Asked to stop by a message first, so that the worker can hand over what it has; else ended at once. */
  readonly stopGently?: boolean;
}

/**
 * Runs one task in a worker thread and gives what it returns.
 * @throws ABORTED when the signal fires, and whatever the worker threw
 */
export function runInWorker({
  file,
  data,
  signal,
  onProgress,
  onEvent,
  stopGently,
}: WorkerTask): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const aborted = (): TldrError =>
      new TldrError('ABORTED', 'stopped before it was finished', { cause: signal?.reason });
    if (signal?.aborted === true) {
      reject(aborted());
      return;
    }
    const worker = new Worker(file, { workerData: data });
    const onAbort = (): void => {
      if (stopGently === true) worker.postMessage('stop');
      else end(() => reject(aborted()));
    };
    const end = (then: () => void): void => {
      signal?.removeEventListener('abort', onAbort);
      worker.removeAllListeners();
      void worker.terminate().then(then);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'progress') onProgress?.(message.progress);
      else if (message.kind === 'event') onEvent?.(message.event);
      else if (message.kind === 'result') end(() => resolve(message.result));
      else end(() => reject(new TldrError(message.code, message.message)));
    });
    worker.on('error', (cause) => {
      end(() => reject(new TldrError('INTERNAL', `worker thread failed: ${messageOf(cause)}`, { cause })));
    });
    worker.on('exit', (code) => {
      end(() => reject(new TldrError('INTERNAL', `worker thread ended early with code ${code}`)));
    });
  });
}

/** The message for something thrown inside a worker. */
export function errorMessage(error: unknown): WorkerMessage {
  const code = isTldrError(error) ? error.code : 'INTERNAL';
  return { kind: 'error', code, message: messageOf(error) };
}

/** A copy of `values` that worker threads can read without copying it again. */
export function shareFloats(values: Float32Array): Float32Array {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const shared = new Float32Array(new SharedArrayBuffer(values.byteLength));
  shared.set(values);
  return shared;
}
