import { describe, expect, test } from '@jest/globals';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { asStored, dependsOnRotation } from '../../src/evaluate/stored-codes.js';
import { rankedLists } from '../../src/plan/recall-and-ndcg.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import type { StorageKind } from '../../src/store/collection.js';

const TURBO = ['turbo-1bit', 'turbo-1.5bit', 'turbo-2bit', 'turbo-4bit'] as const;
const LEVELS = { 'turbo-1bit': 2, 'turbo-1.5bit': 3, 'turbo-2bit': 4, 'turbo-4bit': 16 } as const;

/** Rows whose first components are much larger than the others, so that few levels for all would lose the others. */
function uneven(rows: number, seed: number): Matrix {
  const rng = new Rng(seed);
  const x = matrix(rows, 48);
  x.data.forEach((_, i) => (x.data[i] = rng.normal() / (1 + (i % 48) / 4)));
  return x;
}

describe('TurboQuant codes', () => {
  const [base, queries] = [uneven(600, 1), uneven(60, 2)];

  test.each(TURBO)('%s: components have few levels of the length of their vector', (kind) => {
    const stored = asStored({ base, queries, distance: 'euclid' }, kind).base;
    for (const i of [0, 7]) {
      const length = Math.hypot(...row(base, i));
      const levels = new Set(Array.from(row(stored, i), (value) => (value / length).toFixed(4)));
      expect(levels.size).toBeGreaterThan(1);
      expect(levels.size).toBeLessThanOrEqual(LEVELS[kind]);
    }
  });

  test('find more with more bits, and nearly everything with four', async () => {
    const nearest = async (kind: StorageKind): Promise<number[][]> => {
      const stored = asStored({ base, queries, distance: 'cosine' }, kind);
      const k = 10;
      return rankedLists(
        await exactTopK(stored.base, stored.queries, { k, distance: stored.distance, threads: 1 }),
        k,
      );
    };
    const truth = await nearest('float32');
    const recalls: number[] = [];
    for (const kind of TURBO) {
      const found = await nearest(kind);
      const hits = truth.map((list, q) => list.filter((id) => found[q]!.includes(id)).length / 10);
      recalls.push(hits.reduce((sum, one) => sum + one, 0) / hits.length);
    }
    expect([...recalls].sort((a, b) => a - b)).toEqual(recalls);
    expect(recalls.at(-1)).toBeGreaterThan(0.85);
    expect(await nearest('turbo4')).toEqual(await nearest('turbo-4bit'));
  });

  test.each([8, 48, 512])('of four bits differ by about a tenth of the length, in %i dimensions', (cols) => {
    const rng = new Rng(cols);
    const vectors = matrix(300, cols);
    vectors.data.forEach((_, i) => (vectors.data[i] = rng.normal()));
    const stored = asStored({ base: vectors, queries: vectors, distance: 'euclid' }, 'turbo4');
    // Points are rotated as queries are.
    const apart = Array.from({ length: vectors.rows }, (_, i) => {
      const [point, query] = [row(stored.base, i), row(stored.queries, i)];
      return Math.hypot(...point.map((value, j) => value - query[j]!)) / Math.hypot(...query);
    });
    const mean = apart.reduce((sum, one) => sum + one, 0) / apart.length;
    expect(mean).toBeGreaterThan(0.05);
    expect(mean).toBeLessThan(0.13);
    expect(Math.max(...apart)).toBeLessThan(0.3);
  });

  test('need no rotation, since the database rotates', () => {
    for (const kind of [...TURBO, 'turbo4'] as const) expect(dependsOnRotation(kind)).toBe(false);
  });
});
