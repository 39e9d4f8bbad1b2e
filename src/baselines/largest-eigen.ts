import { EigenvalueDecomposition, Matrix as Dense } from 'ml-matrix';
import { expectDefined } from '../core/errors.js';
import {
  createDoubleProduct,
  createNativeMatmul,
  type DoubleMatrix,
  type NativeDoubleProduct,
  type NativeMatmul,
} from '../encoder/native-matmul.js';
import type { Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import { EIGENSOLVER } from '../hyper-parameters/fit-of-candidates.js';
import { inverseOfUpper, upperCholesky } from './cholesky.js';

/** The largest eigenvalues, descending, and their unit eigenvectors as the columns of D x d, row-major. */
export interface TopEigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** The task that `largestEigenpairsInWorker` gives its worker. */
export interface EigenTask {
  readonly symmetric: Float64Array;
  readonly size: number;
  readonly d: number;
  readonly threads: number;
  /**
   * Basis of the coordinates in which the matrix is given; null if it is given in the dimensions themselves.
   */
  readonly basis: Matrix | null;
  /** Most iterations. After a few, the directions hold nearly as much variance as the eigenvectors do. */
  readonly iterations?: number;
  /** Initial columns for the iteration, near the eigenvectors and in their order; random if absent. */
  readonly start?: Matrix;
}

export interface EigenControl {
  readonly shouldStop: () => boolean;
  readonly onIteration: (done: number, total: number) => void;
}

/** The native products that the functions below need; `closeProducts` frees them. */
export interface Products {
  /**
   * For the large product of each iteration: float32 suffices to find the subspace and is ten times as fast.
   */
  readonly single: NativeMatmul;
  readonly plain: NativeDoubleProduct;
  readonly transposed: NativeDoubleProduct;
}

/**
 * The d largest eigenpairs of a symmetric D x D matrix, computed in this thread; null when stopped. A small
 * matrix is decomposed in full. For others, it uses block subspace iteration with one Rayleigh-Ritz
 * projection at the end, in float64 (Saad, Numerical Methods for Large Eigenvalue Problems, 2011, chapter 5).
 */
export async function largestEigenpairs(task: EigenTask, control: EigenControl): Promise<TopEigen | null> {
  const { symmetric, size, d, threads, iterations, start } = task;
  const width = Math.min(size, d + EIGENSOLVER.oversampling);
  // A copy, since native products refuse shared memory.
  const a: DoubleMatrix = { rows: size, cols: size, data: Float64Array.from(symmetric) };
  if (size <= EIGENSOLVER.fullSizeMax || width === size) return decompose(a, d);
  const products = await openProducts(threads);
  try {
    const basis = await dominantSubspace([a], d, { products, control, iterations, start });
    if (basis === null) return null;
    const image = await products.plain.multiply(a, basis);
    const ritz = decompose(await products.transposed.multiply(basis, image), d);
    const rotation = { rows: width, cols: d, data: ritz.vectors };
    return { values: ritz.values, vectors: (await products.plain.multiply(basis, rotation)).data };
  } finally {
    await closeProducts(products);
  }
}

/**
 * Converts columns of coordinates along a basis to the basis's own dimensions; without a basis, no change.
 */
export async function alongBasis(
  coordinates: DoubleMatrix,
  basis: Matrix | null,
  { single }: Pick<Products, 'single'>,
): Promise<DoubleMatrix> {
  if (basis === null) return coordinates;
  const { rows, cols, data } = await single.multiply(
    // A copy, since native products refuse shared memory.
    { ...basis, data: new Float32Array(basis.data) },
    { ...coordinates, data: Float32Array.from(coordinates.data) },
  );
  return { rows, cols, data: Float64Array.from(data) };
}

/** Prepares the products. Each uses `threads` threads. */
export async function openProducts(threads: number): Promise<Products> {
  return {
    single: await createNativeMatmul({ threads }),
    plain: await createDoubleProduct({ threads }),
    transposed: await createDoubleProduct({ threads, transposeA: true }),
  };
}

/** Frees what `openProducts` prepared. */
export async function closeProducts({ single, plain, transposed }: Products): Promise<void> {
  await single.close();
  await plain.close();
  await transposed.close();
}

/**
 * An orthonormal basis, D x (d + a few), whose span holds the first d eigenvectors of a product of D x D
 * matrices; null when stopped. `factors[0]` is applied first. The iteration starts from the columns of
 * `start`, filled up with random columns. It ends when the captured variance stops growing, or after
 * `iterations`.
 */
export async function dominantSubspace(
  factors: readonly DoubleMatrix[],
  d: number,
  {
    products,
    control,
    iterations = EIGENSOLVER.iterationsMax,
    start,
  }: {
    products: Products;
    control: EigenControl;
    iterations?: number | undefined;
    start?: Matrix | undefined;
  },
): Promise<DoubleMatrix | null> {
  const rng = new Rng(1);
  const size = expectDefined(factors[0], 'the first factor').rows;
  const width = Math.min(size, d + EIGENSOLVER.oversampling);
  const first = Float64Array.from({ length: size * width }, (_, at) => {
    const column = at % width;
    const given = start !== undefined && column < start.cols;
    return given ? start.data[((at - column) / width) * start.cols + column]! : rng.normal();
  });
  const rounded = factors.map((factor) => ({ ...factor, data: Float32Array.from(factor.data) }));
  let basis = await orthonormal({ rows: size, cols: width, data: first }, products);
  let before = 0;
  for (let i = 0; i < iterations; i++) {
    if (control.shouldStop()) return null;
    let applied: Matrix = { ...basis, data: Float32Array.from(basis.data) };
    for (const factor of rounded) {
      const { data } = await products.single.multiply(factor, applied);
      applied = { ...applied, data: data.slice() };
    }
    const image = { ...basis, data: Float64Array.from(applied.data) };
    let captured = 0;
    for (let j = 0; j < image.data.length; j++) captured += image.data[j]! * basis.data[j]!;
    basis = await orthonormal(image, products, 1);
    control.onIteration(i + 1, iterations);
    if (Math.abs(captured - before) <= EIGENSOLVER.tolerance * Math.abs(captured)) break;
    before = captured;
  }
  return orthonormal(basis, products);
}

/**
 * Returns an orthonormal basis of the columns' span by Cholesky QR, in two passes for full precision
 * (Yamamoto et al. 2015). If the columns are too close to dependent for it, Gram-Schmidt is used.
 */
export async function orthonormal(
  block: DoubleMatrix,
  products: Pick<Products, 'plain' | 'transposed'>,
  passes = 2,
): Promise<DoubleMatrix> {
  let current = block;
  for (let pass = 0; pass < passes; pass++) {
    const factor = upperCholesky(await products.transposed.multiply(current, current));
    if (factor === null) {
      const data = block.data.slice();
      orthonormalize(data, block.rows, block.cols);
      return { ...block, data };
    }
    current = await products.plain.multiply(current, inverseOfUpper(factor));
  }
  return current;
}

/** The d largest eigenpairs of a symmetric matrix, in descending order, by ml-matrix's full decomposition. */
export function decompose({ rows: size, data }: DoubleMatrix, d: number): TopEigen {
  const dense = new Dense(size, size);
  for (let i = 0; i < size; i++) {
    // A computed product is symmetric only up to rounding.
    for (let j = 0; j < size; j++) dense.set(i, j, (data[i * size + j]! + data[j * size + i]!) / 2);
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(dense, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const values = Float64Array.from({ length: d }, (_, j) => realEigenvalues[order[j]!]!);
  const vectors = new Float64Array(size * d);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < d; j++) vectors[i * d + j] = eigenvectorMatrix.get(i, order[j]!);
  }
  return { values, vectors };
}

/**
 * Makes the columns orthonormal in place: modified Gram-Schmidt, twice for stability (Giraud et al. 2005).
 */
export function orthonormalize(block: Float64Array, size: number, width: number): void {
  for (let pass = 0; pass < 2; pass++) {
    for (let j = 0; j < width; j++) {
      let norm = 0;
      for (let i = 0; i < size; i++) norm += block[i * width + j]! ** 2;
      const scale = norm > 0 ? 1 / Math.sqrt(norm) : 0;
      const overlap = new Float64Array(width);
      for (let i = 0; i < size; i++) {
        const at = i * width;
        const value = block[at + j]! * scale;
        block[at + j] = value;
        for (let l = j + 1; l < width; l++) overlap[l] = overlap[l]! + value * block[at + l]!;
      }
      for (let i = 0; i < size; i++) {
        const at = i * width;
        const value = block[at + j]!;
        for (let l = j + 1; l < width; l++) block[at + l] = block[at + l]! - value * overlap[l]!;
      }
    }
  }
}
