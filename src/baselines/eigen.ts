import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run.js';
import { runInWorker } from '../core/worker-task.js';
import type { EigenTask, TopEigen } from './largest-eigen.js';

/**
 * Top d eigenpairs of a symmetric D x D matrix, in a worker thread. With a `basis` (n x D) the matrix is about
 * coordinates along its columns, and the eigenvectors come out as the n x d that they stand for.
 * @throws INVALID_ARGUMENT for sizes that do not fit, ABORTED
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
  const { size, d, threads = 2, iterations, start, basis = null, signal, onProgress } = options;
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
    // So small a matrix needs no start, which would have to be written along the basis.
    ...(start === undefined || basis !== null ? {} : { start }),
  };
  const file = new URL('./eigen-worker.js', import.meta.url);
  const found = await runInWorker({ file, data: task, signal, onProgress });
  if (typeof found === 'object' && found !== null && 'values' in found && 'vectors' in found) {
    const { values, vectors } = found;
    if (values instanceof Float64Array && vectors instanceof Float64Array) return { values, vectors };
  }
  throw new TldrError('INTERNAL', 'the eigenvectors came back without their arrays');
}
