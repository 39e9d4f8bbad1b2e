import { Rng } from '../core/rng.js';
import { mean } from '../evaluate/ranking.js';

const RESAMPLES = 2000;
/** Recall nearer than this to 0 or 1 is moved to this distance, because its probit would be infinite. */
const EDGE = 1e-4;
/** No extrapolation if the sample is the whole collection except for the held-out queries. */
const DOUBLINGS_MIN = 0.2;
/** Tolerance, so that a mean recall equal to the target does not fail by a rounding error. */
const ROUNDING = 1e-9;

/** The measurements of a configuration for each query, and the doublings up to the collection's size. */
export interface RecallEvidence {
  /** Recall of each query on the sample. */
  readonly recall: Float64Array;
  /** Change of each query's recall by the last doubling of the points: mostly zero or negative. */
  readonly perDoubling: Float64Array;
  /** Doublings from the sample to the collection. */
  readonly doublings: number;
  /** What the encoder finds less among points that it was not fitted to; null if this was not measured. */
  readonly fitGap: FitGap | null;
}

/** How much less an encoder finds among points that it was not fitted to, and how much of this a collection loses. */
export interface FitGap {
  /** Recall@10 among rows that the encoder was fitted to, less recall@10 among as many rows that it was not. */
  readonly value: number;
  /** Standard error of the value over queries. */
  readonly standardError: number;
  /** The part of the value by which the collection's recall is below the sample's; negative if it is above. */
  readonly share: number;
}

/** Expected recall at another size, and the estimates of the two models around it. */
export interface ExpectedRecall {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Extrapolates recall to a larger collection from two models. In the linear model, recall falls by the same
 * amount per doubling; near a recall of 1 that is too optimistic. In the probit model, the probit of recall
 * falls by the same amount; that is too pessimistic. The result is their mean. With real embeddings, it
 * stayed within .05 of the true recall over one to three doublings. The recall on the sample was off by up to
 * .2 (docs/plan.md). `withoutFitGap` corrects the result for points that the encoder was not fitted to.
 */
export function expectedRecall(recall: number, perDoubling: number, doublings: number): ExpectedRecall {
  // More points can only lower recall, so a rise is noise.
  const fall = Math.min(0, perDoubling);
  if (fall === 0 || doublings <= 0) return { value: recall, low: recall, high: recall };
  const linear = Math.max(0, recall + fall * doublings);
  const now = probit(recall);
  const curved = normalCdf(now + (now - probit(recall - fall)) * doublings);
  const [low, high] = [Math.min(linear, curved), Math.max(linear, curved)];
  return { value: (low + high) / 2, low, high };
}

/** Doublings from the sample's size to the collection's; 0 if the sample is nearly the whole collection. */
export function doublingsOf(points: number, samplePoints: number): number {
  const doublings = Math.log2(points / samplePoints);
  return doublings < DOUBLINGS_MIN ? 0 : doublings;
}

/** Lowers the estimates by what the collection loses because the encoder was not fitted to all of its points. */
export function withoutFitGap(expected: ExpectedRecall, fitGap: FitGap | null): ExpectedRecall {
  if (fitGap === null) return expected;
  // Being fitted to a point cannot make it harder to find, so a value below 0 is noise.
  const loss = Math.max(0, fitGap.value) * fitGap.share;
  const lowered = (recall: number): number => Math.min(1, Math.max(0, recall - loss));
  return { value: lowered(expected.value), low: lowered(expected.low), high: lowered(expected.high) };
}

/**
 * Expected recall with a 95 % interval over queries, from the lower model's low end to the higher one's high
 * end.
 */
export function recallWithInterval(
  evidence: RecallEvidence,
  seed: number,
): { readonly recall: number; readonly interval: readonly [number, number] } {
  const resamples = resample(evidence, seed);
  const low = Float64Array.from(resamples, (one) => one.low).sort();
  const high = Float64Array.from(resamples, (one) => one.high).sort();
  const { recall, perDoubling, doublings, fitGap } = evidence;
  return {
    recall: withoutFitGap(expectedRecall(mean(recall), mean(perDoubling), doublings), fitGap).value,
    interval: [low[Math.floor(0.025 * RESAMPLES)]!, high[Math.floor(0.975 * RESAMPLES)]!],
  };
}

/**
 * The probability that recall reaches `atLeast`: the share of bootstrap resamples and models that reach it.
 */
export function certaintyOf(evidence: RecallEvidence, atLeast: number, seed: number): number {
  const resamples = resample(evidence, seed);
  const reached = resamples.reduce(
    (sum, { low, value, high }) =>
      sum + [low, value, high].filter((recall) => recall >= atLeast - ROUNDING).length / 3,
    0,
  );
  return reached / resamples.length;
}

/**
 * Expected recall for bootstrap resamples of the queries (Efron 1979). Each draw takes a query with both
 * values. The fit gap comes from many other queries, so that its mean is drawn from a normal distribution.
 */
function resample(
  { recall, perDoubling, doublings, fitGap }: RecallEvidence,
  seed: number,
): ExpectedRecall[] {
  const rng = new Rng(seed);
  const n = recall.length;
  return Array.from({ length: RESAMPLES }, () => {
    let [sum, change] = [0, 0];
    for (let i = 0; i < n; i++) {
      const drawn = rng.int(n);
      sum += recall[drawn]!;
      change += perDoubling[drawn]!;
    }
    const drawnGap = fitGap && { ...fitGap, value: fitGap.value + fitGap.standardError * rng.normal() };
    return withoutFitGap(expectedRecall(sum / n, change / n, doublings), drawnGap);
  });
}

/** Distribution function of the standard normal (Abramowitz and Stegun 1964, 7.1.26; error below 1.5e-7). */
export function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - series * Math.exp(-z * z);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}

/** The inverse of `normalCdf`, by bisection. Shares are limited to [1e-4, 1 - 1e-4]. */
export function probit(share: number): number {
  const p = Math.min(1 - EDGE, Math.max(EDGE, share));
  let [low, high] = [-5, 5];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
