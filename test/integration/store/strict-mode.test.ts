import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { STRICT_LIMITS } from '../../support/store/strict-mode-limits-list.js';
import { fillCollection, limit } from '../../support/store/strict-mode-collection.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const POINTS = 400;

let place: CliPlace;

const strict = (collection: string, limits: object): Promise<void> => limit(place, collection, limits);
const fill = (collection: string): Promise<void> => fillCollection(place, collection, POINTS);

beforeAll(async () => {
  place = await openCliPlace('strict');
});

afterAll(async () => {
  await place.end();
});

describe('strict mode', () => {
  test.each(STRICT_LIMITS)('%s: a collection is counted, sampled and read', async (name, settings) => {
    const source = `from_${name}`;
    await fill(source);
    await strict(source, settings);
    const warned: string[] = [];
    const log = (_: string, message: string): void => void warned.push(message);
    const store = await openQdrant({ ...place.server, log });
    try {
      await readAll(store, source);
    } finally {
      await store.close();
    }
    // A request that is refused at first is one that was too large.
    expect(warned).toEqual([]);
  });
});

test('limits that are set during a run are kept to', async () => {
  await fill('changing');
  const warned: string[] = [];
  const log = (_: string, message: string): void => void warned.push(message);
  const store = await openQdrant({ ...place.server, log });
  try {
    const sizes: number[] = [];
    for await (const { ids } of store.scan('changing', { vectorName: '', batchSize: 100 })) {
      if (sizes.length === 0) await strict('changing', { max_query_limit: 17 });
      sizes.push(ids.length);
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(POINTS);
    expect(Math.max(...sizes.slice(3))).toBe(17);
    await strict('changing', { search_allow_exact: false, read_rate_limit: 100, max_query_limit: 1000 });
    await readAll(store, 'changing');
    await strict('changing', { upsert_max_batchsize: 3, write_rate_limit: 200 });
    const ids = Array.from({ length: 100 }, (_, i) => BigInt(i + 1));
    const { vectors, extra: rest, hasVector } = await store.retrieve('changing', ids, { vectorName: '' });
    await store.upsert('changing', {
      ids,
      vectors: [{ name: '', matrix: vectors, has: hasVector }],
      extra: rest,
    });
    await store.remove('changing', ids.slice(0, 50));
    expect(await store.count('changing')).toBe(POINTS - 50);
  } finally {
    await store.close();
  }
  expect(warned).toEqual([]);
});

test('writes can be waited for where strict mode allows no condition', async () => {
  await fill('bare');
  await strict('bare', { filter_max_conditions: 0 });
  await place.store.changes.waitForApplied('bare');
  expect(await place.store.count('bare')).toBe(POINTS);
});

test('points are found where strict mode allows updates by a filter and no reading by it', async () => {
  await fill('unread');
  await strict('unread', { unindexed_filtering_retrieve: false, unindexed_filtering_update: true });
  const bytes = Buffer.from('{"must":[{"key":"n","match":{"value":1}}]}');
  const found: bigint[] = [];
  for await (const ids of place.store.changes.matching('unread', { form: 'json', bytes }))
    found.push(...ids.filter((id): id is bigint => typeof id === 'bigint'));
  expect(found).toContain(2n);
});

async function readAll(store: QdrantStore, source: string): Promise<void> {
  expect(await store.count(source)).toBe(POINTS);
  const sample = await store.sample(source, { size: 60, vectorName: '' });
  expect(sample.ids).toHaveLength(60);
  const ids = Array.from({ length: 90 }, (_, i) => BigInt(i + 1));
  expect((await store.retrieve(source, ids, { vectorName: '' })).ids).toEqual(ids);
  let scanned = 0;
  for await (const batch of store.scan(source, { vectorName: '' })) scanned += batch.ids.length;
  expect(scanned).toBe(POINTS);
}
