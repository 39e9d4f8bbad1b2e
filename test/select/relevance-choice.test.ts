import { expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { FOUND_K } from '../../src/evaluate/neighbor-recall.js';
import { splitSample } from '../../src/select/split-sample.js';
import { trainEncoder } from '../../src/select/train-encoder.js';

const GROUPS = 6;
const DIM = 24;

/** The first components tell the group and vary little; the others vary much and tell nothing. */
function grouped(rows: number, seed: number): { x: Matrix; labels: Int32Array } {
  const rng = new Rng(seed);
  const x = matrix(rows, DIM);
  const labels = new Int32Array(rows);
  for (let i = 0; i < rows; i++) {
    labels[i] = i % GROUPS;
    for (let j = 0; j < DIM; j++) {
      const signal = j === labels[i]! ? 1 : 0;
      x.data[i * DIM + j] = j < GROUPS ? signal + 0.15 * rng.normal() : 2 * rng.normal();
    }
  }
  return { x, labels };
}

const quick = { dim: GROUPS, seed: 1, steps: 3, nNeighbors: 5, threads: 1, distance: 'euclid' as const };

test('with labels the candidate is chosen that keeps groups together, not the nearest neighbours', async () => {
  const { x, labels } = grouped(900, 1);
  const fidelity = await trainEncoder(x, quick);
  const relevance = await trainEncoder(x, { ...quick, objective: 'relevance', labels });
  expect(relevance.report!.objective).toBe('mAP@100');
  // The first components are the signal: the prefix is what a label wants and what neighbours do not.
  expect(relevance.report!.shipped).toBe('prefix');
  expect(fidelity.report!.shipped).not.toBe('prefix');
  const prefix = relevance.report!.candidates.find(({ name }) => name === 'prefix')!;
  expect(prefix.objective).toBeGreaterThan(0.9);
  expect(prefix.confirmed.objective).toBeGreaterThan(0.9);
});

test('rows without a label judge nothing: labelled ones are held out, up to a half of them', async () => {
  const { x, labels } = grouped(900, 1);
  const some = labels.map((label, i) => (i < 100 ? label : -1));
  const { objective, selectionQueries, queries, train } = splitSample(cleanSample(x), {
    ...quick,
    objective: 'relevance',
    labels: some,
  });
  expect([train.rows, queries.rows]).toEqual([765, 135]);
  const recall = {
    recallAt10: 0,
    r10At30: 0,
    r10At100: 0,
    interval: [0, 0],
    perQuery: new Float64Array(0),
  } as const;
  const nothing = (count: number): Int32Array => new Int32Array(count * FOUND_K).fill(-1);
  const chosenBy = objective(nothing(selectionQueries), recall, 0);
  const confirmedBy = objective(nothing(135 - selectionQueries), recall, selectionQueries);
  expect(chosenBy.length + confirmedBy.length).toBe(50);
  const { report } = await trainEncoder(x, { ...quick, objective: 'relevance', labels: some });
  expect(report!.shipped).toBe('prefix');
});

test('judged queries choose too, and no row is held out from them', async () => {
  const { x, labels } = grouped(600, 1);
  const queries = grouped(90, 2);
  const gains = Array.from(queries.labels, (label) => {
    const rows = new Map<number, number>();
    labels.forEach((other, i) => other === label && rows.size < 20 && rows.set(i, 1));
    return rows;
  });
  // A duplicate is dropped from the sample: its gain must reach the row that is kept.
  row(x, 599).set(row(x, 0));
  gains[0]!.set(599, 3);
  const { report } = await trainEncoder(x, { ...quick, objective: 'relevance', queries: queries.x, gains });
  expect(report).toMatchObject({
    objective: 'nDCG@10',
    trainRows: 599,
    heldOutQueries: 60,
    confirmQueries: 30,
    shipped: 'prefix',
  });
});

test('queries that nothing is relevant to, or that are not finite, are refused before any training', async () => {
  const { x } = grouped(600, 1);
  const unique = Int32Array.from({ length: 600 }, (_, i) => i);
  await expect(trainEncoder(x, { ...quick, objective: 'relevance', labels: unique })).rejects.toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringContaining('0 and 0 queries for selection'),
  });
  const queries = grouped(30, 2).x;
  queries.data[5 * DIM] = Number.NaN;
  await expect(trainEncoder(x, { ...quick, queries })).rejects.toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringContaining('row 5 of the queries'),
  });
});

test('a published setting that only the library can give is not dropped', async () => {
  const { x } = grouped(300, 1);
  const base = { ...quick, steps: 6, dim: 4 };
  const [short, long] = [
    await trainEncoder(x, { ...base, warmUpShare: 0 }),
    await trainEncoder(x, { ...base, warmUpShare: 1 }),
  ];
  expect(short.candidates.get('neighbourhood-kl')!.fingerprint).not.toBe(
    long.candidates.get('neighbourhood-kl')!.fingerprint,
  );
});

test.each([
  [{ compactDistance: 'cosine' as const }, 'does not fit euclid vectors'],
  [{ objective: 'relevance' as const }, 'needs labels'],
  [
    { objective: 'relevance' as const, labels: new Int32Array(600), queries: matrix(20, DIM) },
    'exclude each other',
  ],
  [{ queries: matrix(20, DIM - 1) }, 'queries of 20 x 23'],
  [{ queries: matrix(3, DIM) }, 'queries of 3 x 24'],
])('unusable judgements %# are refused', async (options, message) => {
  await expect(trainEncoder(grouped(600, 1).x, { ...quick, ...options })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining(message),
  });
});
