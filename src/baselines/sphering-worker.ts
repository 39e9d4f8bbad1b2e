import { parentPort } from 'node:worker_threads';
import { createDoubleProduct, type DoubleMatrix, type NativeDoubleProduct } from '../core/native-matmul.js';
import { errorMessage, isStopped, throwIfStopped, workerTask } from '../core/worker-task.js';
import { TldrError } from '../core/errors.js';
import { inverseOfUpper, upperCholesky } from './cholesky.js';
import { largestEigen, orthonormal } from './largest-eigen.js';

/** Second moments of points and of queries, D x D each; d columns are wanted. */
export interface SpheringTask {
  readonly points: Float64Array;
  readonly queries: Float64Array;
  readonly size: number;
  readonly d: number;
  readonly threads: number;
}

/** The two maps, D x d row-major: a point is projected by x^T points, a query by q^T queries. */
export interface SpheringMaps {
  readonly points: Float64Array;
  readonly queries: Float64Array;
}

/** Added to a diagonal as a share of its mean: directions without any variance must not stop a factorisation. */
const RIDGE = 1e-9;

interface Products extends Record<string, NativeDoubleProduct> {
  readonly plain: NativeDoubleProduct;
  readonly transposed: NativeDoubleProduct;
  readonly byTransposed: NativeDoubleProduct;
}

/**
 * Minimises E (q^T x - q^T A B^T x)^2 over A and B, D x d, for the second moments C of queries and S of points. The
 * error is |L^T (I - A B^T) S^(1/2)|^2 with L L^T = C, so the columns of B span L P, P being the first d eigenvectors
 * of L^T S L; any basis will do, and the orthonormal one keeps lengths of points as PCA does. Given B, the normal
 * equations give A = S B (B^T S B)^-1. With C = S this is uncentred PCA.
 */
async function spheringMaps(
  { points, queries, size, d, threads }: SpheringTask,
  { plain, transposed, byTransposed }: Products,
): Promise<SpheringMaps> {
  const square = (data: Float64Array): DoubleMatrix => ({ rows: size, cols: size, data });
  const s = square(points);
  const upper = factorOf(square(queries));
  throwIfStopped();
  const weighted = await plain.multiply(upper, await byTransposed.multiply(s, upper));
  const found = await largestEigen(
    { symmetric: weighted.data, size, d, threads },
    {
      shouldStop: isStopped,
      onIteration: (done, total) =>
        parentPort?.postMessage({
          kind: 'progress',
          progress: { step: 'query-aware axes', done, total, unit: 'iterations' },
        }),
    },
  );
  if (found === null) throw new TldrError('ABORTED', 'stopped before it was finished');
  const axes = { rows: size, cols: d, data: found.vectors };
  const b = await orthonormal(await transposed.multiply(upper, axes), { plain, transposed });
  const sb = await plain.multiply(s, b);
  const inverse = inverseOfUpper(factorOf(await transposed.multiply(b, sb)));
  const a = await byTransposed.multiply(await plain.multiply(sb, inverse), inverse);
  return { points: b.data, queries: a.data };
}

/** R with R^T R = a + a small ridge. */
function factorOf(a: DoubleMatrix): DoubleMatrix {
  const n = a.rows;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += a.data[i * n + i]!;
  const data = a.data.slice();
  for (let i = 0; i < n; i++) data[i * n + i] = data[i * n + i]! + (RIDGE * trace) / n;
  const factor = upperCholesky({ ...a, data });
  if (factor === null) throw new TldrError('INVALID_DATA', 'the vectors span no space: are they all zero?');
  return factor;
}

async function open(threads: number): Promise<Products> {
  return {
    plain: await createDoubleProduct({ threads }),
    transposed: await createDoubleProduct({ threads, transposeA: true }),
    byTransposed: await createDoubleProduct({ threads, transposeB: true }),
  };
}

try {
  const task = workerTask() as SpheringTask;
  const products = await open(task.threads);
  const result = await spheringMaps(task, products);
  for (const product of Object.values(products)) await product.close();
  parentPort?.postMessage({ kind: 'result', result });
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
