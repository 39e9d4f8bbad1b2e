import type { PointId } from '../core/point-id.js';
import { Rng } from '../core/rng.js';
import type { RankedLists } from './fidelity.js';

/** Results that an example shows at most on each side. */
const RESULTS_MAX = 10;
/** Share of the examples that are the queries with the lowest recall. */
const WORST_SHARE = 0.3;

/** A query with the ids of its results, the best first. */
export interface ExampleQueryResults {
  /** Row of the query. */
  readonly query: number;
  /** The stored point that is the query; null for a given query. */
  readonly id: PointId | null;
  /** Results of exact search with the full vectors. */
  readonly full: readonly PointId[];
  /** Results of the search that clients get. */
  readonly compact: readonly PointId[];
}

/**
 * Returns example queries: first those with the lowest recall, then others at random.
 * @param options.ids the id of a result by its number in the lists
 */
export function exampleQueries(
  lists: { readonly truth: RankedLists; readonly found: RankedLists; readonly recall: Float64Array },
  options: {
    readonly count: number;
    readonly seed: number;
    readonly queries: readonly PointId[] | null;
    readonly ids: (row: number) => PointId | undefined;
  },
): ExampleQueryResults[] {
  const { truth, found, recall } = lists;
  const { count, seed, queries, ids } = options;
  const order = Array.from(new Rng(seed).permutation(recall.length));
  const byRecall = [...order].sort((a, b) => recall[a]! - recall[b]!);
  const worst = byRecall.slice(0, Math.ceil(count * WORST_SHARE));
  const taken = new Set(worst);
  const others = order.filter((query) => !taken.has(query)).slice(0, count - worst.length);
  const idsOf = ({ rows, k }: RankedLists, query: number): PointId[] =>
    Array.from(rows.subarray(query * k, query * k + Math.min(k, found.k, RESULTS_MAX))).flatMap((number) => {
      const id = number < 0 ? undefined : ids(number);
      return id === undefined ? [] : [id];
    });
  return [...worst, ...others].map((query) => ({
    query,
    id: queries?.[query] ?? null,
    full: idsOf(truth, query),
    compact: idsOf(found, query),
  }));
}
