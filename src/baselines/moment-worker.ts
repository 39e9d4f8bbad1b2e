import { parentPort } from 'node:worker_threads';
import { normalizeRowsInPlace } from '../core/distance.js';
import { columnMeans, rowRange, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
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

/**
 * Sums are taken about a shift s near the mean, the first block's: with d = x - s the float32 products are of the
 * size of the spread, however far from the origin the data lie. Then, in float64, E x = s + E d and
 * E x x^T = E d d^T + s (E d)^T + (E d) s^T + s s^T (Chan, Golub and LeVeque 1983, on shifted data).
 */
async function moments({ x, normalize, threads }: MomentTask): Promise<Moments> {
  const product = await createNativeMatmul({ transposeA: true, threads });
  const { cols } = x;
  let shift: Float64Array | undefined;
  const sum = new Float64Array(cols);
  const products = new Float64Array(cols * cols);
  for (let start = 0; start < x.rows; start += BLOCK_ROWS) {
    throwIfStopped();
    const view = rowRange(x, start, Math.min(x.rows, start + BLOCK_ROWS));
    const block = { rows: view.rows, cols, data: new Float32Array(view.data) };
    if (normalize) normalizeRowsInPlace(block);
    const blockMean = columnMeans(block);
    const about = (shift ??= blockMean);
    // Before the differences are rounded to float32.
    blockMean.forEach((value, j) => (sum[j] = sum[j]! + (value - about[j]!) * block.rows));
    subtractFromRowsInPlace(block, about);
    // A block's product is float32; the sum over blocks is not.
    const { data } = await product.multiply(block, block);
    for (let i = 0; i < products.length; i++) products[i] = products[i]! + data[i]!;
  }
  await product.close();
  const s = shift ?? new Float64Array(cols);
  const d = sum.map((value) => value / x.rows);
  const second = products.map((value, at) => {
    const [i, j] = [Math.floor(at / cols), at % cols];
    return value / x.rows + s[i]! * d[j]! + d[i]! * s[j]! + s[i]! * s[j]!;
  });
  return { mean: d.map((value, j) => s[j]! + value), second };
}

try {
  const result = await moments(workerTask() as MomentTask);
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
