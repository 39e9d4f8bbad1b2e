import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { startLocalQdrant, type LocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { matrix } from '../../../src/core/matrix.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection, type MigrateOptions } from '../../../src/migrate/run/migrate-collection.js';
import { contentOf, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { losingAnswers, startRelay, type Relay } from '../../support/serve/relay.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('a process');

const QUICK = { attempts: 4, firstDelayMs: 10, longestDelayMs: 100 };
const ROWS = 400;

let server: LocalQdrant;
let store: QdrantStore;
let folder: string;
const closing: (() => Promise<void>)[] = [];

async function rest(url: string, method: string, path: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetchAgain(url + path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
}

/** A source with settings that are made in several steps: fan-out after creation, payload indexes one by one. */
async function makeSource(url: string, into: QdrantStore): Promise<void> {
  await rest(url, 'PUT', '/collections/source', { vectors: { size: DIM, distance: 'Cosine' } });
  await rest(url, 'PATCH', '/collections/source', { params: { read_fan_out_factor: 2 } });
  for (const [field, schema] of [
    ['i', 'integer'],
    ['f', 'float'],
    ['text', 'keyword'],
  ]) {
    const index = { field_name: field, field_schema: schema };
    await rest(url, 'PUT', '/collections/source/index?wait=true', index);
  }
  await fill(into, 'source', ROWS);
}

function migration(through: QdrantStore, target: string): MigrateOptions {
  return {
    source: through,
    target: through,
    sourceCollection: 'source',
    targetCollection: target,
    encoder: tinyEncoder(),
    layout: 'compact',
    statePath: join(folder, `${target}.json`),
  };
}

async function openThrough(relay: Relay): Promise<QdrantStore> {
  const through = await openQdrant({ url: relay.url, grpcUrl: server.grpcUrl, retry: QUICK });
  closing.push(relay.close, () => through.close());
  return through;
}

beforeAll(async () => {
  server = await startLocalQdrant();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-faults-'));
  await makeSource(server.url, store);
});

afterAll(async () => {
  for (const close of closing) await close();
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test.each([
  ['the collection', 'PUT /collections/lost-0 '],
  ['a setting of it', 'PATCH /collections/lost-1 '],
  ['an index', 'PUT /collections/lost-2/index'],
])('an answer lost while creating %s does no harm', async (_name, head) => {
  const { decide, lost } = losingAnswers(head);
  const through = await openThrough(await startRelay(() => server.url, decide));
  const target = /lost-\d/.exec(head)?.[0] ?? '';
  const report = await migrateCollection(migration(through, target));
  expect(lost()).toBe(1);
  expect(report).toMatchObject({ copied: ROWS, verify: { ok: true } });
});

test('a collection of that name that is not this one is refused, though an answer was lost', async () => {
  const spec = await store.describe('source');
  const marked = (made: string): CollectionSpec => ({
    ...spec,
    name: 'taken',
    metadata: { made: JSON.stringify(made) },
    native: JSON.stringify({ ...(JSON.parse(spec.native) as object), metadata: { made } }),
  });
  const [other, again] = [marked('elsewhere'), marked('here')];
  await store.create(other);
  await expect(store.create(again, { resume: true })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  await expect(store.create(other)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  await store.create(other, { resume: true });
});

test.each([
  ['before its settings', 'PATCH /collections/broken-0 ', 1],
  ['before its indexes', 'PUT /collections/broken-1/index', 1],
  ['between its indexes', 'PUT /collections/broken-2/index', 2],
])('a run cut off while it creates the target, %s, is completed by the next', async (_name, head, nth) => {
  let seen = 0;
  let broken = true;
  const relay = await startRelay(
    () => server.url,
    ({ bytes, from }) => {
      if (from === 'client' && bytes.toString('latin1').startsWith(head)) seen++;
      return broken && seen >= nth ? 'cut' : 'pass';
    },
  );
  const through = await openThrough(relay);
  const options = migration(through, /broken-\d/.exec(head)?.[0] ?? '');
  await expect(migrateCollection(options)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(JSON.parse(await readFile(options.statePath, 'utf8'))).toMatchObject({ phase: 'creating' });
  broken = false;
  const report = await migrateCollection(options);
  expect(report).toMatchObject({ copied: ROWS, resumed: true, verify: { ok: true } });
});

test('a migration state of one server is refused on another', async () => {
  const other = await startLocalQdrant();
  const elsewhere = await openQdrant(other);
  closing.push(
    () => elsewhere.close(),
    () => other.stop(),
  );
  await makeSource(other.url, elsewhere);
  await migrateCollection(migration(store, 'there'));
  const run = migrateCollection({ ...migration(elsewhere, 'there') });
  await expect(run).rejects.toMatchObject({ code: 'MISMATCH', message: expect.stringContaining(other.url) });
  expect(await elsewhere.exists('there')).toBe(false);
});

test('what differs is named with the remedy, and the next run is it; a target in service is left alone', async () => {
  const options = migration(store, 'spoilt');
  await migrateCollection(options);
  const whole = await contentOf(store, 'spoilt');
  const spoil = async (): Promise<void> => {
    await store.remove('spoilt', [1n]);
    const vectors = [{ name: '', matrix: matrix(2, 4).data.fill(1), has: Uint8Array.of(1, 1) }].map(
      (one) => ({
        ...one,
        matrix: { rows: 2, cols: 4, data: one.matrix },
      }),
    );
    const payload = store.codec.pack('{"i":-1}');
    await store.upsert('spoilt', { ids: [4n, 123_456n], vectors, extra: [payload, payload] });
    await rest(server.url, 'PUT', '/collections/spoilt/points/payload?wait=true', {
      payload: { more: true },
      points: [7],
    });
  };
  await spoil();
  await fetchAgain(`${server.url}/collections/spoilt/index/f?wait=true`, { method: 'DELETE' });
  await expect(migrateCollection(options)).rejects.toMatchObject({
    code: 'VERIFY_FAILED',
    message: expect.stringMatching(/run the migration again.*removes the 1 points that only it has/),
  });
  expect(await migrateCollection(options)).toMatchObject({ copied: 4, verify: { ok: true } });
  expect(await contentOf(store, 'spoilt')).toEqual(whole);
  await spoil();
  await store.names.switch('clients', 'spoilt');
  for (let i = 0; i < 2; i++) {
    await expect(migrateCollection(options)).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('in service as "clients"'),
    });
  }
  expect((await store.retrieve('spoilt', [123_456n], { vectorName: '' })).ids).toEqual([123_456n]);
});

test('limits of strict mode are kept to, however small', async () => {
  const rows = 6_000;
  await rest(server.url, 'PUT', '/collections/strict', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(store, 'strict', rows);
  const strict = { enabled: true, max_query_limit: 100, upsert_max_batchsize: 30 };
  await rest(server.url, 'PATCH', '/collections/strict', { strict_mode_config: strict });
  const fresh = await openQdrant(server);
  closing.push(() => fresh.close());
  const sample = await fresh.sample('strict', { vectorName: '', size: 1_200 });
  expect(new Set(sample.ids).size).toBe(1_200);
  const options = { ...migration(fresh, 'strict-small'), sourceCollection: 'strict' };
  const report = await migrateCollection(options);
  expect(report).toMatchObject({ copied: rows, verify: { ok: true, points: rows } });
  // The target has the limits by now; what is repaired in it keeps to them as well.
  await fresh.remove('strict-small', sample.ids);
  await expect(migrateCollection(options)).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  expect(await migrateCollection(options)).toMatchObject({ copied: 1_200, verify: { ok: true } });
});

test('an index that does not get on ends the wait with a reason', async () => {
  const spec = await store.describe('source');
  const impatient = await openQdrant({ ...server, indexingStallMs: 1_000 });
  closing.push(() => impatient.close());
  const target = { ...spec, name: 'stalled', native: withSmallSegments(spec.native) };
  await impatient.create(target);
  await fill(impatient, 'stalled', 2_000);
  const optimizers = { max_optimization_threads: 0 };
  await rest(server.url, 'PATCH', '/collections/stalled', { optimizers_config: optimizers });
  await expect(impatient.finishBulkLoad(target)).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('makes no progress'),
  });
});

test('a server that restarts while it indexes is told to go on', async () => {
  const data = await mkdtemp(join(tmpdir(), 'qdrant-tldr-storage-'));
  const env = { QDRANT__STORAGE__STORAGE_PATH: data };
  let running = await startLocalQdrant({ env });
  const [http, grpc] = [
    await startRelay(
      () => running.url,
      () => 'pass',
    ),
    await startRelay(
      () => running.grpcUrl,
      () => 'pass',
    ),
  ];
  const retry = { attempts: 600, firstDelayMs: 50, longestDelayMs: 500 };
  const through = await openQdrant({ url: http.url, grpcUrl: grpc.url, retry, indexingStallMs: 300_000 });
  await rest(http.url, 'PUT', '/collections/source', { vectors: { size: DIM, distance: 'Cosine' } });
  const spec = await through.describe('source');
  const target = { ...spec, name: 'target', native: withSmallSegments(spec.native) };
  await through.create(target);
  await fill(through, 'target', 4_000);
  let restarted: Promise<void> | undefined;
  const restart = async (): Promise<void> => {
    const before = running;
    await before.kill();
    running = await startLocalQdrant({ env });
    await before.stop();
  };
  await through.finishBulkLoad(target, { onProgress: () => void (restarted ??= restart()) });
  await restarted;
  const info = (await (await fetchAgain(`${running.url}/collections/target`)).json()) as {
    result: { status: string; indexed_vectors_count: number };
  };
  expect(info.result.status).toBe('green');
  expect(info.result.indexed_vectors_count).toBeGreaterThan(3_000);
  await through.close();
  for (const one of [http, grpc]) await one.close();
  await running.stop();
  await rm(data, { recursive: true, force: true });
});

/** Settings with which a few thousand small vectors are indexed, slowly. */
function withSmallSegments(native: string): string {
  const settings = JSON.parse(native) as {
    optimizer_config: object;
    hnsw_config: object;
  };
  const optimizer = { indexing_threshold: 50, default_segment_number: 1 };
  return JSON.stringify({
    ...settings,
    optimizer_config: { ...settings.optimizer_config, ...optimizer },
    hnsw_config: { ...settings.hnsw_config, m: 48, ef_construct: 800, full_scan_threshold: 10 },
  });
}
