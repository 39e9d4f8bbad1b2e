import { expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { splitSample } from '../../src/select/split-sample.js';
import { trainEncoder } from '../../src/select/train-encoder.js';

const DIM = 32;
const [NAME, LIGHT] = ['leanvec-sphering', 'leanvec-sphering-0.1'];
const quick = { dim: 6, seed: 1, steps: 3, nNeighbors: 5, threads: 1, distance: 'dot' as const };

function rowsOf(rows: number, seed: number, spread: (j: number) => number): Matrix {
  const rng = new Rng(seed);
  const x = matrix(rows, DIM);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal() * spread(i % DIM);
  return x;
}

const falling = (j: number): number => 0.95 ** j;
const points = rowsOf(900, 1, falling);
/** Queries that care for what varies little among the points. */
const shifted = rowsOf(300, 2, (j) => 0.75 ** (DIM - 1 - j));

test('it ships where queries lie elsewhere than the points, judged by queries that it was not fitted to', async () => {
  const { encoder, report } = await trainEncoder(points, { ...quick, queries: shifted });
  const recallOf = (name: string): number =>
    report!.candidates.find((one) => one.name === name)!.confirmed.recallAt10;
  expect(report).toMatchObject({ shipped: LIGHT, fitQueries: 100, heldOutQueries: 133, confirmQueries: 67 });
  expect(recallOf(NAME)).toBeGreaterThan(recallOf('pca-uncentred') + 0.1);
  expect(recallOf(LIGHT)).toBeGreaterThan(recallOf('pca-uncentred') + 0.1);
  expect(encoder).toMatchObject({ symmetric: false, metadata: { method: LIGHT, compactDistance: 'dot' } });
  expect(encoder!.metadata.hyperParameters).toEqual({ queries: 100, pointsShare: 3.2 / 103.2 });
});

test('it is there and does no harm where queries are distributed like the points', async () => {
  const options = { ...quick, queries: rowsOf(300, 3, falling) };
  const { report } = await trainEncoder(points, options);
  const recallOf = (name: string): number =>
    report!.candidates.find((one) => one.name === name)!.confirmed.recallAt10;
  expect(Math.abs(recallOf(NAME) - recallOf('pca-uncentred'))).toBeLessThan(0.03);
  expect(report!.confirmedGap).toBeLessThan(0.02);
});

test('queries that judge and queries that fit are different ones, together all of them', () => {
  const numbered = matrix(200, 1);
  numbered.data.forEach((_, i) => (numbered.data[i] = i + 1));
  const base = matrix(300, 1);
  base.data.forEach((_, i) => (base.data[i] = i + 1));
  const { queries, fitQueries } = splitSample(cleanSample(base), {
    dim: 1,
    distance: 'cosine',
    queries: numbered,
  });
  expect(fitQueries!.rows).toBe(66);
  const all = [...queries.data, ...fitQueries!.data].sort((a, b) => a - b);
  expect(all).toEqual([...numbered.data]);
});

test.each<[string, { queries?: Matrix; distance?: 'euclid' }]>([
  ['fewer than 90 queries', { queries: rowsOf(89, 2, falling) }],
  ['Euclidean distances', { queries: shifted, distance: 'euclid' }],
  ['no queries', {}],
])('%s: every query judges and the candidate is not there', async (_name, options) => {
  const { report } = await trainEncoder(points, { ...quick, ...options });
  expect(report!.fitQueries).toBe(0);
  expect(report!.candidates.map(({ name }) => name)).not.toContain(NAME);
  if (options.queries !== undefined)
    expect(report!.heldOutQueries + report!.confirmQueries).toBe(options.queries.rows);
});

const LEARNED = 'neighbourhood-kl-queries';
const planned = {
  dim: 6,
  seed: 1,
  threads: 1,
  distance: 'dot',
  queries: shifted,
  budgetSeconds: 0.1,
} as const;

test('a map that is learned from points and queries competes, and is fitted again to the queries that chose it', async () => {
  const { report, candidates } = await trainEncoder(points, { ...planned, ship: LEARNED });
  const names = report!.training.map(({ name }) => name);
  // Dot products need linear maps.
  expect(names).toEqual(['neighbourhood-kl', 'tldr', LEARNED]);
  const { symmetric, metadata } = candidates.get(LEARNED)!;
  expect(symmetric).toBe(true);
  expect(metadata.hyperParameters).toMatchObject({ queries: 100, anchorShare: 0.9 });
  expect(report!.refit).toMatchObject({ rows: 900, fitQueries: 233, queries: 67 });
});

test.each([LEARNED, `${LEARNED}, all rows`])(
  'stopped in the training %s, it goes on to the very same encoder, with the same queries only',
  async (name) => {
    const options = { ...planned, ship: LEARNED };
    const controller = new AbortController();
    const stopped = await trainEncoder(points, {
      ...options,
      signal: controller.signal,
      onProgress: ({ step, done }) => {
        if (step === `training ${name}` && done === 10) controller.abort();
      },
    });
    expect(stopped.encoder).toBeNull();
    expect([...stopped.states.keys()].at(-1)).toBe(name);
    const resume = stopped.states;
    const resumed = await trainEncoder(points, { ...options, resume });
    const whole = await trainEncoder(points, options);
    expect(resumed.encoder!.fingerprint).toBe(whole.encoder!.fingerprint);
    const others = rowsOf(300, 5, falling);
    await expect(trainEncoder(points, { ...options, resume, queries: others })).rejects.toMatchObject({
      code: 'MISMATCH',
    });
  },
);
