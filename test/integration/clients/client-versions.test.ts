import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QdrantClient as NewestClient } from 'js-client-rest-newest';
import { QdrantClient as OldestClient } from 'js-client-rest-oldest';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withProjection, type ProjectableClient } from '../../../adapters/qdrant/client/with-projection.js';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { row } from '../../../src/core/matrix.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 200;
const encoder = tinyEncoder();

/** What the test uses of a client, in any version. */
interface Used extends ProjectableClient {
  query(name: string, request: object): Promise<{ points: readonly { id: unknown; score: number }[] }>;
  upsert(name: string, points: object): Promise<unknown>;
  retrieve(name: string, request: object): Promise<readonly { vector?: unknown }[]>;
  delete(name: string, points: object): Promise<unknown>;
  count(name: string, request: object): Promise<{ count: number }>;
  search?(name: string, request: object): Promise<readonly { id: unknown; score: number }[]>;
}

let server: TestServer;
let store: QdrantStore;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-client-versions-'));
  const native = JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } } });
  await store.create({ name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  await fill(store, 'docs', POINTS);
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'docs',
    targetCollection: 'docs_t',
    encoder,
    layout: 'two-stage',
    statePath: join(folder, 'state.json'),
  });
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

const options = (): { url: string; checkCompatibility: false } => ({
  url: server.url,
  checkCompatibility: false,
});

test('the range that the package accepts is the one that is tested', () => {
  const text = readFileSync('package.json', 'utf8');
  const { peerDependencies: peers } = JSON.parse(text) as { peerDependencies: Record<string, string> };
  const versionOf = (name: string): string => {
    const own = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string };
    return own.version;
  };
  const [oldest, newest] = [versionOf('js-client-rest-oldest'), versionOf('js-client-rest-newest')];
  const [major, minor = Number.NaN] = newest.split('.').map(Number);
  expect(peers['@qdrant/js-client-rest']).toBe(`>=${oldest} <${major}.${minor + 1}`);
});

describe.each<readonly [string, () => Used]>([
  ['oldest', () => new OldestClient(options())],
  ['newest', () => new NewestClient(options())],
])('the %s client, wrapped', (_name, client) => {
  test('searches, writes and reads as the full collection does', async () => {
    const plain = client();
    const wrapped = await withProjection(plain, {
      collections: { served: { target: 'docs_t', encoder, oversampling: POINTS / 10 } },
    });
    const { vectors } = await store.sample('docs', { vectorName: '', size: 1 });
    const request = { query: Array.from(row(vectors, 0)), limit: 10 };
    const exact = await plain.query('docs', { ...request, params: { exact: true } });
    const found = await wrapped.query('served', request);
    expect(found.points.map(({ id }) => id)).toEqual(exact.points.map(({ id }) => id));
    // 1.19 has no `search` any more.
    const older = (await wrapped.search?.('served', { vector: request.query, limit: 10 })) ?? found.points;
    expect(older.map(({ id }) => id)).toEqual(exact.points.map(({ id }) => id));
    const vector = request.query.map((value) => value + 1);
    await wrapped.upsert('served', { wait: true, points: [{ id: 777, vector }] });
    expect((await wrapped.query('served', { query: vector, limit: 1 })).points[0]?.id).toBe(777);
    const [point] = await wrapped.retrieve('served', { ids: [777], with_vector: true });
    expect(point?.vector).toHaveLength(DIM);
    const wrong = wrapped.query('served', { query: [1, 2], limit: 1 });
    await expect(wrong).rejects.toMatchObject({ status: 400 });
    await wrapped.delete('served', { wait: true, points: [777] });
    expect(await wrapped.count('served', { exact: true })).toEqual({ count: POINTS });
  });
});
