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

/** Ranked lists of many queries: queries x k row numbers, best first, -1 for none, and their scores. */
export interface RankedLists {
  readonly k: number;
  readonly rows: Int32Array;
  /** Score of each result as the searched space reports it; NaN where there is none. */
  readonly scores: Float64Array;
}

/** Recall of the true top k in the first k found, over the queries. */
export interface RecallAtK extends Spread {
  readonly k: number;
}

/** How close one way of searching comes to exact search of the full vectors. */
export interface Fidelity {
  readonly recall: readonly RecallAtK[];
  /** Share of queries whose first result is the true first. */
  readonly topOne: number;
  /** Mean Kendall tau over shared results; null where no query shares two. */
  readonly rankCorrelation: number | null;
  /** Score found minus true score on shared results: mean, and 95th percentile of its size; null without any. */
  readonly scoreShift: { readonly mean: number; readonly absoluteP95: number } | null;
}

/** Round-trip time of one query at a time, in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Means of ranking quality, without the per-query values. */
export type Quality = Omit<RankingQuality, 'perQuery'>;

/** One way of searching, judged. */
export interface FormReport extends Fidelity {
  readonly name: string;
  readonly dim: number;
  readonly latencyMs: Latency | null;
  readonly quality: Quality | null;
}

/** The k that single figures (top-1, order, score shift, strata) are taken at: 10 where it is asked, else the largest. */
export function headlineK(ks: readonly number[]): number {
  return ks.includes(10) ? 10 : Math.max(...ks);
}

/** List q of ranked lists, cut to its first `depth` places. */
function listOf({ k, rows }: RankedLists, q: number, depth: number = k): Int32Array {
  return rows.subarray(q * k, q * k + Math.min(k, depth));
}

/** Recall of the first k true results in the first `depth` found, per query. */
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
 * Compares lists found with the true ones.
 * @param found lists for every k asked, each searched with that k
 * @param truth exact search of the full vectors, at least as deep as the largest k
 * @param options.comparableScores false where the two spaces report different quantities
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

/** Ranking quality as it goes into a report. */
export function withoutQueries({ mapAt100, ndcgAt10, mrrAt10, judgedQueries }: RankingQuality): Quality {
  return { mapAt100, ndcgAt10, mrrAt10, judgedQueries };
}
