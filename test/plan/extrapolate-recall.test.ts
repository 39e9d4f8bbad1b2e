import { describe, expect, test } from '@jest/globals';
import { fitMoments, pcaFromMoments } from '../../src/baselines/pca.js';
import { readNpy } from '../../src/files/npy.js';
import { Kernel } from '../../src/encoder/projection-kernel.js';
import { gatherRows, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { randomHalves, recallAtTen, recallPerDoubling } from '../../src/plan/recall-and-ndcg.js';
import {
  certaintyOf,
  expectedRecall,
  normalCdf,
  probit,
  recallWithInterval,
  withoutFitGap,
} from '../../src/plan/extrapolate-recall.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';

test('the normal distribution and its inverse', () => {
  expect(normalCdf(0)).toBeCloseTo(0.5, 6);
  expect(normalCdf(1.959964)).toBeCloseTo(0.975, 6);
  expect(normalCdf(-1)).toBeCloseTo(0.158655, 6);
  for (const share of [0.001, 0.2, 0.5, 0.95, 0.999]) expect(normalCdf(probit(share))).toBeCloseTo(share, 6);
});

describe('recall at another size', () => {
  test('stays where nothing falls, and lies between its two models where it does', () => {
    expect(expectedRecall(0.9, 0, 5)).toEqual({ value: 0.9, low: 0.9, high: 0.9 });
    expect(expectedRecall(0.9, 0.01, 5).value).toBe(0.9);
    expect(expectedRecall(0.9, -0.02, 0).value).toBe(0.9);
    const { value, low, high } = expectedRecall(0.98, -0.01, 3);
    expect(high).toBeCloseTo(0.95);
    expect(low).toBeLessThan(value);
    expect(value).toBeLessThan(high);
    expect(expectedRecall(0.1, -0.1, 4).low).toBeGreaterThanOrEqual(0);
  });

  test('its interval covers the mean and its certainty goes from none to all', () => {
    const rng = new Rng(1);
    const recall = Float64Array.from({ length: 300 }, () => (rng.int(4) === 0 ? 0.8 : 1));
    const evidence = { recall, perDoubling: new Float64Array(300), doublings: 0, fitGap: null };
    const { recall: mean, interval } = recallWithInterval(evidence, 2);
    expect(mean).toBeCloseTo(0.95, 1);
    expect(interval[0]).toBeLessThan(mean);
    expect(interval[1]).toBeGreaterThan(mean);
    expect(interval[1] - interval[0]).toBeLessThan(0.03);
    expect(certaintyOf(evidence, 0.9, 2)).toBe(1);
    expect(certaintyOf(evidence, 0.99, 2)).toBe(0);
    expect(Math.abs(certaintyOf(evidence, mean, 2) - 0.5)).toBeLessThan(0.1);
    const falling = {
      recall,
      perDoubling: new Float64Array(300).fill(-0.01),
      doublings: 3,
      fitGap: null,
    };
    const further = recallWithInterval(falling, 2);
    expect(further.recall).toBeLessThan(mean);
    expect(further.interval[1] - further.interval[0]).toBeGreaterThan(interval[1] - interval[0]);
  });
});

describe('what is lost among points that the encoder was not fitted to', () => {
  const expected = { value: 0.8, low: 0.79, high: 0.82 };
  const gap = { value: 0.04, standardError: 0.01, share: 0.5 };

  test('is a share of the fit gap, within the bounds of recall', () => {
    const { value, low, high } = withoutFitGap(expected, gap);
    expect([value, low, high].map((recall) => recall.toFixed(4))).toEqual(['0.7800', '0.7700', '0.8000']);
    expect(withoutFitGap(expected, { ...gap, share: -0.25 }).value).toBeCloseTo(0.81);
    expect(withoutFitGap({ value: 1, low: 1, high: 1 }, { ...gap, share: -1 }).value).toBe(1);
    expect(withoutFitGap({ value: 0.01, low: 0, high: 0.02 }, { ...gap, share: 1 }).value).toBe(0);
  });

  test('is nothing if the gap was not measured, or is below 0 by chance', () => {
    expect(withoutFitGap(expected, null)).toEqual(expected);
    expect(withoutFitGap(expected, { ...gap, value: -0.01 })).toEqual(expected);
  });

  test('lowers the expected recall and makes its interval wider', () => {
    const recall = Float64Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? 0.7 : 0.9));
    const evidence = { recall, perDoubling: new Float64Array(300), doublings: 2, fitGap: null };
    const before = recallWithInterval(evidence, 1);
    const after = recallWithInterval({ ...evidence, fitGap: { ...gap, standardError: 0.02 } }, 1);
    expect(before.recall - after.recall).toBeCloseTo(0.02);
    expect(after.interval[1] - after.interval[0]).toBeGreaterThan(before.interval[1] - before.interval[0]);
    expect(certaintyOf({ ...evidence, fitGap: gap }, 0.79, 1)).toBeLessThan(certaintyOf(evidence, 0.79, 1));
  });
});

test('carried on from 1,250, 2,500 and 5,000 real embeddings it comes near what 10,000 give', async () => {
  const all = await readNpy('demo/data/base.npy');
  const queries = await readNpy('demo/data/queries.npy');
  const order = new Rng(3).permutation(all.rows);
  const search = async (base: Matrix, asked: Matrix, k: number): Promise<number[][]> => {
    const found = await exactTopK(base, asked, { k, distance: 'cosine' });
    return Array.from({ length: asked.rows }, (_, q) => Array.from(found.subarray(q * k, (q + 1) * k)));
  };
  const truthOfAll = await search(all, queries, 10);
  const errors: { kept: number; expected: number; real: number }[] = [];
  for (const n of [1250, 2500, 5000]) {
    const base = gatherRows(all, order.subarray(0, n));
    const halves = randomHalves(n, 1);
    const truth = await search(base, queries, 50);
    const moments = await fitMoments(base, { distance: 'cosine' });
    for (const dim of [16, 32, 64]) {
      const kernel = new Kernel(await pcaFromMoments(moments, { dim, centred: false, distance: 'cosine' }));
      const asked = kernel.project(queries);
      const found = await search(kernel.project(base), asked, 300);
      const foundInAll = await search(kernel.project(all), asked, 100);
      for (const oversampling of [1, 2, 4, 10]) {
        const depth = 10 * oversampling;
        const mean = (of: (q: number) => number): number =>
          truth.reduce((sum, _, q) => sum + of(q), 0) / truth.length;
        const kept = mean((q) => recallAtTen(truth[q]!, found[q]!.slice(0, depth)));
        const change = mean((q) => recallPerDoubling(truth[q]!, found[q]!, { depth, halves }));
        const real = mean((q) => recallAtTen(truthOfAll[q]!, foundInAll[q]!.slice(0, depth)));
        const expected = expectedRecall(kept, change, Math.log2(all.rows / n)).value;
        errors.push({ kept: Math.abs(kept - real), expected: Math.abs(expected - real), real });
      }
    }
  }
  const worst = (name: 'kept' | 'expected'): number => Math.max(...errors.map((error) => error[name]));
  expect(errors).toHaveLength(36);
  expect(worst('expected')).toBeLessThan(0.055);
  expect(worst('kept')).toBeGreaterThan(0.15);
  const high = errors.filter(({ real }) => real >= 0.9);
  expect(Math.max(...high.map(({ expected }) => expected))).toBeLessThan(0.025);
});
