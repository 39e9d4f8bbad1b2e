import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { TldrError } from '../core/errors.js';
import { matrix, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import { EIGENVALUE_FLOOR, WIDE_ROWS } from '../hyper-parameters/fit-of-candidates.js';
import { largestEigenpairsInWorker } from './eigen-in-worker.js';
import { orthonormalize, type TopEigen } from './largest-eigen.js';
import type { Moments, MomentTask } from './moment-worker.js';
import { coordinatesOf } from './row-space.js';

/**
 * The mean and second moment of x (n x D), for cosine of its unit rows, computed in a worker thread. For more
 * than 4,096 dimensions, they are computed along a basis of the rows, so that memory grows with n D and not
 * with D^2.
 * @param options.dim the largest number of axes that will be computed from them
 * @param options.like moments whose basis is reused
 */
export async function fitMoments(
  x: Matrix,
  options: {
    readonly distance: Distance;
    readonly dim?: number;
    readonly like?: Moments;
    readonly threads?: number;
  } & RunOptions,
): Promise<Moments> {
  const { distance, dim = 0, like, threads = THREADS, signal } = options;
  const task: MomentTask = {
    x: { ...x, data: shareFloats(x.data) },
    normalize: distance === 'cosine',
    threads,
    basis: like === undefined ? basisColumns(x, dim) : like.basis,
  };
  const file = new URL('./moment-worker.js', import.meta.url);
  const value = await runInWorker({ file, data: task, signal });
  if (isMoments(value)) return value;
  throw new TldrError('INTERNAL', 'the worker returned no moments');
}

function isMoments(value: unknown): value is Moments {
  if (typeof value !== 'object' || value === null) return false;
  const { mean, second, basis, meanSquare } = value as Partial<Record<keyof Moments, unknown>>;
  return (
    mean instanceof Float64Array &&
    second instanceof Float64Array &&
    (basis === null || (typeof basis === 'object' && 'cols' in basis)) &&
    typeof meanSquare === 'number'
  );
}

/** The number of columns of a basis for such rows; null if the dimensions themselves take less memory. */
export function basisColumns({ rows, cols }: Pick<Matrix, 'rows' | 'cols'>, dim: number): number | null {
  const columns = Math.max(Math.min(rows + 1, WIDE_ROWS.columns), dim + WIDE_ROWS.oversampling);
  return cols <= WIDE_ROWS.denseDimMax || 2 * columns > cols ? null : columns;
}

/** Principal axes of the rows that the moments describe. `mean` is null for uncentred axes. */
export interface PrincipalAxes extends TopEigen {
  readonly mean: Float64Array | null;
}

/**
 * The d largest eigenvectors (D x d) of the covariance (centred) or the second moment (uncentred), computed
 * in a worker thread.
 * @throws ABORTED when the signal fires
 */
export async function principalAxes(
  { mean, second, basis }: Moments,
  options: {
    readonly d: number;
    readonly centred: boolean;
    readonly threads?: number;
    /** Most iterations. After a few, the axes hold nearly as much variance as the exact ones. */
    readonly iterations?: number;
    /** D x r: columns near the axes, in their order. With them, a few iterations are enough. */
    readonly start?: Matrix | undefined;
  } & RunOptions,
): Promise<PrincipalAxes> {
  const { centred, ...rest } = options;
  const along = basis === null ? mean : coordinatesOf(mean, basis);
  const size = along.length;
  const target = centred
    ? second.map((value, i) => value - along[Math.floor(i / size)]! * along[i % size]!)
    : second;
  const eigen = await largestEigenpairsInWorker(target, { ...rest, size, basis });
  return { ...eigen, mean: centred ? mean : null };
}

/**
 * The first `dim` principal axes as an encoder network: z_j = lambda_j^(-gamma/2) v_j^T (x - mean). The
 * centring is folded into a bias. `gamma` 0 is PCA, 1 is whitening, values between them are tempered PCA. For
 * dot products, only the uncentred form with gamma 0 preserves the scores.
 * @throws INVALID_ARGUMENT when axes for dot products are centred or tempered, or there are fewer than `dim`
 * axes
 */
export function pcaNetwork(
  { mean, values, vectors }: PrincipalAxes,
  options: { readonly dim: number; readonly distance: Distance; readonly gamma?: number },
): EncoderNetwork {
  const { dim, distance, gamma = 0 } = options;
  if (distance === 'dot' && (mean !== null || gamma !== 0)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'centred or tempered PCA changes the order of dot products: use the plain uncentred form',
    );
  }
  const found = values.length;
  // If the squares of tiny values vanish in float32, the largest eigenvalue is 0: avoid a division by zero.
  const largest = values[0]! > 0 ? values[0]! : 1;
  if (dim > found) throw new TldrError('INVALID_ARGUMENT', `${dim} axes requested, ${found} computed`);
  const size = vectors.length / found;
  const weight = matrix(size, dim);
  const bias = new Float64Array(dim);
  for (let j = 0; j < dim; j++) {
    const scale = gamma === 0 ? 1 : Math.max(values[j]!, largest * EIGENVALUE_FLOOR) ** (-gamma / 2);
    for (let i = 0; i < size; i++) {
      const value = vectors[i * found + j]! * scale;
      weight.data[i * dim + j] = value;
      if (mean !== null) bias[j] = bias[j]! - mean[i]! * value;
    }
  }
  return linearNetwork(weight, { distance, bias: mean === null ? null : Float32Array.from(bias) });
}

/** PCA in one call: `principalAxes`, then `pcaNetwork`. @throws INVALID_ARGUMENT as `pcaNetwork`, ABORTED */
export async function pcaFromMoments(
  moments: Moments,
  options: {
    readonly dim: number;
    readonly centred: boolean;
    readonly distance: Distance;
    readonly threads?: number;
  } & RunOptions,
): Promise<EncoderNetwork> {
  const { dim, ...rest } = options;
  return pcaNetwork(await principalAxes(moments, { ...rest, d: dim }), { dim, distance: options.distance });
}

/** A projection on `dim` random orthonormal directions: the lower bound for every other candidate. */
export function randomProjection(
  inputDim: number,
  options: { readonly dim: number; readonly distance: Distance; readonly seed: number },
): EncoderNetwork {
  const { dim, distance, seed } = options;
  const rng = new Rng(seed);
  const block = Float64Array.from({ length: inputDim * dim }, () => rng.normal());
  orthonormalize(block, inputDim, dim);
  return linearNetwork(matrix(inputDim, dim, Float32Array.from(block)), { distance, bias: null });
}

/**
 * Keeps the first `dim` components unchanged, as for models trained for truncation (Matryoshka, Kusupati et
 * al. 2022).
 */
export function prefixNetwork(
  inputDim: number,
  options: { readonly dim: number; readonly distance: Distance },
): EncoderNetwork {
  const { dim, distance } = options;
  const weight = matrix(inputDim, dim);
  for (let j = 0; j < dim; j++) weight.data[j * dim + j] = 1;
  return linearNetwork(weight, { distance, bias: null });
}

/** A network of one linear layer. For cosine, rows are normalised before and after it. */
export function linearNetwork(
  weight: Matrix,
  { distance, bias }: { distance: Distance; bias: Float32Array | null },
): EncoderNetwork {
  const cosine = distance === 'cosine';
  return { normalizeInput: cosine, layers: [{ weight, bias, relu: false }], normalizeOutput: cosine };
}
