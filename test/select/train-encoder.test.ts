import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { normalizedRows } from '../../src/core/distance.js';
import { gatherRows, matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { cleanSample, splitRows } from '../../src/core/clean-and-split-sample.js';
import { trainEncoder } from '../../src/select/train-encoder.js';
import { VERSION } from '../../src/encoder/package-version.js';

function sample(rows: number, cols: number): Matrix {
  const rng = new Rng(8);
  const x = matrix(rows, cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) x.data[i * cols + j] = rng.normal() * 0.85 ** j;
  return x;
}

const quick = { dim: 6, seed: 1, steps: 8, nNeighbors: 5, threads: 1 };

const CLOSED = [
  'pca-uncentred',
  'pca',
  'pca-uncentred-tempered-0.25',
  'pca-tempered-0.25',
  'pca-uncentred-tempered-0.5',
  'pca-tempered-0.5',
  'prefix',
  'random-projection',
];

test('ships the best on held-out rows and reports every candidate beside it', async () => {
  const { encoder, report, candidates, details } = await trainEncoder(sample(900, 32), quick);
  const names = ['neighbourhood-kl', ...CLOSED];
  expect(report!.candidates.map(({ name }) => name)).toEqual(names);
  expect([...candidates.keys()]).toEqual(names);
  const best = Math.max(...report!.candidates.map(({ recallAt10 }) => recallAt10));
  const shipped = report!.candidates.find(({ name }) => name === report!.shipped)!;
  expect(shipped.recallAt10).toBeGreaterThanOrEqual(best - 0.001);
  expect(encoder!.metadata.metrics['recall@10']).toBe(shipped.recallAt10);
  for (const { name, interval, recallAt10, r10At30, r10At100, confirmed } of report!.candidates) {
    expect(interval[0]).toBeLessThanOrEqual(recallAt10);
    expect(interval[1]).toBeGreaterThanOrEqual(recallAt10);
    expect(r10At30).toBeGreaterThanOrEqual(recallAt10);
    expect(r10At100).toBeGreaterThanOrEqual(r10At30);
    expect(Math.abs(confirmed.recallAt10 - recallAt10)).toBeLessThan(0.25);
    expect(details!.perQuery.get(name)).toHaveLength(report!.heldOutQueries);
  }
  expect(report!.heldOutQueries).toBe(90);
  expect(report!.confirmQueries).toBe(45);
  expect(report!.candidates.at(-1)!.recallAt10).toBeLessThan(best);
});

test('without settings of its own it plans the trainings from the budget, the same each time', async () => {
  const x = sample(400, 16);
  const options = { dim: 4, seed: 2, threads: 1, budgetSeconds: 1 };
  const first = await trainEncoder(x, options);
  expect(first.report!.training.map(({ name }) => name)).toEqual([
    'neighbourhood-kl',
    'neighbourhood-kl-residual',
    'tldr',
  ]);
  const again = await trainEncoder(x, options);
  for (const [name, encoder] of first.candidates)
    expect(again.candidates.get(name)!.fingerprint).toBe(encoder.fingerprint);
});

test('a training that diverges is left out with a warning, unless it was asked for', async () => {
  const x = sample(400, 16);
  // Beside it, float32 has no room for the differences of the others.
  for (let i = 0; i < x.rows; i++) x.data[16 * i + 5] = 9e14;
  const warnings: string[] = [];
  const options = { dim: 4, seed: 2, threads: 1, budgetSeconds: 1, distance: 'dot' } as const;
  const { encoder, report } = await trainEncoder(x, {
    ...options,
    log: (level, message) => {
      if (level === 'warn') warnings.push(message);
    },
  });
  expect(warnings).toContainEqual(
    expect.stringMatching(/^neighbourhood-kl is skipped: the loss of the first training step is NaN/),
  );
  const names = report!.candidates.map(({ name }) => name);
  expect(names).toContain('pca-uncentred');
  expect(names).not.toContain('neighbourhood-kl');
  expect(names).toContain(report!.shipped);
  expect(encoder!.network.layers[0]!.weight.data.every(Number.isFinite)).toBe(true);
  for (const asked of [{ ship: 'neighbourhood-kl' }, { steps: 5 }])
    await expect(trainEncoder(x, { ...options, ...asked })).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('too much alike'),
    });
});

test('a stopped run goes on from its states to the very same encoders', async () => {
  const x = sample(400, 16);
  const options = { dim: 4, seed: 2, threads: 1, budgetSeconds: 1 };
  const whole = await trainEncoder(x, options);
  const controller = new AbortController();
  const stopped = await trainEncoder(x, {
    ...options,
    signal: controller.signal,
    onProgress: ({ step, done }) => {
      if (step === 'training neighbourhood-kl-residual' && done === 20) controller.abort();
    },
  });
  expect(stopped.encoder).toBeNull();
  expect([...stopped.states.keys()]).toEqual(['neighbourhood-kl', 'neighbourhood-kl-residual']);
  const resumed = await trainEncoder(x, { ...options, resume: stopped.states });
  for (const [name, encoder] of whole.candidates)
    expect(resumed.candidates.get(name)!.fingerprint).toBe(encoder.fingerprint);
});

test('never ships a spoilt training: PCA takes its place, unless forced', async () => {
  const spoilt = { ...quick, init: 'random' as const, steps: 1, learningRate: 1e-9 };
  const { report } = await trainEncoder(sample(900, 32), spoilt);
  expect(report!.shipped).toMatch(/^pca/);
  const forced = await trainEncoder(sample(900, 32), { ...spoilt, ship: 'neighbourhood-kl' });
  expect(forced.encoder!.metadata.method).toBe('neighbourhood-kl');
});

test.each(['dot', 'euclid', 'manhattan'] as const)('fits the rules of %s', async (distance) => {
  const { encoder, report } = await trainEncoder(sample(700, 24), { ...quick, distance });
  expect(encoder!.network).toMatchObject({ normalizeInput: false, normalizeOutput: false });
  expect(encoder!.metadata.compactDistance).toBe(distance === 'manhattan' ? 'euclid' : distance);
  expect(report!.candidates.some(({ name }) => name === 'pca')).toBe(distance !== 'dot');
  expect(Math.max(...report!.candidates.map(({ recallAt10 }) => recallAt10))).toBeGreaterThan(0.4);
});

test('dot products of unit vectors are fitted as cosines and stay a dot-product space', async () => {
  const unit = normalizedRows(sample(700, 24));
  const { encoder, report } = await trainEncoder(unit, { ...quick, distance: 'dot' });
  expect(report!.candidates.map(({ name }) => name)).toContain('pca');
  expect(encoder!.metadata).toMatchObject({ distance: 'dot', compactDistance: 'dot' });
});

describe('samples', () => {
  test('zero rows and duplicates are left out and counted', () => {
    const x = gatherRows(sample(20, 4), [0, 1, 1, 2, 0, 3]);
    row(x, 3).fill(0);
    const { x: clean, rowOf, facts } = cleanSample(x);
    expect([...rowOf]).toEqual([0, 1, 1, -1, 0, 2]);
    expect(clean.rows).toBe(3);
    expect(facts).toEqual({ rows: 6, zeroRows: 1, duplicateRows: 2, constantDims: 0 });
  });

  test('the held-out part shares no row with the rest', () => {
    const { train, heldOut } = splitRows(100, 30, 5);
    expect(heldOut).toHaveLength(30);
    expect([...train, ...heldOut].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test.each([
    [sample(50, 8), { dim: 4 }, 'INVALID_DATA', 'only 50 distinct vectors'],
    [sample(500, 8), { dim: 8 }, 'INVALID_ARGUMENT', 'cannot reduce 8-d vectors to 8'],
    [sample(500, 8), { dim: 4, heldOut: 400 }, 'INVALID_ARGUMENT', 'heldOut: got 400'],
    [sample(500, 8), { dim: 4, distance: 'x' as 'dot' }, 'INVALID_ARGUMENT', 'distance: got x'],
    [sample(500, 8), { dim: 4, seed: 2 ** 32 }, 'INVALID_ARGUMENT', 'seed: got 4294967296'],
    [
      sample(500, 8),
      { dim: 4, distance: 'dot' as const, ship: 'pca' as const, steps: 1 },
      'INVALID_ARGUMENT',
      'ship: pca is not among',
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
