import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker } from '../core/worker-task.js';
import type { EigenTask, TopEigen } from './largest-eigen.js';

/**
 * The d largest eigenpairs of a symmetric D x D matrix, computed in a worker thread. With a `basis` (n x D),
 * the matrix is given in coordinates along the basis's columns, and the eigenvectors are returned in n
 * dimensions (n x d).
 * @throws INVALID_ARGUMENT when the sizes do not fit
 * @throws ABORTED when the signal fires
 */
export async function largestEigenpairsInWorker(
  symmetric: Float64Array,
  options: {
    size: number;
    d: number;
    threads?: number;
    iterations?: number | undefined;
    start?: Matrix | undefined;
    basis?: Matrix | null;
  } & RunOptions,
): Promise<TopEigen> {
  const { size, d, threads = THREADS, iterations, start, basis = null, signal, onProgress } = options;
  if (symmetric.length !== size * size || d < 1 || d > size) {
    throw new TldrError('INVALID_ARGUMENT', `cannot take ${d} eigenvectors of ${symmetric.length} values`);
  }
  const task: EigenTask = {
    symmetric,
    size,
    d,
    threads,
    basis,
    ...(iterations === undefined ? {} : { iterations }),
    // With a basis the matrix is small. It needs no start, which would have to be converted to coordinates.
    ...(start === undefined || basis !== null ? {} : { start }),
  };
  const file = new URL('./eigen-worker.js', import.meta.url);
  const found = await runInWorker({ file, data: task, signal, onProgress });
  if (typeof found === 'object' && found !== null && 'values' in found && 'vectors' in found) {
    const { values, vectors } = found;
    if (values instanceof Float64Array && vectors instanceof Float64Array) return { values, vectors };
  }
  throw new TldrError('INTERNAL', 'the worker returned no eigenvectors');
}
