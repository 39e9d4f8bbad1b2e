import { parentPort } from 'node:worker_threads';
import { expectDefined } from '../core/errors.js';
import { gatherRows, matrix, row, type Matrix } from '../core/matrix.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';
import { exactSearch } from './exact-search.js';
import type { KMeansTask } from './k-means.js';

async function centresOf({ x, count, iterations, metric, threads }: KMeansTask): Promise<Matrix> {
  let centres = gatherRows(
    x,
    Int32Array.from({ length: count }, (_, i) => i),
  );
  for (let i = 0; i < iterations; i++) {
    const groups = await exactSearch(
      { base: centres, queries: x, k: 1, distance: metric, excludeSelf: false, threads },
      { throwIfStopped, onProgress: () => undefined },
    );
    centres = meansOf(x, groups, centres);
  }
  return centres;
}

/** The mean of each group's rows; a group without rows keeps its centre. */
function meansOf(x: Matrix, groups: Int32Array, before: Matrix): Matrix {
  const sums = matrix(before.rows, before.cols);
  const counts = new Int32Array(before.rows);
  groups.forEach((group, i) => {
    counts[group] = expectDefined(counts[group], 'the size of a group') + 1;
    const sum = row(sums, group);
    row(x, i).forEach((value, j) => (sum[j] = expectDefined(sum[j], 'a component') + value));
  });
  counts.forEach((count, group) => {
    const sum = row(sums, group);
    if (count === 0) sum.set(row(before, group));
    else sum.forEach((value, j) => (sum[j] = value / count));
  });
  return sums;
}

try {
  const { data } = await centresOf(workerTask() as KMeansTask);
  parentPort?.postMessage({ kind: 'result', result: data }, [data.buffer as ArrayBuffer]);
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
