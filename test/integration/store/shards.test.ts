import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix, row } from '../../../src/core/matrix.js';
import type { Partition } from '../../../src/store/collection.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { DIM, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { losingAnswers, startRelay } from '../../support/serve/relay.js';
import { startCluster, type Peer } from '../../support/server/test-cluster.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('a process');

const KEYS: readonly Partition[] = [
  { kind: 'keyword', value: 'tenant-a' },
  { kind: 'keyword', value: '7' },
  { kind: 'number', value: '7' },
];

let server: Peer;
let store: QdrantStore;
let folder: string;

async function rest(method: string, path: string, body: unknown): Promise<void> {
  const response = await fetchAgain(server.url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
}

beforeAll(async () => {
  server = (await startCluster(1))[0]!;
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-shards-'));
  await rest('PUT', '/collections/source', {
    vectors: { size: DIM, distance: 'Cosine' },
    sharding_method: 'custom',
    shard_number: 1,
  });
  for (const { kind, value } of KEYS) {
    await rest('PUT', '/collections/source/shards', {
      shard_key: kind === 'number' ? Number(value) : value,
      shards_number: kind === 'number' ? 2 : 1,
    });
  }
  for (const [k, partition] of KEYS.entries()) {
    const x = matrix(40, DIM);
    x.data.forEach((_, i) => (x.data[i] = Math.sin(i * (k + 1))));
    const ids = Array.from({ length: 40 }, (_, i) => BigInt(i));
    // The same ids under every key, with other payloads: an unscoped copy would lose two thirds of them.
    const payloads = ids.map((id) => store.codec.pack(`{"key":${k},"id":${id}}`));
    await store.upsert(
      'source',
      { ids, vectors: [{ name: '', matrix: x, has: new Uint8Array(40).fill(1) }], extra: payloads },
      { partition },
    );
  }
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

test('points of every shard key are copied under their key, equal ids included', async () => {
  const spec = await store.describe('source');
  expect(spec.partitions).toHaveLength(KEYS.length);
  expect(spec.partitions).toEqual(expect.arrayContaining([...KEYS]));
  const request = { source: store, target: store, sourceCollection: 'source', targetCollection: 'target' };
  const report = await migrateCollection({
    ...request,
    encoder: tinyEncoder(),
    layout: 'compact',
    statePath: join(folder, 'state.json'),
  });
  expect(report.verify).toMatchObject({ ok: true, points: 120 });
  expect(store.differences(report.plan.targetSpec, await store.describe('target'))).toEqual([]);
  for (const [k, partition] of KEYS.entries()) {
    expect(await store.count('target', { partition })).toBe(40);
    const { extra: found } = await store.retrieve('target', [3n], { vectorName: '', partition });
    expect(JSON.parse(store.payloadJson(found[0]!))).toEqual({ key: k, id: 3 });
  }
});

test('payloads that gRPC cannot carry are copied under their shard key', async () => {
  const shards = KEYS.map(({ kind, value }) => (kind === 'number' ? value : `"${value}"`));
  const send = async (method: string, path: string, body: string): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetchAgain(`${server.url}/collections/${path}`, { method, headers, body });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return text.replace(/,"time":.*/, '');
  };
  const deep = `${'{"a":'.repeat(126)}1${'}'.repeat(126)}`;
  for (const [k, shard] of shards.entries())
    for (const [id, payload] of [`{"h":1844674407370955161${k}}`, deep].entries()) {
      const body = `{"points":[${id + 5}],"payload":${payload},"shard_key":${shard}}`;
      await send('PUT', 'source/points/payload?wait=true', body);
    }
  const names = { sourceCollection: 'source', targetCollection: 'exact' };
  const report = await migrateCollection({
    source: store,
    target: store,
    ...names,
    encoder: tinyEncoder(),
    layout: 'compact',
    statePath: join(folder, 'exact.json'),
  });
  expect(report.verify).toMatchObject({ ok: true, points: 120 });
  for (const [k, shard] of shards.entries()) {
    const body = `{"ids":[5,6],"with_payload":true,"shard_key":${shard}}`;
    const found = await send('POST', 'exact/points', body);
    expect(found).toBe(await send('POST', 'source/points', body));
    expect(found).toContain(`{"h":1844674407370955161${k}}`);
    expect(found).toContain(deep);
  }
});

test('a sample takes from every shard key in proportion, without reading them whole', async () => {
  const { ids, vectors } = await store.sample('source', { vectorName: '', size: 30 });
  expect(ids).toHaveLength(30);
  const counts = await Promise.all(
    KEYS.map(async (partition) => {
      const found = new Set<string>();
      for await (const batch of store.scan('source', { vectorName: '', partition }))
        batch.ids.forEach((_, i) => found.add(row(batch.vectors, i).join()));
      return ids.filter((_, i) => found.has(row(vectors, i).join())).length;
    }),
  );
  expect(counts).toEqual([10, 10, 10]);
});

test('an answer lost while a shard key is made does no harm; keys are compared in no order', async () => {
  const { decide, lost } = losingAnswers('PUT /collections/again/shards');
  const relay = await startRelay(() => server.url, decide);
  const retry = { attempts: 4, firstDelayMs: 10, longestDelayMs: 100 };
  const through = await openQdrant({ url: relay.url, grpcUrl: server.grpcUrl, retry });
  const spec = { ...(await store.describe('source')), name: 'again' };
  await through.create(spec);
  expect(lost()).toBe(1);
  const made = await store.describe('again');
  expect(made.partitions).toHaveLength(KEYS.length);
  const native = JSON.parse(made.native) as { shard_keys: unknown[] };
  const turned = { ...made, native: JSON.stringify({ ...native, shard_keys: native.shard_keys.reverse() }) };
  expect(store.differences(spec, turned, { loading: true })).toEqual([]);
  await through.close();
  await relay.close();
});

test('a collection without any shard has no writes to wait for', async () => {
  await rest('PUT', '/collections/bare', {
    vectors: { size: DIM, distance: 'Cosine' },
    sharding_method: 'custom',
  });
  await expect(store.changes.waitForApplied('bare')).resolves.toBeUndefined();
  await expect(store.changes.waitForApplied('source')).resolves.toBeUndefined();
  await expect(store.changes.waitForApplied('missing')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
