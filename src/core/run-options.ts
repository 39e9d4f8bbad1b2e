import { TldrError } from './errors.js';

/** How far a long call is: `done` of `total` units of one named step; `total` is Infinity if unknown. */
export interface Progress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

/** Receives what a long call decides. Fields never hold vectors, payloads or keys. */
export type Log = (
  level: 'debug' | 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Default number of threads for work that takes seconds. */
export const THREADS = 2;

/** Options that every long call accepts. */
export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly log?: Log | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** @throws ABORTED when the signal has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new TldrError('ABORTED', 'stopped before it was finished', { cause: signal.reason });
  }
}

/** Resolves after `ms` milliseconds. @throws ABORTED as soon as the signal fires */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(new TldrError('ABORTED', 'stopped before it was finished', { cause: signal?.reason }));
    };
    if (signal?.aborted === true) {
      reject(new TldrError('ABORTED', 'stopped before it was finished', { cause: signal.reason }));
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
