import { parentPort } from 'node:worker_threads';
import { squaredNorm } from '../core/distance.js';
import { row, type Matrix } from '../core/matrix.js';
import { createNativeMatmul } from '../encoder/native-matmul.js';
import { errorMessage, workerTask } from '../core/worker-task.js';
import { coordinatesOf, rowSpaceBasis, shiftedRows, type ShiftedRows } from './row-space.js';

/** The task that `fitMoments` gives its worker; x and the basis lie in shared memory. */
export interface MomentTask {
  readonly x: Matrix;
  readonly normalize: boolean;
  readonly threads: number;
  /**
   * Basis along which the moments are computed. A number asks for a new basis of x with that many columns;
   * null means the dimensions themselves.
   */
  readonly basis: Matrix | number | null;
}

/** Mean (D) and second moment of the rows, in float64. */
export interface Moments {
  readonly mean: Float64Array;
  /** X^T X / n, D x D. With a basis: w x w, of the rows' coordinates along it. */
  readonly second: Float64Array;
  /** Orthonormal columns, D x w, whose span holds most of the rows; null if `second` is D x D. */
  readonly basis: Matrix | null;
  /** Mean squared length of the rows, including their part outside the basis. */
  readonly meanSquare: number;
}

/** Sums over the rows minus a shift, from which the moments are computed. */
interface Sums {
  readonly mean: Float64Array;
  /** Sum of (x - shift)(x - shift)^T. */
  readonly products: Float64Array;
}

async function moments({ x, normalize, threads, basis: wanted }: MomentTask): Promise<Moments> {
  const rows = shiftedRows(x, normalize);
  const basis = typeof wanted === 'number' ? await rowSpaceBasis(rows, wanted, threads) : wanted;
  if (basis === null) {
    const { mean, products } = await sumUp(rows, threads, null);
    const second = secondMoment(products, { rows: x.rows, shift: rows.shift, mean });
    const meanSquare = mean.reduce((sum, _, i) => sum + second[i * x.cols + i]!, 0);
    return { mean: mean.map((value, j) => rows.shift[j]! + value), second, basis, meanSquare };
  }
  // Native products refuse shared memory.
  const along: Matrix = { ...basis, data: new Float32Array(basis.data) };
  const { mean, products } = await sumUp(rows, threads, along);
  const shifted = { rows: x.rows, shift: coordinatesOf(rows.shift, along), mean: coordinatesOf(mean, along) };
  return {
    mean: mean.map((value, j) => rows.shift[j]! + value),
    second: secondMoment(products, shifted),
    basis,
    meanSquare: meanSquareOf(x, normalize),
  };
}

/**
 * The mean of d and the sum of d d^T over the rows, with d = x - s and a shift s near the mean. The products
 * therefore have the size of the data's spread, even if the data lie far from the origin. Each block's
 * product is float32; the sum over blocks is float64.
 */
async function sumUp(rows: ShiftedRows, threads: number, basis: Matrix | null): Promise<Sums> {
  const product = await createNativeMatmul({ transposeA: true, threads });
  const onto = await createNativeMatmul({ threads });
  const size = basis?.cols ?? rows.cols;
  const sum = new Float64Array(rows.cols);
  const products = new Float64Array(size * size);
  for (const { rows: block, mean } of rows.blocks()) {
    mean.forEach((value, j) => (sum[j] = sum[j]! + value * block.rows));
    const kept = basis === null ? block : await onto.multiply(block, basis);
    const { data } = await product.multiply(kept, kept);
    for (let i = 0; i < products.length; i++) products[i] = products[i]! + data[i]!;
  }
  await product.close();
  await onto.close();
  return { mean: sum.map((value) => value / rows.rows), products };
}

/**
 * E x x^T = E d d^T + s (E d)^T + (E d) s^T + s s^T, in float64 (shifted data, Chan, Golub and LeVeque 1983).
 */
function secondMoment(
  products: Float64Array,
  {
    rows,
    shift: s,
    mean: d,
  }: { readonly rows: number; readonly shift: Float64Array; readonly mean: Float64Array },
): Float64Array {
  const size = s.length;
  return products.map((value, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    return value / rows + s[i]! * d[j]! + d[i]! * s[j]! + s[i]! * s[j]!;
  });
}

function meanSquareOf(x: Matrix, normalize: boolean): number {
  let sum = 0;
  for (let i = 0; i < x.rows; i++) {
    const square = squaredNorm(row(x, i));
    sum += normalize ? Number(square > 0) : square;
  }
  return sum / x.rows;
}

try {
  const result = await moments(workerTask() as MomentTask);
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
