import type { Distance } from '../core/distance.js';
import { expectDefined } from '../core/errors.js';
import { gatherRows, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import type { RunOptions } from '../core/run-options.js';
import { UNSEEN } from '../hyper-parameters/choice-of-candidate.js';
import { kMeansCentres, nearestCentres } from '../knn/k-means.js';

/**
 * Returns the rows of whole groups of neighbouring vectors, in ascending order: about a tenth of x (n x D). No encoder
 * is fitted to them, so they stand for vectors of a kind that a collection does not hold yet. The groups are the
 * clusters of Lloyd's k-means. Returns null if there are too few rows.
 * @param x a cleaned sample: copies of one vector would fill whole groups, and zero vectors belong to none
 */
export async function unseenRows(
  x: Matrix,
  options: RunOptions & { readonly distance: Distance; readonly seed: number; readonly threads?: number },
): Promise<Int32Array | null> {
  if (x.rows < UNSEEN.rowsMin) return null;
  const rng = new Rng(options.seed);
  const order = rng.permutation(x.rows);
  const fitted = gatherRows(x, order.subarray(0, UNSEEN.fittedRowsMax));
  const centres = await kMeansCentres(fitted, {
    ...options,
    count: UNSEEN.groups,
    iterations: UNSEEN.iterations,
  });
  return smallGroups(await nearestCentres(x, centres, options), rng);
}

/** The rows of groups in random order, as long as they hold no more than their share of the rows together. */
function smallGroups(groups: Int32Array, rng: Rng): Int32Array | null {
  const sizes = new Int32Array(UNSEEN.groups);
  for (const group of groups) sizes[group] = expectDefined(sizes[group], 'the size of a group') + 1;
  const room = groups.length * UNSEEN.share;
  const chosen = new Set<number>();
  let held = 0;
  for (const group of rng.permutation(UNSEEN.groups)) {
    const size = expectDefined(sizes[group], 'the size of a group');
    if (held + size > room) continue;
    held += size;
    chosen.add(group);
  }
  const rows = Int32Array.from(groups.keys()).filter((i) => chosen.has(expectDefined(groups[i], 'a group')));
  return rows.length < UNSEEN.heldMin ? null : rows;
}
