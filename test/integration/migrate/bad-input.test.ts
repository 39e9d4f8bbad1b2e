import { afterAll, beforeAll, expect } from '@jest/globals';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { Distance } from '../../../src/core/distance.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { cutOver } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { migrateCollection, type MigrateOptions } from '../../../src/migrate/run/migrate-collection.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { runCli } from '../../support/cli/run-cli.js';
import { COMPACT_DIM, contentOf, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('configured');

const KEY = 'correct-horse-battery';
const READ_ONLY_KEY = 'only-for-reading';
const VECTOR = Array.from({ length: DIM }, (_, i) => Math.sin(i + 1)).join();

let server: TestServer;
let store: QdrantStore;
let folder: string;

beforeAll(async () => {
  server = await startTestServer({
    QDRANT__SERVICE__API_KEY: KEY,
    QDRANT__SERVICE__READ_ONLY_API_KEY: READ_ONLY_KEY,
  });
  store = await openQdrant({ ...server, apiKey: KEY });
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-bad-input-'));
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

async function rest(method: string, path: string, body?: string): Promise<string> {
  const response = await fetchAgain(server.url + path, {
    method,
    headers: { 'content-type': 'application/json', 'api-key': KEY },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text.slice(0, 300)}`);
  return text;
}

async function makeSource(name: string, { distance = 'Cosine', rows = 100 } = {}): Promise<void> {
  await rest('PUT', `/collections/${name}`, `{"vectors": {"size": ${DIM}, "distance": "${distance}"}}`);
  await fill(store, name, rows);
}

const write = (name: string, points: string): Promise<string> =>
  rest('PUT', `/collections/${name}/points?wait=true`, `{"points": [${points}]}`);

function migration(source: string, changes: Partial<MigrateOptions> = {}): MigrateOptions {
  return {
    source: store,
    target: store,
    sourceCollection: source,
    targetCollection: `${source}-small`,
    encoder: tinyEncoder(),
    layout: 'two-stage',
    statePath: join(folder, `${source}.json`),
    ...changes,
  };
}

test.each([
  ['infinity', 'Euclid', 'euclid'],
  ['NaN, of infinity made a unit vector,', 'Cosine', 'cosine'],
] as const)(
  '%s in a vector stops the copy and is named; the copy goes on when the point is repaired (%s)',
  async (_what, distance, of: Distance) => {
    const name = `broken-${of}`;
    await makeSource(name, { distance });
    // Too large for four bytes: what the server keeps is no number any more.
    await write(name, `{"id": 50, "vector": [${'1e39,'.repeat(DIM).slice(0, -1)}]}`);
    const before = await contentOf(store, name);
    const options = migration(name, { encoder: tinyEncoder(1, of) });
    const broken = { code: 'INVALID_DATA', message: expect.stringMatching(/point 50 of .*NaN or infinity/) };
    await expect(migrateCollection(options)).rejects.toMatchObject(broken);
    await expect(migrateCollection(options)).rejects.toMatchObject(broken);
    const sides = { source: store, target: store, place: stateFile(options.statePath) };
    await expect(cutOver({ ...sides, form: 'alias', alias: 'clients' })).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
    });
    expect(await contentOf(store, name)).toEqual(before);
    await write(name, `{"id": 50, "vector": [${VECTOR}]}`);
    const report = await migrateCollection(options);
    expect(report).toMatchObject({ resumed: true, verify: { ok: true, points: 101 } });
  },
);

test('points without a vector stay without, zero vectors stay zero', async () => {
  await makeSource('bare');
  await write('bare', `{"id": 9000, "vector": {}}, {"id": 9001, "vector": [${'0,'.repeat(DIM - 1)}0]}`);
  expect(await migrateCollection(migration('bare'))).toMatchObject({ verify: { ok: true, points: 102 } });
  const point = async (id: number): Promise<unknown> => {
    const { result } = JSON.parse(await rest('GET', `/collections/bare-small/points/${id}`)) as {
      result: { vector: unknown };
    };
    return result.vector;
  };
  expect(await point(9000)).toEqual({});
  const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);
  expect(await point(9001)).toEqual({ '': zeros(DIM), compact: zeros(COMPACT_DIM) });
});

test('vectors of another size than the encoder takes: refused before anything is made', async () => {
  await rest('PUT', '/collections/short', '{"vectors": {"size": 3, "distance": "Cosine"}}');
  await write('short', '{"id": 1, "vector": [1, 2, 3]}');
  await expect(migrateCollection(migration('short'))).rejects.toMatchObject({
    code: 'MISMATCH',
    message: expect.stringContaining(`expects ${DIM}-d vectors`),
  });
  expect(await store.exists('short-small')).toBe(false);
  expect((await readdir(folder)).filter((name) => name.startsWith('short'))).toEqual([]);
});

test('payloads of ten megabytes among small ones are copied byte by byte', async () => {
  await makeSource('heavy');
  const text = (id: number): string => String.fromCharCode(97 + id).repeat(10 * 1024 ** 2);
  for (let id = 0; id < 3; id++)
    await write('heavy', `{"id": ${30 * id}, "vector": [${VECTOR}], "payload": {"text": "${text(id)}"}}`);
  const report = await migrateCollection(migration('heavy'));
  expect(report.verify).toMatchObject({ ok: true, differenceCount: 0 });
  for (let id = 0; id < 3; id++) {
    const found = await rest('GET', `/collections/heavy-small/points/${30 * id}`);
    expect(found.includes(`"${text(id)}"`)).toBe(true);
  }
});

test('ids at both ends, of both kinds, in a copy of several ranges', async () => {
  await makeSource('ends', { rows: 5_100 });
  const ends = ['0', '18446744073709551615', '"00000000-0000-0000-0000-000000000000"'];
  ends.push('"ffffffff-ffff-ffff-ffff-ffffffffffff"');
  await write('ends', ends.map((id) => `{"id": ${id}, "vector": [${VECTOR}]}`).join());
  const options = migration('ends');
  // Number 0 is not among the ids of `fill`.
  expect(await migrateCollection(options)).toMatchObject({ verify: { ok: true, points: 5_104 } });
  const { ranges } = JSON.parse(await readFile(options.statePath, 'utf8')) as { ranges: unknown[] };
  expect(ranges.length).toBeGreaterThan(1);
  const ids: unknown[] = [];
  for await (const batch of store.scan('ends-small', { vectorName: '' })) ids.push(...batch.ids);
  expect([ids[0], ids.indexOf(18446744073709551615n) >= 0, ids.at(-1)]).toEqual([
    0n,
    true,
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ]);
  expect(ids).toContain('00000000-0000-0000-0000-000000000000');
});

test('a key that may only read: nothing is made, and a key that may write goes on', async () => {
  await makeSource('guarded');
  const reader = await openQdrant({ ...server, apiKey: READ_ONLY_KEY });
  const options = migration('guarded');
  await expect(migrateCollection({ ...options, source: reader, target: reader })).rejects.toMatchObject({
    code: 'FORBIDDEN',
  });
  expect(await store.exists('guarded-small')).toBe(false);
  // The source may be read with such a key.
  const report = await migrateCollection({ ...options, source: reader });
  expect(report).toMatchObject({ verify: { ok: true, points: 100 } });
  await reader.close();
});

test('a server of an unsupported version: refused before anything is made', async () => {
  const old = createServer((_request, response) =>
    response.end('{"title":"qdrant - vector search engine","version":"1.15.5"}'),
  );
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
  await tinyEncoder().save(join(folder, 'encoder.onnx'));
  const url = `http://127.0.0.1:${(old.address() as AddressInfo).port}`;
  const args = ['migrate', 'start', 'docs', 'docs-small', '--encoder', 'encoder.onnx', '--yes', '--json'];
  const result = await runCli(args, { cwd: folder, env: { QDRANT_URL: url } });
  expect(result.code).not.toBe(0);
  expect(result.json()).toMatchObject({
    error: { code: 'UNSUPPORTED', message: expect.stringContaining('1.15.5: expected 1.16') },
  });
  expect((await readdir(folder)).includes('.qdrant-tldr')).toBe(false);
  await new Promise((done) => old.close(done));
});
