import { parentPort } from 'node:worker_threads';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { DoubleMatrix } from '../encoder/native-matmul.js';
import { errorMessage, isStopped, workerTask } from '../core/worker-task.js';
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

/** Second moments of points and of queries, D x D each; d columns are wanted. */
export interface SpheringTask {
  readonly points: Float64Array;
  readonly queries: Float64Array;
  readonly size: number;
  readonly d: number;
  readonly threads: number;
  /** What the moments' rows and columns are coordinates along; null where they are the dimensions themselves. */
  readonly basis: Matrix | null;
}

/** The two maps, D x d row-major: a point is projected by x^T points, a query by q^T queries. */
export interface SpheringMaps {
  readonly points: Float64Array;
  readonly queries: Float64Array;
}

/** Of a diagonal's mean: fewer rows than dimensions leave directions without any variance. */
const RIDGE_MIN = 1e-6;

/**
 * Minimises E (q^T x - q^T A B^T x)^2 over A and B, D x d, for the second moments C of queries and S of points. Given
 * B, the normal equations give A = S B (B^T S B)^-1; what is left is least where the columns of B span the first d
 * eigenvectors of C S. Any basis of theirs will do, and the orthonormal one keeps lengths of points as PCA does. With
 * C = S this is uncentred PCA. Null when stopped.
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
  // C S is symmetric under the inner product of S: the Ritz vectors come of a small symmetric problem.
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

/** R with R^T R = a + ridge, the ridge being the least that rounding allows. */
function factorOf(a: DoubleMatrix): DoubleMatrix {
  const n = a.rows;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += a.data[i * n + i]!;
  for (let ridge = RIDGE_MIN; ridge < 1; ridge *= 10) {
    const data = a.data.slice();
    for (let i = 0; i < n; i++) data[i * n + i] = data[i * n + i]! + (ridge * trace) / n;
    const factor = upperCholesky({ ...a, data });
    if (factor !== null) return factor;
  }
  throw new TldrError('INVALID_DATA', 'vectors whose second moment cannot be factored: are they all zero?');
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
