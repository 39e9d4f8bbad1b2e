import { describe, expect, test } from '@jest/globals';
import { rankingQuality, type Relevance } from '../../src/evaluate/relevance.js';

/** Lists of 100 places, padded with -1. */
function lists(...rows: number[][]): Int32Array {
  const found = new Int32Array(rows.length * 100).fill(-1);
  rows.forEach((list, q) => found.set(list, q * 100));
  return found;
}

test('rows of the same label are relevant, and as many as the base holds are asked for', () => {
  const relevance: Relevance = {
    kind: 'labels',
    base: Int32Array.of(7, 7, 8, 9, 7),
    queries: Int32Array.of(7, 8, 5),
  };
  const quality = rankingQuality(lists([0, 2, 1, 4], [3, 2], [0, 1]), 100, relevance);
  // Query 0: relevant at ranks 1, 3, 4 of three. Query 1: at rank 2 of one. Query 2: nothing is relevant.
  expect(quality.perQuery.averagePrecision[0]).toBeCloseTo((1 + 2 / 3 + 3 / 4) / 3, 12);
  expect(quality.perQuery.averagePrecision[1]).toBeCloseTo(1 / 2, 12);
  expect(quality.perQuery.averagePrecision[2]).toBeNaN();
  const ideal = 1 + 1 / Math.log2(3) + 1 / 2;
  expect(quality.perQuery.ndcg[0]).toBeCloseTo((1 + 1 / 2 + 1 / Math.log2(5)) / ideal, 12);
  expect([...quality.perQuery.reciprocalRank.subarray(0, 2)]).toEqual([1, 0.5]);
  expect(quality.judgedQueries).toBe(2);
  expect(quality.mrrAt10).toBeCloseTo(0.75, 12);
});

test('more relevant rows than places: a list full of them scores 1', () => {
  const relevance: Relevance = {
    kind: 'labels',
    base: new Int32Array(300).fill(1),
    queries: Int32Array.of(1),
  };
  const found = Int32Array.from({ length: 100 }, (_, i) => i);
  expect(rankingQuality(found, 100, relevance)).toMatchObject({ mapAt100: 1, ndcgAt10: 1, mrrAt10: 1 });
});

test('graded judgements weigh in nDCG; zero and negative gains are not relevant', () => {
  const relevance: Relevance = {
    kind: 'qrels',
    gains: [
      new Map([
        [4, 3],
        [9, 1],
        [2, 0],
        [3, -1],
      ]),
      new Map([[1, 0]]),
    ],
  };
  const quality = rankingQuality(lists([2, 9, 4], [1]), 100, relevance);
  expect(quality.perQuery.ndcg[0]).toBeCloseTo((1 / Math.log2(3) + 3 / 2) / (3 + 1 / Math.log2(3)), 12);
  expect(quality.mapAt100).toBeCloseTo((1 / 2 + 2 / 3) / 2, 12);
  expect(quality.judgedQueries).toBe(1);
  expect(rankingQuality(lists([2]), 100, { kind: 'qrels', gains: [new Map()] }).mapAt100).toBeNaN();
});

describe('refuses', () => {
  const relevance: Relevance = { kind: 'qrels', gains: [new Map([[1, 1]])] };

  test('lists too short for mAP@100', () => {
    expect(() => rankingQuality(new Int32Array(10), 10, relevance)).toThrow('at least 100 places, got 10');
  });

  test('another number of queries', () => {
    expect(() => rankingQuality(lists([1], [2]), 100, relevance)).toThrow(
      'expected 100 for each of 1 queries',
    );
  });
});
