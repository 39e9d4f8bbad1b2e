import { Rng } from '../core/rng.js';
import { mean, ndcg, recall } from '../evaluate/ranking.js';

const TOP = 10;
const HALVES = 8;

/**
 * Share of the first ten of `truth` (or of all, if there are fewer) that are in `found`; 1 if it is empty.
 */
export function recallAtTen(truth: readonly number[], found: readonly number[]): number {
  return recall(found, truth.slice(0, TOP));
}

/**
 * nDCG@10 with gains by the order of the full space: the nearest point has gain 10, the tenth 1, any other 0;
 * 1 if `truth` is empty.
 */
export function ndcgOf(truth: readonly number[], found: readonly number[]): number {
  const wanted = truth.slice(0, TOP);
  const gains = new Map(wanted.map((id, i) => [id, TOP - i]));
  const gainsOf = (ids: readonly number[]): number[] => ids.slice(0, TOP).map((id) => gains.get(id) ?? 0);
  return wanted.length === 0 ? 1 : ndcg(gainsOf(found), { depth: TOP, ideal: gainsOf(wanted) });
}

/**
 * The change of a query's recall when the collection doubles. Random halves of the points serve as the
 * smaller collection: a ranking without the other points is the ranking that the half would give.
 * @param truth the query's nearest points in the full space, nearest first, several times ten
 * @param ranked its nearest points in the other space, several times `depth`
 */
export function recallPerDoubling(
  truth: readonly number[],
  ranked: readonly number[],
  { depth, halves }: { readonly depth: number; readonly halves: readonly Uint8Array[] },
): number {
  const whole = recallAtTen(truth, ranked.slice(0, depth));
  const smaller = halves.map((half) => {
    const survives = (id: number): boolean => half[id] === 1;
    return recallAtTen(truth.filter(survives), ranked.filter(survives).slice(0, depth));
  });
  return whole - mean(smaller);
}

/** Random halves of 0 to n-1: arrays of n values, 1 for members. */
export function randomHalves(n: number, seed: number): Uint8Array[] {
  const rng = new Rng(seed);
  return Array.from({ length: HALVES }, () => {
    const half = new Uint8Array(n);
    rng
      .permutation(n)
      .subarray(0, Math.ceil(n / 2))
      .forEach((id) => (half[id] = 1));
    return half;
  });
}

/** The indices for each query, nearest first, without the -1 that pad short lists. */
export function rankedLists(indices: Int32Array, k: number): number[][] {
  return Array.from({ length: indices.length / k }, (_, q) =>
    Array.from(indices.subarray(q * k, (q + 1) * k)).filter((index) => index >= 0),
  );
}
