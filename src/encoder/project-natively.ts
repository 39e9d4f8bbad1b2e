import { shapeOf } from './network.js';
import type { EncoderNetwork } from './network.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import type { ProjectTask } from './project-worker.js';

/**
 * Projects x, n x inputDim, to n x outputDim with native products in a worker thread. It is for whole
 * samples, while the calling thread must stay free. The result lies in shared memory.
 * @throws INVALID_ARGUMENT when x has another dimension
 * @throws ABORTED when the signal fires
 */
export async function projectNatively(
  network: EncoderNetwork,
  x: Matrix,
  { threads = THREADS, signal, onProgress }: { readonly threads?: number } & RunOptions = {},
): Promise<Matrix> {
  const { inputDim, outputDim } = shapeOf(network);
  if (x.cols !== inputDim) {
    throw new TldrError('INVALID_ARGUMENT', `cannot project ${x.cols}-d vectors: expected ${inputDim}-d`);
  }
  const out = new Float32Array(new SharedArrayBuffer(x.rows * outputDim * 4));
  const task: ProjectTask = { network, x: { ...x, data: shareFloats(x.data) }, out, threads };
  const file = new URL('./project-worker.js', import.meta.url);
  await runInWorker({ file, data: task, signal, onProgress });
  return { rows: x.rows, cols: outputDim, data: out };
}
