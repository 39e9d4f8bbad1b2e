import { beforeAll, describe, expect, test } from '@jest/globals';
import { openMemory } from '../../adapters/memory/store.js';
import { matrix, row, rowRange, type Matrix } from '../../src/core/matrix.js';
import type { PointId } from '../../src/core/point-id.js';
import { Rng } from '../../src/core/rng.js';
import type { MemoryStore } from '../../adapters/memory/index.js';
import type { ScoredPoint, SearchRequest } from '../../src/store/search.js';
import {
  compareCollections,
  type CollectionComparison,
  type CompareCollectionsOptions,
} from '../../src/evaluate/compare-collections.js';
import { COMPACT_DIM, DIM, idAt, tinyEncoder } from '../support/migrate/fixtures.js';

const ROWS = 200;
const QUERIES = 40;
const encoder = tinyEncoder();
let store: MemoryStore;
let vectors: Matrix;
let queries: Matrix;

async function create(name: string, specs: [name: string, dim: number][]): Promise<void> {
  await store.create({
    name,
    vectors: specs.map(([vector, dim]) => ({
      name: vector,
      dim,
      distance: 'cosine',
      multivector: false,
      componentBytes: 4,
    })),
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: '{}',
  });
}

beforeAll(async () => {
  store = openMemory();
  const rng = new Rng(4);
  const all = matrix(ROWS + QUERIES, DIM);
  all.data.forEach((_, i) => (all.data[i] = rng.normal() * 0.8 ** (i % DIM)));
  vectors = rowRange(all, 0, ROWS);
  queries = rowRange(all, ROWS, ROWS + QUERIES);
  const ids = Array.from({ length: ROWS }, (_, i) => idAt(i));
  const has = new Uint8Array(ROWS).fill(1);
  const rest = ids.map((_, i) => store.codec.pack(`{"group":"${i % 4 === 0 ? 'rare' : 'usual'}"}`));
  const full = { name: '', matrix: vectors, has };
  const reduced = (name: string): typeof full => ({ name, matrix: encoder.project(vectors), has });
  await create('full', [['', DIM]]);
  await store.upsert('full', { ids, vectors: [full], extra: rest });
  await create('compact', [['', COMPACT_DIM]]);
  await store.upsert('compact', { ids, vectors: [reduced('')], extra: rest });
  await create('two-stage', [
    ['', DIM],
    ['compact', COMPACT_DIM],
  ]);
  await store.upsert('two-stage', { ids, vectors: [full, reduced('compact')], extra: rest });
});

const compact = { layout: 'compact', vector: '', compact: '' } as const;
const twoStage = { layout: 'two-stage', vector: '', compact: 'compact' } as const;

function options(changes: Partial<CompareCollectionsOptions> = {}): CompareCollectionsOptions {
  return {
    source: { store, collection: 'full', vectorName: '', distance: 'cosine' },
    target: { store, collection: 'compact', ...compact },
    encoder,
    queries: { vectors: queries, ids: null },
    ks: [10],
    rescore: 50,
    seed: 1,
    ...changes,
  };
}

const recallOf = (comparison: CollectionComparison, form: string, k = 10): number =>
  comparison.forms.find(({ name }) => name === form)!.recall.find((one) => one.k === k)!.mean;

test('the compact form loses something, the source nothing; bytes and points of both are given', async () => {
  const found = await compareCollections(options({ ks: [1, 10] }));
  expect(found.forms.map(({ name, dim }) => [name, dim])).toEqual([
    ['full, as configured', DIM],
    ['compact', COMPACT_DIM],
  ]);
  expect(found.forms[0]).toMatchObject({ topOne: 1, rankCorrelation: 1, recall: [{ mean: 1 }, { min: 1 }] });
  expect(recallOf(found, 'compact')).toBeGreaterThan(0.2);
  expect(recallOf(found, 'compact')).toBeLessThan(0.9);
  expect(found.forms[1]!.recall[0]!.mean).toBe(found.forms[1]!.topOne);
  expect(found).toMatchObject({ served: 'compact', rescore: null, points: { source: ROWS, target: ROWS } });
  expect(found.bytes.source?.vectorsRamBytes).toBe(ROWS * DIM * 4);
  expect(found.bytes.target?.vectorsRamBytes).toBe(ROWS * COMPACT_DIM * 4);
  for (const { latencyMs } of found.forms) {
    expect(latencyMs!.p50).toBeGreaterThan(0);
    expect(latencyMs!.p99).toBeGreaterThanOrEqual(latencyMs!.p50);
  }
});

test('rescoring brings scores back exactly and recall up, all of it when every point is rescored', async () => {
  const target = { store, collection: 'two-stage', ...twoStage };
  const some = await compareCollections(options({ target }));
  expect(some).toMatchObject({ served: 'rescored', rescore: 50 });
  expect(recallOf(some, 'rescored')).toBeGreaterThan(recallOf(some, 'compact'));
  expect(some.forms[2]!.scoreShift).toEqual({ mean: 0, absoluteP95: 0 });
  expect(some.forms[1]!.scoreShift!.absoluteP95).toBeGreaterThan(0.01);
  const all = await compareCollections(options({ target, rescore: ROWS }));
  expect(recallOf(all, 'rescored')).toBe(1);
});

test('a stored point is left out of its own results', async () => {
  const ids = Array.from({ length: QUERIES }, (_, i) => idAt(i));
  const stored = { vectors: rowRange(vectors, 0, QUERIES), ids };
  const found = await compareCollections(options({ queries: stored }));
  expect(found.storedPoints).toBe(true);
  // Counting itself as its own first neighbour, every query would agree on the first result.
  expect(found.forms[1]!.topOne).toBeLessThan(0.9);
  const counted = await compareCollections(options({ queries: { ...stored, ids: null } }));
  expect(counted.forms[1]!.topOne).toBe(1);
});

test('every form is asked with each k and takes its turn at going first', async () => {
  const asked: { collection: string; limit: number; exact: boolean }[] = [];
  const search = (collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]> => {
    asked.push({ collection, limit: request.limit, exact: request.exact === true });
    return store.search(collection, request);
  };
  const watched: MemoryStore = Object.assign(Object.create(store) as MemoryStore, store, { search });
  await compareCollections(
    options({
      source: { store: watched, collection: 'full', vectorName: '', distance: 'cosine' },
      target: { store: watched, collection: 'compact', ...compact },
      ks: [1, 10],
    }),
  );
  const searched = asked.filter(({ exact }) => !exact);
  expect(new Set(searched.map(({ limit }) => limit))).toEqual(new Set([1, 10]));
  expect(new Set(asked.filter(({ exact }) => exact).map(({ limit }) => limit))).toEqual(new Set([10]));
  const timed = searched.filter(({ limit }) => limit === 10).slice(-4);
  expect(timed.map(({ collection }) => collection)).toEqual(['full', 'compact', 'compact', 'full']);
});

test('qrels by point id are judged for every form and for exact search', async () => {
  const qrels = await Promise.all(
    Array.from({ length: QUERIES }, async (_, q) => {
      const request = { vectorName: '', vector: row(queries, q), limit: 1 };
      const [first] = await store.search('full', request);
      return new Map<PointId, number>([[first!.id, 1]]);
    }),
  );
  const found = await compareCollections(options({ qrels }));
  expect(found.exactQuality).toMatchObject({ mapAt100: 1, ndcgAt10: 1, mrrAt10: 1, judgedQueries: QUERIES });
  expect(found.forms[0]!.quality).toMatchObject({ mrrAt10: 1 });
  expect(found.forms[1]!.quality!.mrrAt10).toBeGreaterThan(0.1);
  expect(found.forms[1]!.quality!.mrrAt10).toBeLessThan(1);
});

test('queries are split by the payload of the point they are, or of the first true result', async () => {
  const ids = Array.from({ length: QUERIES }, (_, i) => idAt(i));
  const stored = { vectors: rowRange(vectors, 0, QUERIES), ids };
  const byPoint = await compareCollections(options({ queries: stored, by: 'group' }));
  expect(byPoint.strata).toMatchObject({ field: 'group', of: 'query point', rare: null });
  expect(new Map(byPoint.strata!.strata.map(({ value, queries: n }) => [value, n]))).toEqual(
    new Map([
      ['rare', 10],
      ['usual', 30],
    ]),
  );
  const byResult = await compareCollections(options({ by: 'group' }));
  expect(byResult.strata).toMatchObject({ of: 'first true result' });
  const recalls = byResult.strata!.strata.map(({ recall }) => recall['compact']!);
  expect(recalls).toEqual(recalls.slice().sort((a, b) => a - b));
  const none = await compareCollections(options({ by: 'nothing' }));
  expect(none.strata!.strata.map(({ value, queries: n }) => [value, n])).toEqual([['(none)', QUERIES]]);
});

describe('refuses', () => {
  test.each([
    [{ queries: { vectors: matrix(2, 3), ids: null } }, 'MISMATCH', 'are 3-d, the encoder expects 16-d'],
    [{ queries: { vectors: matrix(0, DIM), ids: null } }, 'INVALID_DATA', 'there are no queries'],
    [{ ks: [] }, 'INVALID_ARGUMENT', 'expected whole numbers from 1'],
    [{ qrels: [] }, 'INVALID_ARGUMENT', `qrels of 0 queries, but ${QUERIES} query vectors`],
    [{ signal: AbortSignal.abort() }, 'ABORTED', 'stopped'],
  ])('%#', async (changes, code, message) => {
    await expect(compareCollections(options(changes))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});
