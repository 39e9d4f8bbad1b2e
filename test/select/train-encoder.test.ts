import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { gatherRows, matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { cleanSample, splitHeldOut } from '../../src/core/sample.js';
import { trainEncoder } from '../../src/select/train-encoder.js';
import { VERSION } from '../../src/select/version.js';

function sample(rows: number, cols: number): Matrix {
  const rng = new Rng(8);
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) x.data[i * cols + j] = rng.normal() * 0.85 ** j;
  return x;
}

const quick = { dim: 6, seed: 1, steps: 8, nNeighbors: 5, threads: 1 };

test('ships the best on held-out rows and reports every candidate beside it', async () => {
  const { encoder, report, candidates } = await trainEncoder(sample(900, 32), quick);
  const names = ['neighbourhood-kl', 'pca-uncentred', 'pca', 'random-projection'];
  expect(report!.candidates.map(({ name }) => name)).toEqual(names);
  expect([...candidates.keys()]).toEqual(names);
  const best = Math.max(...report!.candidates.map(({ recallAt10 }) => recallAt10));
  const shipped = report!.candidates.find(({ name }) => name === report!.shipped)!;
  expect(shipped.recallAt10).toBe(best);
  expect(encoder!.metadata.metrics['recall@10']).toBe(best);
  for (const { interval, recallAt10, r10At30, r10At100 } of report!.candidates) {
    expect(interval[0]).toBeLessThanOrEqual(recallAt10);
    expect(interval[1]).toBeGreaterThanOrEqual(recallAt10);
    expect(r10At30).toBeGreaterThanOrEqual(recallAt10);
    expect(r10At100).toBeGreaterThanOrEqual(r10At30);
  }
  expect(report!.candidates.at(-1)!.recallAt10).toBeLessThan(best);
});

test('never ships a spoilt training: PCA takes its place, unless forced', async () => {
  const spoilt = { ...quick, init: 'random' as const, steps: 1, learningRate: 1e-9 };
  const { report } = await trainEncoder(sample(900, 32), spoilt);
  expect(report!.shipped).toMatch(/^pca/);
  const forced = await trainEncoder(sample(900, 32), { ...spoilt, ship: 'tldr' });
  expect(forced.encoder!.metadata.method).toBe('neighbourhood-kl');
});

test.each(['dot', 'euclid', 'manhattan'] as const)('fits the rules of %s', async (distance) => {
  const { encoder, report } = await trainEncoder(sample(700, 24), { ...quick, distance });
  expect(encoder!.network).toMatchObject({ normalizeInput: false, normalizeOutput: false });
  expect(encoder!.metadata.compactDistance).toBe(distance === 'manhattan' ? 'euclid' : distance);
  expect(report!.candidates.some(({ name }) => name === 'pca')).toBe(distance !== 'dot');
  expect(Math.max(...report!.candidates.map(({ recallAt10 }) => recallAt10))).toBeGreaterThan(0.4);
});

describe('samples', () => {
  test('zero rows and duplicates are left out and counted', () => {
    const x = gatherRows(sample(20, 4), [0, 1, 1, 2, 0, 3]);
    row(x, 3).fill(0);
    const { x: clean, facts } = cleanSample(x);
    expect(clean.rows).toBe(3);
    expect(facts).toEqual({ rows: 6, zeroRows: 1, duplicateRows: 2, constantDims: 0 });
  });

  test('the held-out part shares no row with the rest', () => {
    const { train, heldOut } = splitHeldOut(sample(100, 3), 30, 5);
    const key = (x: Matrix, i: number): string => row(x, i).join();
    const held = new Set(Array.from({ length: 30 }, (_, i) => key(heldOut, i)));
    expect(held.size).toBe(30);
    expect(Array.from({ length: 70 }, (_, i) => key(train, i)).some((text) => held.has(text))).toBe(false);
  });

  test.each([
    [sample(50, 8), { dim: 4 }, 'INVALID_DATA', 'only 50 distinct vectors'],
    [sample(500, 8), { dim: 8 }, 'INVALID_ARGUMENT', 'cannot reduce 8-d vectors to 8'],
    [sample(500, 8), { dim: 4, heldOut: 400 }, 'INVALID_ARGUMENT', 'heldOut: got 400'],
    [
      sample(500, 8),
      { dim: 4, distance: 'dot' as const, ship: 'pca' as const, steps: 1 },
      'INVALID_ARGUMENT',
      'pca is not among',
    ],
  ])('bad input %# is refused', async (x, options, code, message) => {
    await expect(trainEncoder(x, options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});

test('the version written into files is the package version', () => {
  expect(JSON.parse(readFileSync('package.json', 'utf8'))).toMatchObject({ version: VERSION });
});
