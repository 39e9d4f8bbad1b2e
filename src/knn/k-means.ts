import type { Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { runInWorker, shareFloats } from '../core/worker-task.js';
import { exactTopK } from './exact-search-in-worker.js';

/** How rows are compared with centres. */
interface ClusterOptions extends RunOptions {
  readonly distance: Distance;
  readonly threads?: number | undefined;
}

/** The input of the worker thread that finds centres. */
export interface KMeansTask {
  readonly x: Matrix;
  readonly count: number;
  readonly iterations: number;
  readonly metric: Distance;
  readonly threads: number;
}

/** Returns centres of the rows of x, found with Lloyd's k-means from the first `count` rows, in one worker thread. */
export async function kMeansCentres(
  x: Matrix,
  {
    count,
    iterations,
    distance,
    threads = THREADS,
    signal,
  }: ClusterOptions & { readonly count: number; readonly iterations: number },
): Promise<Matrix> {
  const shared = { ...x, data: shareFloats(x.data) };
  const task: KMeansTask = { x: shared, count, iterations, metric: metricOf(distance), threads };
  const file = new URL('./k-means-worker.js', import.meta.url);
  const data = await runInWorker({ file, data: task, signal });
  if (!(data instanceof Float32Array)) throw new TldrError('INTERNAL', 'k-means returned no centres');
  return { rows: count, cols: x.cols, data };
}

/** Returns the number of the nearest centre of each row. */
export function nearestCentres(
  x: Matrix,
  centres: Matrix,
  { distance, threads, signal }: ClusterOptions,
): Promise<Int32Array> {
  return exactTopK(centres, x, {
    k: 1,
    distance: metricOf(distance),
    signal,
    ...(threads === undefined ? {} : { threads }),
  });
}

/** Of dot products, the nearest centre would be the longest one. */
function metricOf(distance: Distance): Distance {
  return distance === 'dot' ? 'cosine' : distance;
}
