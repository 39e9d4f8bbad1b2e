import * as v from 'valibot';
import { checkJson } from '../core/check-schema.js';
import { dot } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import { matrix, row, type Matrix } from '../core/matrix.js';

/**
 * Where an encoder's training sample lies in the compact space, in a few kilobytes. It tells vectors of a kind that the
 * encoder was not fitted to from others.
 */
export interface SampleSummary {
  /** Fingerprint of the encoder. The summary means nothing for other weights. */
  readonly encoder: string;
  /** Rows that the summary was made from. */
  readonly rows: number;
  /** Cosine: 1 - cosine to the nearest centre. Euclid: the distance to it. */
  readonly distance: 'cosine' | 'euclid';
  /** Centres of the projected sample: k x outputDim. */
  readonly centres: Matrix;
  /** A point farther than this from every centre is far. */
  readonly farPoint: number;
  /** The same for queries, from real queries; null if training had none. */
  readonly farQuery: number | null;
  /** Share of the sample's own kind that is far: what to expect without drift. */
  readonly expectedShare: number;
}

/** Steps of a stored component on each side of zero. */
const STEPS = 127;
/** More centres are not read: each vector is compared with all of them. */
const CENTRES_MAX = 4096;

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const LENGTH = v.pipe(v.number(), v.finite(), v.minValue(0));
const FORM = v.object({
  encoder: v.string(),
  rows: COUNT,
  distance: v.picklist(['cosine', 'euclid']),
  count: v.pipe(COUNT, v.maxValue(CENTRES_MAX)),
  step: LENGTH,
  farPoint: LENGTH,
  farQuery: v.nullable(LENGTH),
  expectedShare: v.pipe(LENGTH, v.maxValue(1)),
  centres: v.string(),
});

/** Rounds centres to what the file holds: a whole number of steps from -127 to 127 in each component. */
export function storableCentres(centres: Matrix): Matrix {
  const step = stepOf(centres);
  return { ...centres, data: centres.data.map((value) => Math.fround(Math.round(value / step) * step)) };
}

/** The size of a step: the largest component is 127 of them. */
function stepOf({ data }: Matrix): number {
  let largest = 0;
  for (const value of data) largest = Math.max(largest, Math.abs(value));
  return largest / STEPS || 1;
}

/** Returns the text that the encoder file holds; the same summary always gives the same text. */
export function summaryText({ centres, ...summary }: SampleSummary): string {
  const step = stepOf(centres);
  const bytes = Int8Array.from(centres.data, (value) => Math.round(value / step));
  return JSON.stringify({
    ...summary,
    count: centres.rows,
    step,
    centres: Buffer.from(bytes.buffer).toString('base64'),
  });
}

/** Reads what `summaryText` wrote. @throws INVALID_DATA for any other text */
export function parseSummary(text: string, outputDim: number): SampleSummary {
  const refuse = (problem: string, cause?: unknown): TldrError =>
    new TldrError('INVALID_DATA', `encoder file: the summary of its sample cannot be used: ${problem}`, {
      cause,
    });
  const { count, step, centres, ...summary } = checkJson(FORM, text, { refuse });
  const bytes = new Int8Array(Buffer.from(centres, 'base64'));
  if (bytes.length !== count * outputDim)
    throw refuse(`it holds ${bytes.length} components, expected ${count} x ${outputDim}`);
  return {
    encoder: summary.encoder,
    rows: summary.rows,
    distance: summary.distance,
    centres: matrix(
      count,
      outputDim,
      Float32Array.from(bytes, (value) => Math.fround(value * step)),
    ),
    farPoint: summary.farPoint,
    farQuery: summary.farQuery,
    expectedShare: summary.expectedShare,
  };
}

/** Returns the distance of each projected vector (n x outputDim) to the nearest centre. */
export function distancesToSample(
  { centres, distance }: Pick<SampleSummary, 'centres' | 'distance'>,
  compact: Matrix,
): Float64Array {
  const norms = Float64Array.from({ length: centres.rows }, (_, c) =>
    Math.sqrt(dot(row(centres, c), row(centres, c))),
  );
  return Float64Array.from({ length: compact.rows }, (_, i) => {
    const vector = row(compact, i);
    const squared = dot(vector, vector);
    const norm = Math.sqrt(squared);
    let least = Infinity;
    for (let c = 0; c < centres.rows; c++) {
      const product = dot(vector, row(centres, c));
      const length = norms[c]!;
      const apart =
        distance === 'cosine'
          ? 1 - (norm === 0 || length === 0 ? 0 : product / (norm * length))
          : Math.sqrt(Math.max(0, squared - 2 * product + length * length));
      least = Math.min(least, apart);
    }
    return least;
  });
}

/** Returns 1 for each projected vector that is far from the sample, 0 for the others. */
export function farFromSample(summary: SampleSummary, compact: Matrix, as: 'points' | 'queries'): Uint8Array {
  const limit = as === 'queries' ? (summary.farQuery ?? summary.farPoint) : summary.farPoint;
  return Uint8Array.from(distancesToSample(summary, compact), (distance) => (distance > limit ? 1 : 0));
}
