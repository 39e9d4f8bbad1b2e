import { afterAll, beforeAll, expect } from '@jest/globals';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { SearchRequest } from '../../../src/store/search.js';
import { compareCollections } from '../../../src/evaluate/compare-collections.js';
import { COMPACT_DIM, DIM, fill, idAt, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** Few enough that searches come faster, and so many that the test ends soon. */
const READS_PER_MINUTE = 300;
const POINTS = 30;
const QUERIES = 6;
const NAMES = ['full', 'small'];
const encoder = tinyEncoder();
let server: TestServer;
let store: QdrantStore;

interface Asked {
  readonly collection: string;
  /** Limit, vector and kind of a search. */
  readonly what: string;
  /** The server refused it at first. */
  readonly waited: boolean;
}

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  for (const [name, size] of [
    ['full', DIM],
    ['small', COMPACT_DIM],
  ] as const) {
    const native = JSON.stringify({ params: { vectors: { size, distance: 'Cosine' } } });
    await store.create({ name, vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  }
  const vectors = await fill(store, 'full', POINTS);
  const ids = Array.from({ length: POINTS }, (_, i) => idAt(i));
  const has = new Uint8Array(ids.length).fill(1);
  const compact = { name: '', matrix: encoder.project(vectors), has };
  await store.upsert('small', { ids, vectors: [compact], extra: ids.map(() => store.codec.pack('{}')) });
  const limit = { strict_mode_config: { enabled: true, read_rate_limit: READS_PER_MINUTE } };
  for (const name of NAMES) await call('PATCH', name, limit);
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

async function call(method: string, path: string, body: object): Promise<number> {
  const response = await fetchOnce(`${server.url}/collections/${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  await response.text();
  return response.status;
}

/** Reads until the server refuses to be read. */
async function useUp(name: string): Promise<void> {
  while ((await call('POST', `${name}/points/scroll`, { limit: 1 })) !== 429);
}

/** The store, with the rate limit of each collection used up until a search had to wait for it. */
function watched(asked: Asked[]): QdrantStore {
  const search = async (collection: string, request: SearchRequest): Promise<unknown> => {
    if (!asked.some((one) => one.collection === collection && one.waited)) await useUp(collection);
    const refusals = store.load.rateLimitCount();
    const answer = await store.search(collection, request);
    const what = JSON.stringify([request.limit, request.exact ?? false, [...request.vector]]);
    asked.push({ collection, what, waited: store.load.rateLimitCount() > refusals });
    return answer;
  };
  return new Proxy(store, {
    get: (of, name) => {
      const value: unknown = Reflect.get(of, name);
      if (name === 'search') return search;
      return typeof value === 'function' ? (value.bind(of) as unknown) : value;
    },
  });
}

test('a search that had to wait for the rate limit is timed again, whatever was read before', async () => {
  const asked: Asked[] = [];
  const shared = watched(asked);
  const queries = matrix(QUERIES, DIM);
  const rng = new Rng(3);
  queries.data.forEach((_, i) => (queries.data[i] = rng.normal()));
  await compareCollections({
    source: { store: shared, collection: 'full', vectorName: '', distance: 'cosine' },
    target: { store: shared, collection: 'small', layout: 'compact', vector: '', compact: '' },
    encoder,
    queries: { vectors: queries, ids: null },
    ks: [3],
    rescore: 10,
    seed: 1,
  });
  for (const name of NAMES) expect(asked.some((one) => one.collection === name && one.waited)).toBe(true);
  // What was timed last counts.
  const last = new Map(asked.map(({ collection, what, waited }) => [`${collection} ${what}`, waited]));
  expect(last.size).toBe(3 * QUERIES);
  expect([...last].filter(([, waited]) => waited)).toEqual([]);
});
