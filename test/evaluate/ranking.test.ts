import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  averagePrecision,
  bootstrapInterval,
  ndcg,
  percentile,
  rankCorrelation,
  recall,
  reciprocalRank,
  spread,
  topOneAgreement,
} from '../../src/evaluate/ranking.js';

const list = (...rows: number[]): Int32Array => Int32Array.from(rows);
/** A ranked list of distinct rows. */
const ranked = fc
  .uniqueArray(fc.nat(30), { minLength: 1, maxLength: 12 })
  .map((rows) => Int32Array.from(rows));
const gainList = fc.array(fc.nat(3), { minLength: 1, maxLength: 20 });
const property = <T>(one: fc.IProperty<T>): void => fc.assert(one, { seed: 5 });

describe('recall', () => {
  test.each([
    [list(1, 2, 3), list(3, 2, 9), 2 / 3],
    [list(1, 2, 3), list(3, -1, -1), 1],
    [list(-1, -1), list(4, 5), 0],
    [list(1), list(-1), 1],
  ])('%j against %j is %d', (found, truth, expected) => {
    expect(recall(found, truth)).toBeCloseTo(expected, 12);
  });

  test('lies between 0 and 1, is 1 against itself, and the order of either list does not matter', () => {
    property(
      fc.property(ranked, ranked, (found, truth) => {
        const value = recall(found, truth);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
        expect(recall(truth, truth)).toBe(1);
        expect(recall(found.slice().reverse(), truth.slice().reverse())).toBe(value);
      }),
    );
  });
});

test('the first results agree or not', () => {
  expect(topOneAgreement(list(4, 1), list(4, 2))).toBe(1);
  expect(topOneAgreement(list(1, 4), list(4, 1))).toBe(0);
  expect(topOneAgreement(list(-1), list(4))).toBe(0);
  expect(topOneAgreement(list(-1), list(-1))).toBe(1);
});

describe('rank correlation', () => {
  test.each([
    [list(1, 2, 3, 4), list(1, 2, 3, 4), 1],
    [list(4, 3, 2, 1), list(1, 2, 3, 4), -1],
    // Of the six pairs only (1, 2) is turned round.
    [list(2, 1, 3, 4), list(1, 2, 3, 4), 4 / 6],
    // Shared: 7 and 9, in opposite order; 5 and 6 do not count.
    [list(7, 5, 9), list(9, 6, 7), -1],
    [list(7, 5, -1), list(7, 6, -1), null],
  ])('%j against %j is %p', (found, truth, expected) => {
    const value = rankCorrelation(found, truth);
    if (expected === null) expect(value).toBeNull();
    else expect(value).toBeCloseTo(expected, 12);
  });

  test('is symmetric, and turning one list round turns its sign', () => {
    property(
      fc.property(ranked, ranked, (a, b) => {
        const value = rankCorrelation(a, b);
        expect(rankCorrelation(b, a)).toBe(value);
        const turned = rankCorrelation(a.slice().reverse(), b);
        if (value === null) expect(turned).toBeNull();
        else expect(turned).toBeCloseTo(-value, 12);
      }),
    );
  });
});

describe('average precision', () => {
  test.each([
    // Relevant at ranks 1, 3 and 6 of five: (1 + 2/3 + 3/6) / 5 (hand computed).
    [[1, 0, 1, 0, 0, 1], { depth: 100, relevant: 5 }, (1 + 2 / 3 + 0.5) / 5],
    // Cut at 3: the one at rank 6 is out, and at most three could be there.
    [[1, 0, 1, 0, 0, 1], { depth: 3, relevant: 5 }, (1 + 2 / 3) / 3],
    [[0, 0, 1], { depth: 10, relevant: 1 }, 1 / 3],
    [[0, 0], { depth: 10, relevant: 3 }, 0],
    [[0, 0], { depth: 10, relevant: 0 }, 0],
  ])('%j with %j is %d', (gains, options, expected) => {
    expect(averagePrecision(gains, options)).toBeCloseTo(expected, 12);
  });

  test('is 1 exactly when nothing irrelevant stands before the last relevant place', () => {
    property(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (relevant, depth) => {
        const best = Array.from({ length: 20 }, (_, i) => (i < relevant ? 1 : 0));
        expect(averagePrecision(best, { depth, relevant })).toBeCloseTo(1, 12);
        expect(averagePrecision([0, ...best], { depth, relevant })).toBeLessThan(1);
      }),
    );
  });
});

describe('ndcg', () => {
  test('is the hand-computed value for graded gains', () => {
    // 3/log2(2) + 2/log2(3) + 0 + 1/log2(5) over 3/log2(2) + 3/log2(3) + 2/log2(4) + 1/log2(5).
    const dcg = 3 + 2 / Math.log2(3) + 1 / Math.log2(5);
    const best = 3 + 3 / Math.log2(3) + 2 / 2 + 1 / Math.log2(5);
    expect(ndcg([3, 2, 0, 1], { depth: 10, ideal: [3, 3, 2, 1] })).toBeCloseTo(dcg / best, 12);
    expect(ndcg([3, 2, 0, 1], { depth: 2, ideal: [3, 3, 2, 1] })).toBeCloseTo(
      (3 + 2 / Math.log2(3)) / (3 + 3 / Math.log2(3)),
      12,
    );
    expect(ndcg([0, 0], { depth: 10, ideal: [] })).toBe(0);
    expect(ndcg([-2, 1], { depth: 10, ideal: [1] })).toBeCloseTo(1 / Math.log2(3), 12);
  });

  test('is 1 for the best order, never more, and falls when a better gain moves down', () => {
    property(
      fc.property(gainList, (gains) => {
        const ideal = gains.slice().sort((a, b) => b - a);
        const options = { depth: 10, ideal };
        const value = ndcg(gains, options);
        expect(value).toBeLessThanOrEqual(1 + 1e-12);
        expect(ndcg(ideal, options)).toBe(ideal[0] === 0 ? 0 : 1);
        const [first, second] = [gains[0]!, gains[1]];
        if (second === undefined || first <= second) return;
        expect(ndcg([second, first, ...gains.slice(2)], options)).toBeLessThan(value);
      }),
    );
  });
});

test('the reciprocal rank is that of the first relevant result within the depth', () => {
  expect(reciprocalRank([0, 0, 2, 1], 10)).toBeCloseTo(1 / 3, 12);
  expect(reciprocalRank([0, 0, 2, 1], 2)).toBe(0);
  expect(reciprocalRank([], 10)).toBe(0);
});

describe('percentile', () => {
  test.each([
    [[15, 20, 35, 40, 50], 40, 29],
    [[4, 1, 3, 2], 50, 2.5],
    [[7], 95, 7],
    [[3, 1, 2], 0, 1],
    [[3, 1, 2], 100, 3],
  ])('of %j at %d is %d', (values, percent, expected) => {
    expect(percentile(values, percent)).toBeCloseTo(expected, 12);
  });

  test('lies within the values and rises with the percentage', () => {
    const values = fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 1 });
    property(
      fc.property(values, fc.nat(100), fc.nat(100), (all, a, b) => {
        const [low, high] = [percentile(all, Math.min(a, b)), percentile(all, Math.max(a, b))];
        expect(low).toBeGreaterThanOrEqual(Math.min(...all));
        expect(high).toBeLessThanOrEqual(Math.max(...all));
        expect(low).toBeLessThanOrEqual(high + 1e-12);
      }),
    );
    expect(percentile([], 50)).toBeNaN();
  });
});

test('the interval holds the mean, narrows with more values and follows the seed', () => {
  const few = Float64Array.from({ length: 20 }, (_, i) => i % 2);
  const many = Float64Array.from({ length: 500 }, (_, i) => i % 2);
  for (const values of [few, many]) {
    const [low, high] = bootstrapInterval(values, 1);
    expect(low).toBeLessThan(0.5);
    expect(high).toBeGreaterThan(0.5);
  }
  const width = (values: Float64Array): number => {
    const [low, high] = bootstrapInterval(values, 1);
    return high - low;
  };
  expect(width(many)).toBeLessThan(width(few) / 3);
  expect(bootstrapInterval(few, 1)).toEqual(bootstrapInterval(few, 1));
  expect(spread(Float64Array.of(0.1, 0.5, 0.9), 1)).toMatchObject({
    median: 0.5,
    min: 0.1,
    p5: 0.1 + 0.4 * 0.1,
  });
});
