import { parentPort } from 'node:worker_threads';
import { normalizeRowsInPlace } from '../core/distance.js';
import { rowRange, type Matrix } from '../core/matrix.js';
import { createNativeMatmul } from '../core/native-matmul.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';

/** x lies in shared memory. */
export interface MomentTask {
  readonly x: Matrix;
  readonly normalize: boolean;
  readonly threads: number;
}

/** Mean (D) and second moment X^T X / n (D x D) of the rows, in float64. */
export interface Moments {
  readonly mean: Float64Array;
  readonly second: Float64Array;
}

const BLOCK_ROWS = 2048;

async function moments({ x, normalize, threads }: MomentTask): Promise<Moments> {
  const product = await createNativeMatmul({ transposeA: true, threads });
  const mean = new Float64Array(x.cols);
  const second = new Float64Array(x.cols * x.cols);
  for (let start = 0; start < x.rows; start += BLOCK_ROWS) {
    throwIfStopped();
    const view = rowRange(x, start, Math.min(x.rows, start + BLOCK_ROWS));
    const block = { rows: view.rows, cols: view.cols, data: new Float32Array(view.data) };
    if (normalize) normalizeRowsInPlace(block);
    for (let i = 0; i < block.data.length; i += x.cols) {
      for (let j = 0; j < x.cols; j++) mean[j] = mean[j]! + block.data[i + j]!;
    }
    // A block's product is float32; the sum over blocks is not.
    const { data } = await product.multiply(block, block);
    for (let i = 0; i < second.length; i++) second[i] = second[i]! + data[i]!;
  }
  await product.close();
  return { mean: mean.map((sum) => sum / x.rows), second: second.map((sum) => sum / x.rows) };
}

try {
  const result = await moments(workerTask() as MomentTask);
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
