import type { Encoder } from '../encoder/model.js';
import type { Distance } from '../core/distance.js';
import { gatherRows, rowRange, type Matrix } from '../core/matrix.js';
import { Rng } from '../core/rng.js';
import { throwIfAborted, type RunOptions } from '../core/run-options.js';
import { mean } from '../evaluate/ranking.js';
import { SAMPLE_POINTS } from '../hyper-parameters/fit-of-candidates.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import { doublingsOf, type FitGap } from './extrapolate-recall.js';
import { rankedLists, recallAtTen } from './recall-and-ndcg.js';

const TOP = 10;
/** Rows that are kept out of every fit: this share of a sample, within bounds. Chosen. */
const KEPT_OUT_SHARE = 0.25;
const KEPT_OUT_MIN = 200;
const KEPT_OUT_MAX = 5_000;
/** Parts of the fitted rows that are searched, each as large as the part kept out: their mean is steadier. Chosen. */
const FITTED_PARTS_MAX = 3;
const QUERIES_MAX = 1_500;

/** The rows of a sample, by whether encoders are fitted to them. */
export interface FittedRows {
  readonly fitted: Int32Array;
  /** Rows that no encoder is fitted to, in random order; empty if there is nothing to predict, or too few rows. */
  readonly keptOut: Int32Array;
}

/**
 * Chooses the rows that are kept out of every fit. There are none if the sample is nearly the whole collection: then
 * its recall need not be predicted.
 * @param isNeeded whether fitting needs a row, for example because a query's judgement names it
 */
export function keepRowsOut(
  rows: number,
  { points, seed, isNeeded }: { points: number; seed: number; isNeeded: (row: number) => boolean },
): FittedRows {
  const order = new Rng(seed).permutation(rows).filter((row) => !isNeeded(row));
  const count = Math.min(Math.floor(rows * KEPT_OUT_SHARE), KEPT_OUT_MAX, order.length);
  const isUsed = doublingsOf(points, rows) > 0 && count >= KEPT_OUT_MIN;
  const keptOut = order.subarray(0, isUsed ? count : 0);
  const isKeptOut = new Set(keptOut);
  const fitted = Int32Array.from({ length: rows }, (_, row) => row).filter((row) => !isKeptOut.has(row));
  return { fitted, keptOut };
}

/** Numbers of points that decide how much of the fit gap a collection loses. */
export interface FitCounts {
  /** Sample points that the plan's encoders were fitted to. */
  readonly fitted: number;
  /** All points of the sample. */
  readonly sample: number;
  /** Points of the collection, and how many of them the collection's encoder will be fitted to. */
  readonly points: number;
  readonly willFit: number;
}

/** The points of a collection that the `train` command reads if nothing else is asked of it. */
export function pointsToTrain(points: number): number {
  return Math.min(points, SAMPLE_POINTS);
}

/**
 * Returns the part of the fit gap by which the collection's recall is below the sample's; negative if it is above:
 * the share of points that the encoder is fitted to, in the sample less in the collection. A fit to more points could
 * have a smaller gap, but in measurements it also found more among all points, so that the gap is taken as it is.
 */
export function fitGapShare({ fitted, sample, points, willFit }: FitCounts): number {
  return fitted / sample - willFit / points;
}

/** Rows with which fit gaps are measured, and the queries with their true neighbours among them. */
export interface GapBenchmark {
  readonly queries: Matrix;
  readonly keptOut: GapPart;
  /** As large as the part kept out. */
  readonly fitted: readonly GapPart[];
}

interface GapPart {
  readonly base: Matrix;
  /** Whether query i is row i of the base. */
  readonly holdsQueries: boolean;
  readonly truth: readonly (readonly number[])[];
}

type SearchOptions = RunOptions & { readonly threads: number };

/**
 * Finds the true neighbours of queries among rows that are kept out, and among as many fitted rows.
 * @param queries real queries; if there are none, rows that are kept out search
 */
export async function createGapBenchmark(
  { base: x, queries }: { readonly base: Matrix; readonly queries: Matrix | null },
  { fitted, keptOut }: FittedRows,
  options: SearchOptions & { readonly distance: Distance; readonly seed: number },
): Promise<GapBenchmark> {
  const size = keptOut.length;
  const apart = gatherRows(x, keptOut);
  const asked = queries ?? rowRange(apart, 0, Math.min(QUERIES_MAX, size));
  const partOf = async (base: Matrix, holdsQueries: boolean): Promise<GapPart> => {
    const found = { base, holdsQueries };
    return { ...found, truth: await nearest(found, asked, { ...options, k: TOP }) };
  };
  const order = new Rng(options.seed).permutation(fitted.length);
  const parts: GapPart[] = [];
  for (let start = 0; start + size <= order.length && parts.length < FITTED_PARTS_MAX; start += size) {
    const rows = Array.from(order.subarray(start, start + size), (i) => fitted[i]!);
    parts.push(await partOf(gatherRows(x, rows), false));
  }
  return { queries: asked, keptOut: await partOf(apart, queries === null), fitted: parts };
}

/** Measures an encoder's fit gap by exact search, for each oversampling. */
export async function measureFitGaps(
  encoder: Encoder,
  { queries, keptOut, fitted }: GapBenchmark,
  options: SearchOptions & { readonly oversamplings: readonly number[]; readonly share: number },
): Promise<ReadonlyMap<number, FitGap>> {
  const { oversamplings, share, signal } = options;
  const asked = encoder.projectQueries(queries);
  const search = {
    ...options,
    k: TOP * Math.max(...oversamplings),
    distance: encoder.metadata.compactDistance,
  };
  const foundIn = (part: GapPart): Promise<number[][]> => {
    throwIfAborted(signal);
    return nearest({ ...part, base: encoder.project(part.base) }, asked, search);
  };
  const apart = await foundIn(keptOut);
  const near: number[][][] = [];
  for (const part of fitted) near.push(await foundIn(part));
  return new Map(
    oversamplings.map((oversampling) => {
      const recall = ({ truth }: GapPart, found: readonly number[][], q: number): number =>
        recallAtTen(truth[q]!, found[q]!.slice(0, TOP * oversampling));
      const gaps = Array.from(
        { length: queries.rows },
        (_, q) => mean(fitted.map((part, i) => recall(part, near[i]!, q))) - recall(keptOut, apart, q),
      );
      return [oversampling, { ...meanWithError(gaps), share }];
    }),
  );
}

function meanWithError(values: readonly number[]): Pick<FitGap, 'value' | 'standardError'> {
  const value = mean(values);
  const variance = values.reduce((sum, one) => sum + (one - value) ** 2, 0) / Math.max(1, values.length - 1);
  return { value, standardError: Math.sqrt(variance / values.length) };
}

/** The first k rows for each query. A query that is a row of the base does not find itself. */
async function nearest(
  { base, holdsQueries }: Pick<GapPart, 'base' | 'holdsQueries'>,
  queries: Matrix,
  { k, distance, threads, signal }: SearchOptions & { readonly k: number; readonly distance: Distance },
): Promise<number[][]> {
  const depth = holdsQueries ? k + 1 : k;
  const lists = rankedLists(await exactTopK(base, queries, { k: depth, distance, threads, signal }), depth);
  return holdsQueries ? lists.map((list, q) => list.filter((row) => row !== q).slice(0, k)) : lists;
}
