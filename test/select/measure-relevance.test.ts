import { expect, test } from '@jest/globals';
import { expectDefined } from '../../src/core/errors.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { isOnFront, labelledPart, type RelevanceReport } from '../../src/select/measure-relevance.js';
import { trainEncoder } from '../../src/select/train-encoder.js';
import type { TrainReport } from '../../src/select/train-report.js';

const GROUPS = 6;
const DIM = 24;

/** The first components tell the group; the others have more variance together and tell nothing. */
function grouped(rows: number, seed: number): { x: Matrix; labels: Int32Array } {
  const rng = new Rng(seed);
  const x = matrix(rows, DIM);
  const labels = Int32Array.from({ length: rows }, (_, i) => i % GROUPS);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < DIM; j++)
      x.data[i * DIM + j] = j < GROUPS ? Number(j === labels[i]) + 0.15 * rng.normal() : 0.6 * rng.normal();
  return { x, labels };
}

const quick = { dim: GROUPS, seed: 1, steps: 3, nNeighbors: 5, threads: 1, distance: 'euclid' as const };

async function reportOf(options: Parameters<typeof trainEncoder>[1], x: Matrix): Promise<TrainReport> {
  return expectDefined((await trainEncoder(x, options)).report, 'the report');
}

const valueOf = (set: RelevanceReport | undefined, name: string): number =>
  expectDefined(
    set?.candidates.find((one) => one.name === name),
    name,
  ).value;

const withoutTimes = (report: TrainReport): TrainReport => ({
  ...report,
  refit: report.refit && { ...report.refit, seconds: 0 },
  candidates: report.candidates.map((one) => ({ ...one, seconds: 0 })),
});

test('labels that have no part in the choice say what relevance would ship', async () => {
  const { x, labels } = grouped(900, 1);
  const plain = await reportOf(quick, x);
  const report = await reportOf({ ...quick, labelFields: [{ name: 'topic', labels }] }, x);
  // Nothing but the measure and the times differs.
  expect({ ...withoutTimes(report), relevance: [] }).toEqual({
    ...withoutTimes(plain),
    training: report.training,
  });
  expect(plain.relevance).toEqual([]);
  const [set] = report.relevance;
  expect(set).toMatchObject({
    name: 'topic',
    kind: 'labels',
    measure: 'mAP@100',
    labels: GROUPS,
    queries: 135,
    rows: 765,
    best: 'prefix',
  });
  expect(report.shipped).not.toBe('prefix');
  expect(valueOf(set, 'prefix')).toBeGreaterThan(0.9);
  expect(valueOf(set, 'prefix')).toBeGreaterThan(expectDefined(set, 'the set').fullVectors);
  expect(set?.leadOverShipped[0]).toBeGreaterThan(0);
  const front = set?.candidates.filter(({ onFront }) => onFront).map(({ name }) => name);
  expect(front).toEqual(expect.arrayContaining(['prefix', report.shipped]));
  const chosen = await reportOf({ ...quick, objective: 'relevance', labels }, x);
  expect(chosen.shipped).toBe(set?.best);
});

test('of guessed labels, those that the vectors know nothing about are left out; three are kept', async () => {
  const { x, labels } = grouped(900, 1);
  const rng = new Rng(7);
  const noise = { name: 'page', labels: labels.map(() => rng.int(9)) };
  const field = (name: string, of: (label: number) => number, guessed = true): object => ({
    name,
    labels: labels.map(of),
    guessed,
  });
  const guessed = [
    { ...noise, guessed: true },
    field('topic', (label) => label),
    field('half', (label) => label % 2),
    field('third', (label) => label % 3),
    field('first', (label) => Number(label === 0)),
  ] as { name: string; labels: Int32Array; guessed: boolean }[];
  const asked = { ...noise, name: 'asked' };
  const { relevance } = await reportOf({ ...quick, labelFields: [...guessed, asked] }, x);
  const names = relevance.map(({ name }) => name);
  expect(names).toHaveLength(4);
  expect(names).toContain('asked');
  expect(names).not.toContain('page');
});

test('labels and judged queries are measured beside fidelity, each by its own measure', async () => {
  const { x, labels } = grouped(600, 1);
  const byLabels = await reportOf({ ...quick, labels }, x);
  expect(byLabels).toMatchObject({
    objective: 'recall@10',
    relevance: [{ name: 'labels', kind: 'labels', measure: 'mAP@100' }],
  });
  const queries = grouped(60, 2);
  const gains = Array.from(queries.labels, (label) => new Map([[labels.indexOf(label), 1]]));
  const byQueries = await reportOf({ ...quick, queries: queries.x, gains, labelFields: [] }, x);
  expect(byQueries).toMatchObject({
    objective: 'recall@10',
    relevance: [{ kind: 'qrels', measure: 'nDCG@10', labels: null, queries: 60 }],
  });
  await expect(
    trainEncoder(x, { ...quick, labelFields: [{ name: 'topic', labels: new Int32Array(3) }] }),
  ).rejects.toThrow('labelFields: "topic" has 3 labels, expected 600, one per row');
});

test('too few labelled rows measure nothing', () => {
  const [train, heldOut] = [
    Int32Array.from({ length: 500 }, (_, i) => i),
    Int32Array.from({ length: 90 }, (_, i) => 500 + i),
  ];
  const partOf = (labelled: number): ReturnType<typeof labelledPart> => {
    const labels = Int32Array.from({ length: 590 }, (_, i) => (i >= 590 - labelled || i < 100 ? i % 3 : -1));
    return labelledPart([{ name: 'topic', labels }], { train, heldOut });
  };
  expect(partOf(29)).toBeNull();
  const part = partOf(30);
  expect([part?.baseRows?.length, part?.queryRows?.length]).toEqual([100, 30]);
});

test('a candidate is on the front if no other is better in one and at least as good in the other', () => {
  const points = [
    { x: 0.8, y: 0.4 },
    { x: 0.7, y: 0.5 },
    { x: 0.7, y: 0.45 },
    { x: 0.6, y: 0.4 },
    { x: 0.8, y: 0.4005 },
  ];
  expect(points.map((_, at) => isOnFront(points, at))).toEqual([true, true, false, false, true]);
});
