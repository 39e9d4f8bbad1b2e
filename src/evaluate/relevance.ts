import { TldrError } from '../core/errors.js';
import { averagePrecision, mean, ndcg, reciprocalRank } from './ranking.js';

/**
 * Which rows are relevant to a query, as plain data.
 *
 * - Labels: a row is relevant (gain 1) to a query with the same label. A label below 0 means no label.
 * - Qrels (judgements): for each query, the gain of each judged row. Rows that are not listed, or have a
 *   gain of 0 or less, are not relevant.
 */
export type Relevance =
  | { readonly kind: 'labels'; readonly base: Int32Array; readonly queries: Int32Array }
  | { readonly kind: 'qrels'; readonly gains: readonly ReadonlyMap<number, number>[] };

/** The usual depths of the three measures. */
export const RELEVANCE_DEPTHS = { map: 100, ndcg: 10, mrr: 10 } as const;

/** Ranking quality: means over the queries with a relevant row, and values per query (NaN for the others). */
export interface RankingQuality {
  /** Mean average precision at 100, normalised by min(relevant rows, 100). */
  readonly mapAt100: number;
  readonly ndcgAt10: number;
  readonly mrrAt10: number;
  /** Number of queries with at least one relevant row; the means are over these. */
  readonly judgedQueries: number;
  readonly perQuery: {
    readonly averagePrecision: Float64Array;
    readonly ndcg: Float64Array;
    readonly reciprocalRank: Float64Array;
  };
}

/** Number of queries in the labels or qrels. */
export function relevanceQueries(relevance: Relevance): number {
  return relevance.kind === 'labels' ? relevance.queries.length : relevance.gains.length;
}

/**
 * Measures ranked lists by labels or qrels.
 * @param found queries x k row numbers, best first, -1 if there are fewer; k is at least 100
 * @throws INVALID_ARGUMENT when k is below 100 or the number of queries differs
 * @example
 * ```ts
 * import { rankingQuality } from 'qdrant-tldr';
 *
 * // One query, whose second result is the only relevant row.
 * const found = Int32Array.from({ length: 100 }, (_, place) => place);
 * const { mrrAt10 } = rankingQuality(found, 100, { kind: 'qrels', gains: [new Map([[1, 1]])] }); // 0.5
 * ```
 */
export function rankingQuality(found: Int32Array, k: number, relevance: Relevance): RankingQuality {
  const queries = relevanceQueries(relevance);
  if (k < RELEVANCE_DEPTHS.map) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `mAP@${RELEVANCE_DEPTHS.map} needs lists of at least ${RELEVANCE_DEPTHS.map} places, got ${k}`,
    );
  }
  if (found.length !== queries * k) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `got ${found.length} results, expected ${k} for each of ${queries} queries`,
    );
  }
  const judge = judgeOf(relevance);
  const perQuery = {
    averagePrecision: new Float64Array(queries).fill(Number.NaN),
    ndcg: new Float64Array(queries).fill(Number.NaN),
    reciprocalRank: new Float64Array(queries).fill(Number.NaN),
  };
  for (let q = 0; q < queries; q++) {
    const { relevant, ideal, gain } = judge(q);
    if (relevant === 0) continue;
    const gains = Float64Array.from(found.subarray(q * k, (q + 1) * k), (row) => (row < 0 ? 0 : gain(row)));
    perQuery.averagePrecision[q] = averagePrecision(gains, { depth: RELEVANCE_DEPTHS.map, relevant });
    perQuery.ndcg[q] = ndcg(gains, { depth: RELEVANCE_DEPTHS.ndcg, ideal });
    perQuery.reciprocalRank[q] = reciprocalRank(gains, RELEVANCE_DEPTHS.mrr);
  }
  const judged = (values: Float64Array): Float64Array => values.filter((value) => !Number.isNaN(value));
  return {
    mapAt100: mean(judged(perQuery.averagePrecision)),
    ndcgAt10: mean(judged(perQuery.ndcg)),
    mrrAt10: mean(judged(perQuery.reciprocalRank)),
    judgedQueries: judged(perQuery.ndcg).length,
    perQuery,
  };
}

/** Whether any row is relevant to any query. If not, no list can be measured. */
export function hasRelevant(relevance: Relevance): boolean {
  const judge = judgeOf(relevance);
  return Array.from({ length: relevanceQueries(relevance) }, (_, q) => judge(q).relevant).some((n) => n > 0);
}

interface QueryJudge {
  /** Number of rows that are relevant to this query, found or not. */
  readonly relevant: number;
  /** The relevant rows' gains, largest first, at least as many as nDCG needs. */
  readonly ideal: ArrayLike<number>;
  readonly gain: (row: number) => number;
}

function judgeOf(relevance: Relevance): (query: number) => QueryJudge {
  if (relevance.kind === 'labels') {
    const { base, queries } = relevance;
    const counts = new Map<number, number>();
    for (const label of base) counts.set(label, (counts.get(label) ?? 0) + 1);
    return (query) => {
      const label = queries[query]!;
      const relevant = label < 0 ? 0 : (counts.get(label) ?? 0);
      const ideal = new Float64Array(Math.min(relevant, RELEVANCE_DEPTHS.ndcg)).fill(1);
      return { relevant, ideal, gain: (row) => (base[row] === label ? 1 : 0) };
    };
  }
  return (query) => {
    const gains = relevance.gains[query]!;
    const positive = Float64Array.from([...gains.values()].filter((gain) => gain > 0))
      .sort()
      .reverse();
    return { relevant: positive.length, ideal: positive, gain: (row) => gains.get(row) ?? 0 };
  };
}
