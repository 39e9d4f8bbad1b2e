import { describe, expect, test } from '@jest/globals';
import { fitMoments, pcaNetwork, principalAxes } from '../../src/baselines/pca.js';
import { Encoder } from '../../src/encoder/model.js';
import { gatherRows, matrix, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { mean } from '../../src/evaluate/ranking.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import { doublingsOf, expectedRecall, withoutFitGap } from '../../src/plan/extrapolate-recall.js';
import {
  createGapBenchmark,
  fitGapShare,
  keepRowsOut,
  measureFitGaps,
  pointsToTrain,
} from '../../src/plan/fit-gap.js';
import { randomHalves, rankedLists, recallAtTen, recallPerDoubling } from '../../src/plan/recall-and-ndcg.js';
import { twoMaps, tinyEncoder, DIM } from '../support/migrate/fixtures.js';

const TOP = 10;
const THREADS = 2;
const DISTANCE = 'euclid';

describe('the share of the fit gap that a collection loses', () => {
  test('with one encoder is its share of points that were not fitted, less that of the sample', () => {
    const counts = { fitted: 3_000, sample: 4_000, willFit: 3_000 };
    expect(fitGapShare({ ...counts, points: 12_000 })).toBeCloseTo(0.75 - 0.25);
    expect(fitGapShare({ ...counts, points: 4_000 })).toBeCloseTo(0);
    expect(fitGapShare({ ...counts, sample: 3_000, points: 12_000 })).toBeCloseTo(0.75);
  });

  test('is below zero if all points of a larger collection are fitted, and above if few are', () => {
    const counts = { fitted: 15_000, sample: 20_000 };
    const share = (points: number): number =>
      fitGapShare({ ...counts, points, willFit: pointsToTrain(points) });
    expect([20_000, 50_000, 1_000_000, 1e12].map(pointsToTrain)).toEqual([20_000, 50_000, 50_000, 50_000]);
    expect(share(30_000)).toBeCloseTo(-0.25);
    expect(share(100_000)).toBeCloseTo(0.25);
    expect(share(1e12)).toBeCloseTo(0.75);
  });
});

describe('rows that are kept out of every fit', () => {
  const all = { points: 1e6, seed: 1, isNeeded: (): boolean => false };

  test.each([
    ['a quarter of a sample', 4_000, 1_000],
    ['no more than are needed to measure', 100_000, 5_000],
    ['none of a sample that is too small', 700, 0],
  ])('%s', (_name, rows, expected) => {
    const { fitted, keptOut } = keepRowsOut(rows, all);
    expect(keptOut).toHaveLength(expected);
    expect([...fitted, ...keptOut].sort((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, i) => i));
    expect(keepRowsOut(rows, all)).toEqual({ fitted, keptOut });
  });

  test('none if the sample is nearly the whole collection, since nothing is predicted then', () => {
    expect(keepRowsOut(4_000, { ...all, points: 4_300 }).keptOut).toHaveLength(0);
    expect(keepRowsOut(4_000, { ...all, points: 8_000 }).keptOut).toHaveLength(1_000);
  });

  test('never those that fitting needs', () => {
    const isNeeded = (row: number): boolean => row % 4 !== 0;
    const { keptOut } = keepRowsOut(4_000, { ...all, isNeeded });
    expect(keptOut).toHaveLength(1_000);
    expect(keptOut.every((row) => row % 4 === 0)).toBe(true);
    expect(keepRowsOut(4_000, { ...all, isNeeded: (row) => row > 100 }).keptOut).toHaveLength(0);
  });
});

describe('the measured gap', () => {
  const rng = new Rng(4);
  const x = matrix(1_200, DIM);
  x.data.forEach((_, i) => (x.data[i] = rng.normal()));
  const rows = keepRowsOut(x.rows, { points: 1e5, seed: 2, isNeeded: () => false });
  const run = { seed: 2, threads: THREADS, distance: 'cosine' } as const;

  test.each([
    ['rows that are kept out', null],
    ['given queries', rowRange(x, 0, 80)],
  ])('is noise for an encoder that was fitted to none of the rows: %s', async (_name, queries) => {
    const benchmark = await createGapBenchmark({ base: x, queries }, rows, run);
    expect(benchmark.fitted.map(({ base }) => base.rows)).toEqual([300, 300, 300]);
    expect(benchmark.queries.rows).toBe(queries === null ? 300 : 80);
    // No query is its own neighbour.
    if (queries === null)
      benchmark.keptOut.truth.forEach((truth, q) => expect(truth.includes(q)).toBe(false));
    for (const encoder of [tinyEncoder(), twoMaps(tinyEncoder())]) {
      const gaps = await measureFitGaps(encoder, benchmark, { ...run, oversamplings: [1, 4], share: 0.3 });
      expect([...gaps.keys()]).toEqual([1, 4]);
      for (const { value, standardError, share } of gaps.values()) {
        expect(share).toBe(0.3);
        expect(standardError).toBeGreaterThan(0);
        expect(Math.abs(value)).toBeLessThan(6 * standardError);
      }
    }
  });
});

/** Ranked rows of the base for each query: by the full vectors and by the encoder. */
async function search(
  base: Matrix,
  queries: Matrix,
  encoder: Encoder,
): Promise<{ readonly truth: number[][]; readonly found: number[][] }> {
  const lists = async (x: Matrix, asked: Matrix, k: number): Promise<number[][]> =>
    rankedLists(await exactTopK(x, asked, { k, distance: DISTANCE, threads: THREADS }), k);
  return {
    truth: await lists(base, queries, 50),
    found: await lists(encoder.project(base), encoder.project(queries), 3 * TOP),
  };
}

type Found = Awaited<ReturnType<typeof search>>;

const recallOf = ({ truth, found }: Found): number =>
  mean(truth.map((of, q) => recallAtTen(of, found[q]!.slice(0, TOP))));

/** The recall of these rows, carried on to more points without a correction for the fit. */
async function carriedOn(
  base: Matrix,
  queries: Matrix,
  { encoder, points }: { readonly encoder: Encoder; readonly points: number },
): Promise<ReturnType<typeof expectedRecall>> {
  const halves = randomHalves(base.rows, 1);
  const result = await search(base, queries, encoder);
  const change = result.truth.map((truth, q) =>
    recallPerDoubling(truth, result.found[q]!, { depth: TOP, halves }),
  );
  return expectedRecall(recallOf(result), mean(change), doublingsOf(points, base.rows));
}

describe('recall in more points than PCA was fitted to', () => {
  /** Rows whose components vary less and less. */
  function rowsFrom(rng: Rng, rows: number, { dim, decay }: { dim: number; decay: number }): Matrix {
    const x = matrix(rows, dim);
    x.data.forEach((_, i) => (x.data[i] = rng.normal() / (1 + (i % dim) / decay)));
    return x;
  }

  /** How far a prediction from a sample is from the real recall in all points, before and after the correction. */
  async function errorsOf(
    shape: { readonly dim: number; readonly decay: number },
    counts: { readonly compactDim: number; readonly sample: number; readonly points: number },
    seed: number,
  ): Promise<{ readonly before: number; readonly after: number }> {
    const { compactDim: d, points } = counts;
    const rng = new Rng(seed);
    const all = rowsFrom(rng, points, shape);
    const queries = rowsFrom(rng, 300, shape);
    const sample = rowRange(all, 0, counts.sample);
    const rows = keepRowsOut(sample.rows, { points, seed: 1, isNeeded: () => false });
    const fitted = gatherRows(sample, rows.fitted);
    const moments = await fitMoments(fitted, { distance: DISTANCE, threads: THREADS });
    const axes = await principalAxes(moments, { d, centred: true, threads: THREADS });
    const { metadata } = tinyEncoder(1, DISTANCE);
    const encoder = new Encoder(pcaNetwork(axes, { dim: d, distance: DISTANCE }), metadata);
    const run = { seed: 1, threads: THREADS, distance: DISTANCE } as const;
    const benchmark = await createGapBenchmark({ base: sample, queries: null }, rows, run);
    const share = fitGapShare({ fitted: fitted.rows, sample: sample.rows, points, willFit: fitted.rows });
    const gaps = await measureFitGaps(encoder, benchmark, { ...run, oversamplings: [1], share });
    const real = recallOf(await search(all, queries, encoder));
    return {
      before: (await carriedOn(fitted, queries, { encoder, points })).value - real,
      after: withoutFitGap(await carriedOn(sample, queries, { encoder, points }), gaps.get(1)!).value - real,
    };
  }

  test('is predicted with less than half of the error', async () => {
    const errors = [
      await errorsOf({ dim: 128, decay: 8 }, { compactDim: 48, sample: 1_000, points: 4_000 }, 1),
      await errorsOf({ dim: 192, decay: 10 }, { compactDim: 64, sample: 1_000, points: 4_000 }, 2),
      await errorsOf({ dim: 256, decay: 8 }, { compactDim: 64, sample: 1_200, points: 4_800 }, 3),
    ];
    const size = (of: 'before' | 'after'): number => mean(errors.map((one) => Math.abs(one[of])));
    expect(size('before')).toBeGreaterThan(0.01);
    expect(size('after')).toBeLessThan(size('before') / 2);
  });
});
