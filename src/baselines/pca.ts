import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../core/encoder-network.js';
import { TldrError } from '../core/errors.js';
import { matrix, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { RunOptions } from '../core/run.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import { orthonormalize, topEigen } from './eigen.js';
import type { Moments } from './moment-worker.js';

/** Mean and second moment of x (n x D), of its unit rows for cosine; computed in a worker thread. */
export async function fitMoments(
  x: Matrix,
  options: { distance: Distance; threads?: number } & RunOptions,
): Promise<Moments> {
  const { distance, threads = 2, signal } = options;
  const task = { x: { ...x, data: shareFloats(x.data) }, normalize: distance === 'cosine', threads };
  const file = new URL('./moment-worker.js', import.meta.url);
  const value = await runInWorker({ file, data: task, signal });
  if (typeof value === 'object' && value !== null && 'mean' in value && 'second' in value) {
    const { mean, second } = value;
    if (mean instanceof Float64Array && second instanceof Float64Array) return { mean, second };
  }
  throw new TldrError('INTERNAL', 'the moments came back without their arrays');
}

/**
 * Principal components: top d eigenvectors of the covariance (centred) or of the second moment (uncentred).
 * Centring is folded into a bias. For dot products only the uncentred form keeps the scores' meaning.
 * @throws INVALID_ARGUMENT for centred components of a dot-product collection
 */
export function pcaFromMoments(
  { mean, second }: Moments,
  options: { readonly dim: number; readonly centred: boolean; readonly distance: Distance },
): EncoderNetwork {
  const { dim, centred, distance } = options;
  if (centred && distance === 'dot') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'centred PCA changes the order of dot products: use the uncentred form',
    );
  }
  const size = mean.length;
  const target = centred
    ? second.map((value, i) => value - mean[Math.floor(i / size)]! * mean[i % size]!)
    : second;
  const { vectors } = topEigen(target, size, dim);
  const bias = new Float64Array(dim);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < dim; j++) bias[j] = bias[j]! - mean[i]! * vectors[i * dim + j]!;
  }
  return linearNetwork(matrix(size, dim, Float32Array.from(vectors)), {
    distance,
    bias: centred ? Float32Array.from(bias) : null,
  });
}

/** d random orthonormal directions: the floor every learned map must beat. */
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

/** One linear layer, with unit rows before and after it for cosine. */
function linearNetwork(
  weight: Matrix,
  { distance, bias }: { distance: Distance; bias: Float32Array | null },
): EncoderNetwork {
  const cosine = distance === 'cosine';
  return { normalizeInput: cosine, layers: [{ weight, bias, relu: false }], normalizeOutput: cosine };
}
