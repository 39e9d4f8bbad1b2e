import { describe, expect, test } from '@jest/globals';
import { fitMoments } from '../../src/baselines/pca.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { principalDirections } from '../../src/select/principal-directions.js';

/** Rows about `centre` in every dimension, with the given standard deviations. */
function rowsOf(deviations: readonly number[], centre: number): Matrix {
  const rng = new Rng(1);
  const x = matrix(2000, deviations.length);
  for (let i = 0; i < x.data.length; i++)
    x.data[i] = centre + rng.normal() * (deviations[i % deviations.length] ?? 0);
  return x;
}

/** Five strong dimensions that hold 98 % of the variance among twenty. */
const FEW = [...Array<number>(5).fill(3), ...Array<number>(15).fill(0.25)];

async function countFor(
  x: Matrix,
  distance: 'cosine' | 'dot' | 'euclid' | 'manhattan',
): Promise<number | null> {
  const moments = await fitMoments(x, { distance, threads: 1 });
  const { forTraining } = await principalDirections(x, moments, { distance, threads: 1 });
  return forTraining?.cols ?? null;
}

describe('directions to train along', () => {
  test('hold nearly all of the variance about the mean, wherever the mean lies', async () => {
    expect(await countFor(rowsOf(FEW, 0), 'euclid')).toBe(5);
    expect(await countFor(rowsOf(FEW, 50), 'euclid')).toBe(5);
    // Inner products are about the origin: the mean takes a direction of its own.
    expect(await countFor(rowsOf(FEW, 0), 'dot')).toBe(5);
    expect(await countFor(rowsOf(FEW, 50), 'dot')).toBe(6);
  });

  test('are all of them where the variance is even', async () => {
    expect(await countFor(rowsOf(Array<number>(20).fill(1), 0), 'cosine')).toBe(20);
  });

  test('are none where the most of them hold too little, and none by Manhattan distance', async () => {
    expect(await countFor(rowsOf(Array<number>(1024).fill(1), 0), 'dot')).toBeNull();
    expect(await countFor(rowsOf(FEW, 0), 'manhattan')).toBeNull();
  });

  test('are orthonormal, the strongest first', async () => {
    const x = rowsOf(FEW, 1);
    const moments = await fitMoments(x, { distance: 'dot', threads: 1 });
    const { forTraining, forNeighbors } = await principalDirections(x, moments, {
      distance: 'dot',
      threads: 1,
    });
    // So few rows are compared in full.
    expect(forNeighbors).toBeUndefined();
    const { rows, cols, data } = forTraining!;
    const product = (a: number, b: number): number =>
      Array.from({ length: rows }, (_, i) => data[i * cols + a]! * data[i * cols + b]!).reduce(
        (s, v) => s + v,
        0,
      );
    for (let a = 0; a < cols; a++)
      for (let b = 0; b <= a; b++) expect(product(a, b)).toBeCloseTo(a === b ? 1 : 0, 4);
    const along = (a: number): number => {
      let sum = 0;
      for (let r = 0; r < x.rows; r++) {
        let value = 0;
        for (let i = 0; i < rows; i++) value += x.data[r * rows + i]! * data[i * cols + a]!;
        sum += value ** 2;
      }
      return sum;
    };
    expect(along(0)).toBeGreaterThan(along(cols - 1));
  });
});
