import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import type { VectorStore } from '../../src/core/vector-store.js';
import { DIM } from '../migrate/fixtures.js';
import { openCliPlace, type CliPlace } from './cli-place.js';
import { testsOn } from './test-server.js';

const test = await testsOn('any');

const POINTS = 400;
/** One limit of the server's strict mode each, so small that requests of the usual size are refused. */
const LIMITS: readonly (readonly [string, object])[] = [
  ['max_query_limit', { max_query_limit: 30 }],
  ['max_timeout', { max_timeout: 1 }],
  ['unindexed_filtering_retrieve', { unindexed_filtering_retrieve: false }],
  ['unindexed_filtering_update', { unindexed_filtering_update: false }],
  ['search_max_hnsw_ef', { search_max_hnsw_ef: 1 }],
  ['search_allow_exact', { search_allow_exact: false }],
  ['search_max_oversampling', { search_max_oversampling: 1 }],
  ['upsert_max_batchsize', { upsert_max_batchsize: 7 }],
  ['search_max_batchsize', { search_max_batchsize: 1 }],
  ['max_collection_vector_size_bytes', { max_collection_vector_size_bytes: 1000 }],
  ['read_rate_limit', { read_rate_limit: 200 }],
  ['write_rate_limit', { write_rate_limit: 100 }],
  ['max_collection_payload_size_bytes', { max_collection_payload_size_bytes: 100 }],
  ['max_points_count', { max_points_count: 10 }],
  ['filter_max_conditions', { filter_max_conditions: 0 }],
  ['condition_max_size', { condition_max_size: 0 }],
  ['max_payload_index_count', { max_payload_index_count: 0 }],
  ['multivector_config', { multivector_config: { many: { max_vectors: 1 } } }],
  ['sparse_config', { sparse_config: { words: { max_length: 1 } } }],
];

let place: CliPlace;

const strict = (collection: string, settings: object): Promise<void> =>
  place.rest('PATCH', `/collections/${collection}`, {
    strict_mode_config: { enabled: true, ...settings },
  });

async function fill(collection: string): Promise<void> {
  await place.rest('PUT', `/collections/${collection}`, {
    vectors: {
      '': { size: DIM, distance: 'Cosine' },
      many: { size: 2, distance: 'Dot', multivector_config: { comparator: 'max_sim' } },
    },
    sparse_vectors: { words: {} },
  });
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: i + 1,
    vector: {
      '': Array.from({ length: DIM }, (_, c) => Math.sin(i * 13.7 + c * c * 1.3) + Math.cos(i * c)),
      many: [
        [i + 0.5, 1],
        [1, i + 0.5],
      ],
      words: { indices: [1, 2, 3], values: [1, 2, i] },
    },
    payload: { n: i, shelf: `shelf ${i % 7}` },
  }));
  await place.rest('PUT', `/collections/${collection}/points?wait=true`, { points });
  await place.rest('PUT', `/collections/${collection}/index?wait=true`, {
    field_name: 'shelf',
    field_schema: 'keyword',
  });
}

beforeAll(async () => {
  place = await openCliPlace('strict');
});

afterAll(async () => {
  await place.end();
});

describe('strict mode', () => {
  test.each(LIMITS)('%s: a collection is counted, sampled and read', async (name, settings) => {
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

async function readAll(store: VectorStore, source: string): Promise<void> {
  expect(await store.count(source)).toBe(POINTS);
  const sample = await store.sample(source, { size: 60, vectorName: '' });
  expect(sample.ids).toHaveLength(60);
  const ids = Array.from({ length: 90 }, (_, i) => BigInt(i + 1));
  expect((await store.retrieve(source, ids, { vectorName: '' })).ids).toEqual(ids);
  let scanned = 0;
  for await (const batch of store.scan(source, { vectorName: '' })) scanned += batch.ids.length;
  expect(scanned).toBe(POINTS);
}
