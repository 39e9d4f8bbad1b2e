import { dot, squaredNorm, type Distance } from '../core/distance.js';
import { row, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import { TEMPERATURE } from '../hyper-parameters/fit-of-candidates.js';

/**
 * The softmax temperature at which a row's distribution over about 2,000 random other rows has, on average,
 * the requested perplexity exp(entropy). Hinton and Roweis (2002) set the width of a neighbourhood in this
 * way. A constant would not suit all data sets: the spread of similarities differs several times between
 * them.
 */
export function calibrateTemperature(
  x: Matrix,
  distance: Distance,
  options: { perplexity: number; seed: number },
): number {
  const order = new Rng(options.seed).permutation(x.rows);
  const candidates = order.subarray(0, Math.min(TEMPERATURE.candidates, x.rows));
  const anchors = candidates.subarray(0, Math.min(TEMPERATURE.anchors, candidates.length));
  const similarities = Array.from(anchors, (anchor, i) =>
    similaritiesOf(x, distance, { anchor, i, candidates }),
  );
  const perplexity = Math.min(
    options.perplexity,
    Math.max(TEMPERATURE.perplexityMin, (candidates.length - 1) / 2),
  );
  const spread = Math.max(
    TEMPERATURE.spreadMin,
    ...similarities.map((values) => Math.max(...values) - Math.min(...values)),
  );
  let low = Math.log(spread * TEMPERATURE.lowest);
  let high = Math.log(spread * TEMPERATURE.highest);
  for (let i = 0; i < TEMPERATURE.bisectionSteps; i++) {
    const middle = (low + high) / 2;
    const entropy = similarities.reduce((sum, values) => sum + entropyAt(values, Math.exp(middle)), 0);
    if (Math.exp(entropy / similarities.length) > perplexity) high = middle;
    else low = middle;
  }
  return Math.exp((low + high) / 2);
}

function similaritiesOf(
  x: Matrix,
  distance: Distance,
  { anchor, i, candidates }: { anchor: number; i: number; candidates: Int32Array },
): Float64Array {
  const a = row(x, anchor);
  const values = new Float64Array(candidates.length - 1);
  let at = 0;
  candidates.forEach((candidate, j) => {
    if (j === i) return;
    const b = row(x, candidate);
    const product = dot(a, b);
    values[at++] = distance === 'euclid' ? 2 * product - squaredNorm(b) : product;
  });
  return values;
}

function entropyAt(similarities: Float64Array, tau: number): number {
  const top = similarities.reduce((max, value) => Math.max(max, value), -Infinity);
  let total = 0;
  let weighted = 0;
  for (const value of similarities) {
    const logit = (value - top) / tau;
    const weight = Math.exp(logit);
    total += weight;
    weighted += weight * logit;
  }
  return Math.log(total) - weighted / total;
}
