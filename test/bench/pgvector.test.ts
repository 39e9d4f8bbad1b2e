import { expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptResults } from '../../bench/pgvector/kept-results.js';
import { syntheticRows } from '../../bench/pgvector/rows.js';
import { fitMoments, principalAxes } from '../../src/baselines/pca.js';

test('a part that was measured is not measured again, and results of other settings are refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-kept-'));
  try {
    let runs = 0;
    const measure = (): Promise<{ readonly runs: number }> => Promise.resolve({ runs: ++runs });
    for (let attempt = 0; attempt < 2; attempt++) {
      const kept = await KeptResults.open(folder, { rows: 5 });
      expect(await kept.part('load', measure)).toEqual({ runs: 1 });
    }
    const kept = await KeptResults.open(folder, { rows: 5 });
    expect(await kept.part('fill', measure)).toEqual({ runs: 2 });
    await expect(KeptResults.open(folder, { rows: 6 })).rejects.toThrow('a run of other settings');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the variance of synthetic rows falls along directions that are no axes', async () => {
  const dim = 96;
  const { points, queries } = syntheticRows({ rows: 2_000, queries: 10, dim, seed: 3 });
  expect([points.rows, queries.rows]).toEqual([2_000, 10]);
  const moments = await fitMoments(points, { distance: 'dot' });
  const { values } = await principalAxes(moments, { d: dim, centred: false });
  const ofAxes = Float64Array.from({ length: dim }, (_, j) => moments.second[j * dim + j] ?? Number.NaN);
  expect(shareOfLargest(values)).toBeGreaterThan(0.7);
  expect(shareOfLargest(ofAxes)).toBeLessThan(0.45);
});

/** The share of the largest quarter. */
function shareOfLargest(values: ArrayLike<number>): number {
  const sorted = Array.from(values).sort((a, b) => b - a);
  const sum = (some: readonly number[]): number => some.reduce((total, value) => total + value, 0);
  return sum(sorted.slice(0, sorted.length / 4)) / sum(sorted);
}
