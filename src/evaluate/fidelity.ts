import type { RankingQuality } from './relevance.js';
import {
  mean,
  percentile,
  rankCorrelation,
  recall,
  spread,
  topOneAgreement,
  type Spread,
} from './ranking.js';

/** Ranked lists of many queries: queries x k row numbers, best first, -1 if there are fewer, with scores. */
export interface RankedLists {
  readonly k: number;
  readonly rows: Int32Array;
  /** Score of each result in the searched space; NaN if there is no result. */
  readonly scores: Float64Array;
}

/** Share of the true top k among the first k results, over all queries. */
export interface RecallAtK extends Spread {
  readonly k: number;
}

/** Agreement of a form of search with exact search of the full vectors. */
export interface Fidelity {
  readonly recall: readonly RecallAtK[];
  /** Share of queries whose first result is the true first result. */
  readonly topOne: number;
  /** Mean Kendall tau over the shared results; null if no query shares two results. */
  readonly rankCorrelation: number | null;
  /**
   * Score minus true score of shared results: mean and 95th percentile of its size; null without any.
   */
  readonly scoreShift: { readonly mean: number; readonly absoluteP95: number } | null;
}

/** Percentiles of the round-trip time of a query, sent one at a time, in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Mean ranking quality, without the values of each query. */
export type Quality = Omit<RankingQuality, 'perQuery'>;

/** The measures of drift that acceptance terms can be about, for one form of search. */
export interface DriftMeasures {
  /** Share of far vectors: of the new points if a filter names them, otherwise of all. */
  readonly share: number;
  /** Mean recall of new points and of the others; null without such points. */
  readonly newRecall: number | null;
  readonly oldRecall: number | null;
}

/** The measures of one form of search. */
export interface FormReport extends Fidelity {
  readonly name: string;
  readonly dim: number;
  readonly latencyMs: Latency | null;
  readonly quality: Quality | null;
  /** Only if drift was measured. */
  readonly drift?: DriftMeasures;
}

/** The k of the single figures (top-1, order, score shift, strata): 10 if it is in `ks`, else the largest. */
export function headlineK(ks: readonly number[]): number {
  return ks.includes(10) ? 10 : Math.max(...ks);
}

/** The first `depth` places of list q. */
function listOf({ k, rows }: RankedLists, q: number, depth: number = k): Int32Array {
  return rows.subarray(q * k, q * k + Math.min(k, depth));
}

/** For each query, the share of its first k true results among the first `depth` results. */
export function recallPerQuery(
  found: RankedLists,
  truth: RankedLists,
  { k, depth = k }: { readonly k: number; readonly depth?: number },
): Float64Array {
  return Float64Array.from({ length: found.rows.length / found.k }, (_, q) =>
    recall(listOf(found, q, depth), listOf(truth, q, k)),
  );
}

/**
 * Compares ranked lists with the true lists.
 * @param found the lists for each k, from a search for k results
 * @param truth the lists of exact search with the full vectors, at least as deep as the largest k
 * @param options.comparableScores false if the two spaces report different quantities
 */
export function fidelity(
  found: ReadonlyMap<number, RankedLists>,
  truth: RankedLists,
  options: { readonly seed: number; readonly comparableScores: boolean },
): Fidelity {
  const ks = [...found.keys()].sort((a, b) => a - b);
  const k = headlineK(ks);
  const lists = found.get(k)!;
  const queries = lists.rows.length / lists.k;
  const correlations: number[] = [];
  let agreed = 0;
  for (let q = 0; q < queries; q++) {
    agreed += topOneAgreement(listOf(lists, q), listOf(truth, q));
    const correlation = rankCorrelation(listOf(lists, q), listOf(truth, q, k));
    if (correlation !== null) correlations.push(correlation);
  }
  return {
    recall: ks.map((at) => ({
      k: at,
      ...spread(recallPerQuery(found.get(at)!, truth, { k: at }), options.seed),
    })),
    topOne: agreed / queries,
    rankCorrelation: correlations.length === 0 ? null : mean(correlations),
    scoreShift: options.comparableScores ? scoreShift(lists, truth) : null,
  };
}

function scoreShift(found: RankedLists, truth: RankedLists): Fidelity['scoreShift'] {
  const shifts: number[] = [];
  for (let q = 0; q < found.rows.length / found.k; q++) {
    const scores = new Map<number, number>();
    listOf(truth, q).forEach((row, i) => scores.set(row, truth.scores[q * truth.k + i]!));
    listOf(found, q).forEach((row, i) => {
      const shift = found.scores[q * found.k + i]! - (scores.get(row) ?? Number.NaN);
      if (row >= 0 && Number.isFinite(shift)) shifts.push(shift);
    });
  }
  if (shifts.length === 0) return null;
  return { mean: mean(shifts), absoluteP95: percentile(shifts.map(Math.abs), 95) };
}

/** Ranking quality for a report, without the values of each query. */
export function withoutQueries({ mapAt100, ndcgAt10, mrrAt10, judgedQueries }: RankingQuality): Quality {
  return { mapAt100, ndcgAt10, mrrAt10, judgedQueries };
}
