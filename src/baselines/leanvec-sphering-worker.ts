import { parentPort } from 'node:worker_threads';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { DoubleMatrix } from '../encoder/native-matmul.js';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
import { SPHERING_RIDGE_MIN } from '../hyper-parameters/fit-of-candidates.js';
import { inverseOfUpper, upperCholesky } from './cholesky.js';
import {
  alongBasis,
  closeProducts,
  decompose,
  dominantSubspace,
  openProducts,
  orthonormal,
  type Products,
} from './largest-eigen.js';

/** The task that `leanvecSphering` gives its worker: second moments of points and queries, each D x D. */
export interface SpheringTask {
  readonly points: Float64Array;
  readonly queries: Float64Array;
  readonly size: number;
  readonly d: number;
  readonly threads: number;
  /** Basis of the coordinates in which the moments are given; null if they are given in the dimensions. */
  readonly basis: Matrix | null;
}

/**
 * The weights of both networks, D x d row-major: a point x becomes x^T points, a query q becomes q^T queries.
 */
export interface SpheringMaps {
  readonly points: Float64Array;
  readonly queries: Float64Array;
}

/**
 * Minimises E (q^T x - q^T A B^T x)^2 over A and B, D x d, for the second moments C of queries and S of
 * points; null when stopped. For a given B, the normal equations give A = S B (B^T S B)^-1. The remaining
 * error is smallest if the columns of B span the first d eigenvectors of C S. An orthonormal basis of that
 * span preserves lengths of points as PCA does. With C = S, the result is uncentred PCA.
 */
async function spheringMaps(
  { points, queries, size, d, basis: dimensions }: SpheringTask,
  products: Products,
): Promise<SpheringMaps | null> {
  const { plain, transposed } = products;
  const s = { rows: size, cols: size, data: points };
  const c = { ...s, data: queries };
  const basis = await dominantSubspace([s, c], d, {
    products,
    control: { shouldStop: isStopped, onIteration },
  });
  if (basis === null) return null;
  // C S is self-adjoint in the inner product of S, so a small symmetric problem gives the Ritz vectors.
  const image = await plain.multiply(s, basis);
  const whitening = inverseOfUpper(factorOf(await transposed.multiply(basis, image)));
  const whitened = await plain.multiply(image, whitening);
  const small = await transposed.multiply(whitened, await plain.multiply(c, whitened));
  const ritz = { rows: basis.cols, cols: d, data: decompose(small, d).vectors };
  const raw = await plain.multiply(basis, await plain.multiply(whitening, ritz));
  const b = await orthonormal(raw, products);
  // raw^T S raw = I, so S raw raw^T is the optimum for its span; in the basis b it is S raw raw^T b.
  const a = await plain.multiply(await plain.multiply(whitened, ritz), await transposed.multiply(raw, b));
  return {
    points: (await alongBasis(b, dimensions, products)).data,
    queries: (await alongBasis(a, dimensions, products)).data,
  };
}

function onIteration(done: number, total: number): void {
  const progress = { step: 'query-aware axes', done, total, unit: 'iterations' };
  parentPort?.postMessage({ kind: 'progress', progress });
}

/** R with R^T R = a + ridge, with the smallest ridge that makes the factorisation possible. */
function factorOf(a: DoubleMatrix): DoubleMatrix {
  const n = a.rows;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += a.data[i * n + i]!;
  for (let ridge = SPHERING_RIDGE_MIN; ridge < 1; ridge *= 10) {
    const data = a.data.slice();
    for (let i = 0; i < n; i++) data[i * n + i] = data[i * n + i]! + (ridge * trace) / n;
    const factor = upperCholesky({ ...a, data });
    if (factor !== null) return factor;
  }
  throw new TldrError('INVALID_DATA', 'cannot factor the second moment of the points: are they all zero?');
}

try {
  const task = workerTask() as SpheringTask;
  const products = await openProducts(task.threads);
  const result = await spheringMaps(task, products);
  await closeProducts(products);
  if (result === null) throw new TldrError('ABORTED', 'stopped before it was finished');
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
