import { Rng } from '../core/rng.js';

/**
 * Measures of ranked lists. A list holds row numbers, best first, padded with -1 if there are fewer results.
 * A list of gains holds the gain of each result, 0 if it is not relevant.
 */

const RESAMPLES = 1000;

/**
 * The share of the true results that were found: recall@k if both lists have k places; 1 if there are no true
 * results.
 */
export function recall(found: Iterable<number>, truth: Iterable<number>): number {
  const answer = new Set(found);
  let [wanted, hits] = [0, 0];
  for (const index of truth) {
    if (index < 0) continue;
    wanted++;
    if (answer.has(index)) hits++;
  }
  return wanted === 0 ? 1 : hits / wanted;
}

/** 1 if both lists begin with the same result (or both are empty), else 0. */
export function topOneAgreement(found: Int32Array, truth: Int32Array): number {
  return (found[0] ?? -1) === (truth[0] ?? -1) ? 1 : 0;
}

/**
 * Kendall's tau-a (Kendall 1938) of the results that both lists share: (concordant - discordant) / all pairs
 * of shared results. 1 is the same order, -1 the opposite order. Missing results lower recall, not this
 * measure.
 * @returns null if fewer than two results are shared
 */
export function rankCorrelation(found: Int32Array, truth: Int32Array): number | null {
  const place = new Map<number, number>();
  truth.forEach((index, i) => {
    if (index >= 0) place.set(index, i);
  });
  const places = Array.from(found).flatMap((index) => place.get(index) ?? []);
  const n = places.length;
  if (n < 2) return null;
  let balance = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) balance += places[i]! < places[j]! ? 1 : -1;
  }
  return balance / ((n * (n - 1)) / 2);
}

/**
 * Average precision at a depth (Manning, Raghavan and Schütze 2008, section 8.4, cut off): the sum of the
 * precision at each relevant result within the depth, divided by min(relevant, depth). A list with relevant
 * results only therefore has 1, even if not all relevant rows fit into it.
 * @param gains gains of the results, best first; above 0 is relevant
 * @param relevant number of relevant rows in total; 0 gives 0
 */
export function averagePrecision(
  gains: ArrayLike<number>,
  { depth, relevant }: { readonly depth: number; readonly relevant: number },
): number {
  let [hits, sum] = [0, 0];
  for (let i = 0; i < Math.min(depth, gains.length); i++) {
    if (gains[i]! <= 0) continue;
    hits++;
    sum += hits / (i + 1);
  }
  const most = Math.min(relevant, depth);
  return most === 0 ? 0 : sum / most;
}

/** Sum of gain / log2(rank + 1) within the depth (Järvelin and Kekäläinen 2002); negative gains count as 0. */
function discountedGain(gains: ArrayLike<number>, depth: number): number {
  let sum = 0;
  for (let i = 0; i < Math.min(depth, gains.length); i++) sum += Math.max(0, gains[i]!) / Math.log2(i + 2);
  return sum;
}

/**
 * Normalised discounted cumulative gain at a depth (Järvelin and Kekäläinen 2002), with linear gains as in
 * trec_eval.
 * @param gains gains of the results, best first
 * @param ideal all positive gains, largest first (the first `depth` are enough); none gives 0
 */
export function ndcg(
  gains: ArrayLike<number>,
  { depth, ideal }: { readonly depth: number; readonly ideal: ArrayLike<number> },
): number {
  const best = discountedGain(ideal, depth);
  return best === 0 ? 0 : discountedGain(gains, depth) / best;
}

/** 1 / rank of the first relevant result within the depth, or 0 if there is none (Voorhees 1999). */
export function reciprocalRank(gains: ArrayLike<number>, depth: number): number {
  for (let i = 0; i < Math.min(depth, gains.length); i++) if (gains[i]! > 0) return 1 / (i + 1);
  return 0;
}

/** Arithmetic mean; NaN without values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/**
 * Percentile with linear interpolation between the two nearest values (definition 7 of Hyndman and Fan 1996,
 * NumPy's default); NaN without values.
 * @param percent 0 to 100
 */
export function percentile(values: ArrayLike<number>, percent: number): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  const at = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}

/** The distribution of a measure over the queries: its mean with a 95 % interval, and its low end. */
export interface Spread {
  readonly mean: number;
  readonly interval: readonly [number, number];
  readonly median: number;
  readonly min: number;
  /** 5th percentile over the queries. */
  readonly p5: number;
}

/** Mean, 95 % bootstrap interval of the mean, median, minimum and 5th percentile; NaN without values. */
export function spread(values: Float64Array, seed: number): Spread {
  return {
    mean: mean(values),
    interval: bootstrapInterval(values, seed),
    median: percentile(values, 50),
    min: percentile(values, 0),
    p5: percentile(values, 5),
  };
}

/** 95 % interval of the mean by the percentile bootstrap (Efron 1979). */
export function bootstrapInterval(values: Float64Array, seed: number): readonly [number, number] {
  const rng = new Rng(seed);
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[rng.int(values.length)]!;
    return sum / values.length;
  }).sort();
  return [means[Math.floor(0.025 * RESAMPLES)]!, means[Math.floor(0.975 * RESAMPLES)]!];
}
