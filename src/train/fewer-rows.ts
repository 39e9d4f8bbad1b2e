import type { CleanSample } from '../core/clean-and-split-sample.js';
import { expectDefined } from '../core/errors.js';
import { gatherRows, matrix, rowRange, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import { THREADS, type RunOptions } from '../core/run-options.js';
import { projectNatively } from '../encoder/project-natively.js';
import { DEADLINE } from '../hyper-parameters/deadline.js';
import { COST } from '../hyper-parameters/fit-of-candidates.js';

/** The speed of a machine at a time. */
export interface Speed {
  /** How many times slower than at the nominal speed matrix products are. */
  readonly slowness: number;
  /** Time in which a worker thread starts, in seconds. */
  readonly startSeconds: number;
}

/** Measures how fast this machine is now. */
export async function measureSpeed(
  x: Matrix,
  { threads = THREADS, ...run }: { readonly threads?: number | undefined } & Pick<RunOptions, 'signal'>,
): Promise<Speed> {
  const columns = DEADLINE.measuredColumns;
  const nominalPerRow = (2 * x.cols * columns) / (COST.flopsPerThread * threads);
  const part = rowRange(x, 0, Math.min(x.rows, Math.ceil(DEADLINE.measuredSeconds / nominalPerRow)));
  const weight = matrix(
    x.cols,
    columns,
    Float32Array.from({ length: x.cols * columns }, (_, i) => (i % 7) - 3),
  );
  const network = {
    normalizeInput: false,
    layers: [{ weight, bias: null, relu: false }],
    normalizeOutput: false,
  };
  const seconds = async (rows: Matrix): Promise<number> => {
    const startedAtMs = performance.now();
    await projectNatively(network, rows, { threads, ...run });
    return (performance.now() - startedAtMs) / 1000;
  };
  const one = rowRange(x, 0, 1);
  const first = await seconds(one);
  // The first start also loads the native library.
  const startSeconds = Math.min(first, await seconds(one));
  const whole = await seconds(part);
  const nominal = part.rows * nominalPerRow;
  return { slowness: Math.max(0, whole - startSeconds) / nominal, startSeconds };
}

/** Returns the largest number of rows, at most `rows`, whose preparation takes at most `seconds`. */
export function rowsInTime(rows: number, seconds: number, secondsFor: (rows: number) => number): number {
  let fitting = rows;
  while (fitting > DEADLINE.rowsMin && secondsFor(fitting) > seconds)
    fitting = Math.max(DEADLINE.rowsMin, Math.floor(fitting * DEADLINE.rowsFactor));
  return fitting;
}

/** Returns the sample with this many of its rows: those that are needed, and random others. */
export function withFewerRows(
  { x, rowOf, facts }: CleanSample,
  rows: number,
  { seed, needed }: { readonly seed: number; readonly needed: ReadonlySet<number> },
): CleanSample {
  if (rows >= x.rows) return { x, rowOf, facts };
  const others = Array.from(new Rng(seed).permutation(x.rows)).filter((i) => !needed.has(i));
  const kept = [...needed, ...others.slice(0, Math.max(0, rows - needed.size))].sort((a, b) => a - b);
  const moved = new Int32Array(x.rows).fill(-1);
  kept.forEach((from, to) => (moved[from] = to));
  return {
    x: gatherRows(x, kept),
    rowOf: rowOf.map((row) => (row < 0 ? row : expectDefined(moved[row], 'a row of the sample'))),
    facts,
  };
}
