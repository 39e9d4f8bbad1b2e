import type { Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import type { ExactTask } from './exact-search.js';

/** Options of `exactTopK`. */
export interface ExactOptions extends RunOptions {
  readonly k: number;
  readonly distance: Distance;
  /** The queries are the base itself, and row i is not its own neighbour. */
  readonly excludeSelf?: boolean;
  readonly threads?: number;
}

/**
 * Finds the k nearest rows of base (n x D) for every query (m x D) by comparing all pairs, in a worker
 * thread.
 * @returns m x k row indices, nearest first, -1 if the base has fewer rows; of two that tie, the lower is
 * first
 * @throws INVALID_ARGUMENT when the dimensions differ
 * @throws ABORTED when the signal fires
 * @example
 * ```ts
 * import { exactTopK, matrixFromRows } from 'qdrant-tldr';
 *
 * const base = matrixFromRows([[1, 0], [0, 1], [1, 1]]);
 * const nearest = await exactTopK(base, matrixFromRows([[2, 1]]), { k: 1, distance: 'cosine' }); // row 2
 * ```
 */
export async function exactTopK(base: Matrix, queries: Matrix, options: ExactOptions): Promise<Int32Array> {
  if (base.cols !== queries.cols) {
    throw new TldrError('INVALID_ARGUMENT', `queries are ${queries.cols}-d, the base is ${base.cols}-d`);
  }
  const { k, distance, excludeSelf = false, threads = THREADS, signal, onProgress } = options;
  const sharedBase = { ...base, data: shareFloats(base.data) };
  const task: ExactTask = {
    base: sharedBase,
    queries: queries.data === base.data ? sharedBase : { ...queries, data: shareFloats(queries.data) },
    k,
    distance,
    excludeSelf,
    threads,
  };
  const found = await runInWorker({
    file: new URL('./exact-worker.js', import.meta.url),
    data: task,
    signal,
    onProgress,
  });
  if (!(found instanceof Int32Array)) throw new TldrError('INTERNAL', 'the exact search returned no indices');
  return found;
}
