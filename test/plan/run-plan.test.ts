import { watched } from '../support/store/watch-calls.js';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openMemory } from '../../adapters/memory/store.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import type { MemoryStore } from '../../adapters/memory/index.js';
import { mean } from '../../src/evaluate/ranking.js';
import { expectedRecall, withoutFitGap } from '../../src/plan/extrapolate-recall.js';
import { fitGapShare } from '../../src/plan/fit-gap.js';
import { runPlan, type PlanResult } from '../../src/plan/run-plan.js';
import { preparePlan, type DrawnSample, type PlanOptions } from '../../src/plan/prepare-plan.js';
import {
  compactVariants,
  configsOf,
  fitByteMap,
  fullVariants,
  searchRequestOf,
  toBytes,
  variantData,
} from '../../src/plan/variants.js';
import { COMPACT_DIM, contentOf, DIM, fill, tinyEncoder, twoMaps } from '../support/migrate/fixtures.js';

let store: MemoryStore;

beforeEach(async () => {
  store = openMemory();
  const vector = { name: '', dim: DIM, distance: 'cosine' as const, multivector: false, componentBytes: 4 };
  const none = { otherVectors: [], partitions: [], metadata: {} };
  await store.create({ ...none, name: 'docs', vectors: [vector], native: '{}' });
  await fill(store, 'docs', 400);
});

function options(changes: Partial<PlanOptions> = {}): PlanOptions {
  return {
    store,
    scratchStore: store,
    collection: 'docs',
    dims: [4, 8],
    kinds: ['float32', 'scalar'],
    oversamplings: [1, 2],
    sampleSize: 200,
    queriesCount: 30,
    scratchName: 'tldr-plan-test',
    scratchMetadata: {},
    seed: 1,
    threads: 1,
    budgetSeconds: 1,
    ...changes,
  };
}

test('a way that the measuring store lacks is refused before anything is trained or written', async () => {
  const setup = await preparePlan(options({ kinds: ['float32'] }));
  const variants = setup.variants.map((variant) => ({
    ...variant,
    scratch: {
      ...variant.scratch,
      storage: { datatype: 'turbo4', quantization: 'none', onDisk: false, indexed: true } as const,
    },
  }));
  const trained: string[] = [];
  const log = (_level: string, message: string): void => void trained.push(message);
  await expect(runPlan(options({ log }), { ...setup, variants })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('turbo4') as unknown,
  });
  expect(trained).toEqual([]);
  expect(await store.listCollections()).toEqual(['docs']);
});

test('every size and way is measured; what the store lacks is said', async () => {
  const before = await contentOf(store, 'docs');
  const setup = await preparePlan(options());
  expect(setup).toMatchObject({ points: 400, samplePoints: 200, dims: [4, 8], rows: 5 });
  expect(await store.listCollections()).toEqual(['docs']);
  const result = await runPlan(options(), setup);
  expect(result.notes).toEqual(['not measured, this server cannot store them: scalar']);
  expect(result).toMatchObject({ samplePoints: 170, queries: { count: 30, heldOut: true } });
  expect(result.encoders.map(({ dim }) => dim)).toEqual([4, 8]);
  for (const { candidates, shipped } of result.encoders)
    expect(candidates.map(({ name }) => name)).toContain(shipped);
  expect(result.doublings).toBeCloseTo(Math.log2(400 / 170));
  expect(result.rows).toHaveLength(5);
  expect(result.rows.find(({ kind }) => kind === 'current')).toMatchObject({
    kind: 'current',
    recallAt10: 1,
    sampleRecallAt10: 1,
    ndcgAt10: 1,
    oversampling: 1,
    ramBytes: 400 * DIM * 4,
    diskBytesPerMillion: 1e6 * DIM * 4,
  });
  expect(await store.listCollections()).toEqual(['docs']);
  expect(await contentOf(store, 'docs')).toEqual(before);
});

/** Queries that care for what varies little among the points. */
function shifted(rows: number): Matrix {
  const rng = new Rng(9);
  const x = matrix(rows, DIM);
  x.data.forEach((_, i) => (x.data[i] = rng.normal() * 0.8 ** (DIM - 1 - (i % DIM))));
  return x;
}

test('given queries train and choose encoders, and others of them measure', async () => {
  const asked = new Set<string>();
  const search: MemoryStore['search'] = (name, request) => {
    if (request.vectorName === 'current') asked.add(String(request.vector));
    return store.search(name, request);
  };
  const queries = shifted(240);
  const given = options({ queries, dims: [4], scratchStore: { ...store, search } });
  const setup = await preparePlan(given);
  expect(setup.givenQueries).toEqual({ measuring: 30, training: 210 });
  const result = await runPlan(given, setup);
  expect(result).toMatchObject({ samplePoints: 200, queries: { count: 30, heldOut: false, training: 210 } });
  expect(asked.size).toBe(30);
  expect(result.encoders[0]!.candidates.map(({ name }) => name)).toContain('leanvec-sphering');
});

test('half of few queries measures; where that leaves too few to train with, all of them do', async () => {
  const divided = async (rows: number, changes: Partial<PlanOptions> = {}): Promise<unknown> =>
    (await preparePlan(options({ queries: shifted(rows), queriesCount: 300, ...changes }))).givenQueries;
  expect(await divided(100)).toEqual({ measuring: 50, training: 50 });
  expect(await divided(29)).toEqual({ measuring: 14, training: 15 });
  expect(await divided(28)).toEqual({ measuring: 28, training: 0 });
  const few = options({ queries: shifted(28), dims: [4] });
  const result = await runPlan(few, await preparePlan(few));
  expect(result.queries).toEqual({ count: 28, heldOut: false, training: 0 });
  expect(result.notes.join()).toContain('fewer than 29 queries');
  await expect(divided(28, { objective: 'relevance' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('encoders are chosen by labels and by judgements of the drawn sample', async () => {
  const { vectors } = await store.sample('docs', { vectorName: '', size: 300 });
  const labels = Int32Array.from({ length: vectors.rows }, (_, i) => (i % 5 === 4 ? -1 : i % 4));
  const byLabels = options({
    objective: 'relevance',
    dims: [4],
    draw: () => Promise.resolve({ vectors, labels }),
  });
  const chosen = await runPlan(byLabels, await preparePlan(byLabels));
  expect(chosen.encoders.map(({ objective }) => objective)).toEqual(['mAP@100']);
  const queries = shifted(60);
  const gains = Array.from({ length: 60 }, (_, q) => new Map([[q * 4, 1]]));
  const draw = (): Promise<DrawnSample> => Promise.resolve({ vectors, gains });
  const byQrels = options({ objective: 'relevance', dims: [4], queries, draw });
  const judged = await runPlan(byQrels, await preparePlan(byQrels));
  expect(judged.encoders.map(({ objective }) => objective)).toEqual(['nDCG@10']);
  expect(judged.queries).toEqual({ count: 30, heldOut: false, training: 30 });
});

describe('a sample of a collection that is larger', () => {
  const many = { collection: 'many', dims: [4], sampleSize: 1_200 };

  beforeEach(async () => {
    const spec = await store.describe('docs');
    await store.create({ ...spec, name: 'many' });
    await fill(store, 'many', 1_600);
  });

  test('predicts recall from the sample, its trend, and points that nothing was fitted to', async () => {
    const predicting = options(many);
    const { rows, encoders, keptOut, samplePoints, doublings } = await runPlan(
      predicting,
      await preparePlan(predicting),
    );
    expect({ samplePoints, keptOut }).toEqual({ samplePoints: 1_170, keptOut: 292 });
    expect(doublings).toBeCloseTo(Math.log2(1_600 / 1_170));
    const share = fitGapShare({ fitted: 878, sample: 1_170, points: 1_600, willFit: 1_600 });
    expect(encoders[0]!.fitGap).toMatchObject({ share });
    const compact = rows.filter(({ kind }) => kind === 'compact');
    expect(compact.map(({ oversampling }) => oversampling)).toEqual([1, 2]);
    for (const { evidence, recallAt10, sampleRecallAt10, interval } of compact) {
      const { recall, perDoubling, fitGap } = evidence;
      expect(fitGap).toMatchObject({ share });
      expect(sampleRecallAt10).toBe(mean(recall));
      const carriedOn = expectedRecall(mean(recall), mean(perDoubling), doublings);
      expect(recallAt10).toBe(withoutFitGap(carriedOn, fitGap).value);
      expect(interval[0]).toBeLessThanOrEqual(recallAt10);
      expect(interval[1]).toBeGreaterThanOrEqual(recallAt10);
    }
    expect(compact[0]!.evidence.fitGap).toEqual(encoders[0]!.fitGap);
    // Full vectors need no encoder.
    expect(rows.find(({ kind }) => kind === 'current')!.evidence.fitGap).toBeNull();
  });

  test('keeps out no point that a judgement names', async () => {
    const { vectors } = await store.sample('many', { vectorName: '', size: 1_200 });
    const queries = shifted(60);
    const judged = async (names: number): Promise<PlanResult> => {
      const gains = Array.from(
        { length: 60 },
        (_, q) => new Map(Array.from({ length: names }, (__, i) => [(q * names + i) % 1_200, 1])),
      );
      const draw = (): Promise<DrawnSample> => Promise.resolve({ vectors, gains });
      const relevant = options({ ...many, objective: 'relevance', queries, draw });
      return runPlan(relevant, await preparePlan(relevant));
    };
    expect(await judged(1)).toMatchObject({ samplePoints: 1_200, keptOut: 300 });
    // However the queries are divided, those that train name every point.
    const all = await judged(400);
    expect(all).toMatchObject({ samplePoints: 1_200, keptOut: 0 });
    expect(all.encoders.map(({ fitGap }) => fitGap)).toEqual([null]);
  });
});

test.each(['create', 'upsert', 'finishBulkLoad', 'storage.measure', 'search'])(
  'the scratch collection is gone when %s fails',
  async (method) => {
    const failing = watched(store, ({ name, go }) =>
      name === method ? Promise.reject(new Error('broken')) : go(),
    );
    const broken = options({ scratchStore: failing, dims: [4] });
    await expect(runPlan(broken, await preparePlan(broken))).rejects.toThrow('broken');
    expect(await store.listCollections()).toEqual(['docs']);
  },
);

test('a collection that is there already is not taken for the scratch collection', async () => {
  const spec = await store.describe('docs');
  await store.create({ ...spec, name: 'tldr-plan-test' });
  const small = options({ dims: [4] });
  const taken = runPlan(small, await preparePlan(small));
  await expect(taken).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(await store.exists('tldr-plan-test')).toBe(true);
  const own = runPlan({ ...small, scratchName: 'docs' }, await preparePlan(small));
  await expect(own).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test.each([
  [{ dims: [DIM] }, 'INVALID_ARGUMENT'],
  [{ dims: [] }, 'INVALID_ARGUMENT'],
  [{ collection: 'nope' }, 'NOT_FOUND'],
  [{ vectorName: 'nope' }, 'NOT_FOUND'],
  [{ queries: matrix(3, DIM + 1) }, 'INVALID_ARGUMENT'],
  [{ queriesCount: 0 }, 'INVALID_ARGUMENT'],
  [{ sampleSize: 99 }, 'INVALID_ARGUMENT'],
])('refuses %j', async (changes, code) => {
  await expect(preparePlan(options(changes))).rejects.toMatchObject({ code });
});

test('rows: each way of keeping vectors where it makes sense', () => {
  const vector = { name: '', dim: 64, distance: 'cosine' as const, multivector: false, componentBytes: 4 };
  const current = {
    datatype: 'float32' as const,
    quantization: 'none' as const,
    onDisk: false,
    indexed: true,
    codesInMemory: true,
    indexInMemory: true,
    hnswM: 16,
  };
  const kinds = ['float32', 'float16', 'uint8', 'scalar'] as const;
  const names = (variants: readonly { readonly scratch: { readonly name: string } }[]): string[] =>
    variants.map(({ scratch }) => scratch.name);
  expect(names(fullVariants(vector, current, kinds))).toEqual([
    'current',
    'full',
    'full-float16',
    'full-scalar',
  ]);
  expect(names(fullVariants(vector, { ...current, onDisk: true }, kinds))).toContain('full-float32');
  const compact = compactVariants(8, { distance: 'cosine', hnswM: 16 }, kinds);
  expect(compact.map(({ scratch }) => [scratch.name, scratch.distance])).toEqual([
    ['c8-float32', 'cosine'],
    ['c8-float16', 'cosine'],
    ['c8-uint8', 'euclid'],
    ['c8-scalar', 'cosine'],
  ]);
  expect(names(compactVariants(8, { distance: 'dot', hnswM: 16 }, kinds))).not.toContain('c8-uint8');
  const oversamplings = (variant: Parameters<typeof configsOf>[0]): number[] =>
    configsOf(variant, [1, 4]).map(({ oversampling }) => oversampling);
  expect(fullVariants(vector, current, kinds).map(oversamplings)).toEqual([[1], [], [1], [1, 4]]);
  expect(compact.map(oversamplings)).toEqual([[1, 4], [1, 4], [4], [1, 4]]);
  const vectors = { full: new Float32Array(64), own: new Float32Array(8) };
  expect(searchRequestOf({ variant: compact[0]!, oversampling: 4 }, vectors)).toMatchObject({
    vectorName: 'full',
    prefetch: { vectorName: 'c8-float32', limit: 40 },
  });
});

test('values as bytes keep Euclidean order up to rounding', () => {
  const rng = new Rng(5);
  const x = matrix(200, 8);
  x.data.forEach((_, i) => (x.data[i] = rng.normal()));
  const map = fitByteMap(x);
  const bytes = toBytes(x, map);
  expect(bytes.data.every((value) => Number.isInteger(value) && value >= 0 && value <= 255)).toBe(true);
  const inside = Array.from(x.data).map((value, i) =>
    Math.abs(value - (bytes.data[i]! - map.offset) / map.scale),
  );
  expect(inside.filter((error) => error > 0.51 / map.scale).length).toBeLessThan(10);
});

test('queries of an asymmetric encoder are measured by their own map', () => {
  const x = matrix(3, DIM);
  x.data.forEach((_, i) => (x.data[i] = Math.sin(i)));
  const encoder = twoMaps(tinyEncoder());
  const variants = compactVariants(COMPACT_DIM, { distance: 'cosine', hnswM: 0 }, ['float32']);
  const [data] = variantData(
    variants,
    { base: x, queries: x },
    new Map([[`c${COMPACT_DIM}-float32`, encoder]]),
  ).values();
  expect(data).toEqual({ base: encoder.project(x), queries: encoder.projectQueries(x) });
});
