import type { Distance } from '../core/distance.js';
import { expectDefined } from '../core/errors.js';
import { gatherRows, matrix, row, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';

/** How rows are compared with centres. */
interface ClusterOptions extends RunOptions {
  readonly distance: Distance;
  readonly threads?: number | undefined;
}

/** Returns centres of the rows of x, found with Lloyd's k-means from the first `count` rows. */
export async function kMeansCentres(
  x: Matrix,
  options: ClusterOptions & { readonly count: number; readonly iterations: number },
): Promise<Matrix> {
  let centres = gatherRows(
    x,
    Int32Array.from({ length: options.count }, (_, i) => i),
  );
  for (let i = 0; i < options.iterations; i++)
    centres = meansOf(x, await nearestCentres(x, centres, options), centres);
  return centres;
}

/** Returns the number of the nearest centre of each row. */
export function nearestCentres(
  x: Matrix,
  centres: Matrix,
  { distance, threads, signal }: ClusterOptions,
): Promise<Int32Array> {
  // Of dot products, the nearest centre would be the longest one.
  const metric = distance === 'dot' ? 'cosine' : distance;
  return exactTopK(centres, x, {
    k: 1,
    distance: metric,
    signal,
    ...(threads === undefined ? {} : { threads }),
  });
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
