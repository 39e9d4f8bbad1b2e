import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { compareCollections } from '../../../src/evaluate/compare-collections.js';
import { migrateCollection, type MigrateOptions } from '../../../src/migrate/run/migrate-collection.js';
import { runCli } from '../../support/cli/run-cli.js';
import { DIM, fill as fillStore, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { ALL_LIMITS, STRICT_LIMITS } from '../../support/store/strict-mode-limits-list.js';
import { fillCollection, limit, vectorOf } from '../../support/store/strict-mode-collection.js';
import { startTestServer, testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const onConfigured = await testsOn('configured');

const POINTS = 120;
/** The server looks after some updates how large a collection is: by then it has. */
const UPDATES = 200;
const encoder = tinyEncoder();

let place: CliPlace;
const warned: string[] = [];

const strict = (collection: string, limits: object): Promise<void> => limit(place, collection, limits);
const fill = (collection: string): Promise<void> => fillCollection(place, collection, POINTS);

function migration(source: string): MigrateOptions {
  return {
    source: place.store,
    target: place.store,
    encoder,
    vectorName: '',
    layout: 'two-stage',
    sourceCollection: source,
    targetCollection: `${source}_2s`,
    statePath: join(place.cwd, `${source}.json`),
  };
}

/** Migrates, and compares both sides. */
async function run(source: string): Promise<void> {
  const store = await openQdrant({ ...place.server, log: (_, message) => void warned.push(message) });
  try {
    const options = { ...migration(source), source: store, target: store };
    const { verify } = await migrateCollection(options);
    expect(verify).toMatchObject({ ok: true, points: POINTS });
    const { ids, vectors } = await store.sample(source, { vectorName: '', size: 5 });
    const target = { layout: 'two-stage', vector: '', compact: 'compact' } as const;
    const compared = await compareCollections({
      source: { store, collection: source, vectorName: '', distance: 'cosine' },
      target: { store, collection: `${source}_2s`, ...target },
      encoder,
      queries: { ids, vectors },
      ks: [3],
      rescore: 20,
      seed: 0,
    });
    // The search of the source goes by its index, of which so few points have none: it is exact as well.
    expect(compared.forms[0]?.recall).toMatchObject([{ k: 3 }]);
  } finally {
    await store.close();
  }
}

const runs = new Map<string, Promise<void>>();

beforeAll(async () => {
  place = await openCliPlace('strict-commands');
  for (const [name, settings] of STRICT_LIMITS) {
    await fill(`of_${name}`);
    await strict(`of_${name}`, settings);
    const running = run(`of_${name}`);
    running.catch(() => undefined);
    runs.set(name, running);
  }
});

afterAll(async () => {
  await Promise.allSettled(runs.values());
  await place.end();
});

describe('strict mode', () => {
  test.each(STRICT_LIMITS)('%s: a collection is migrated and evaluated', async (name) => {
    await runs.get(name);
  });

  test('no request was retried', () => {
    expect(warned.filter((message) => message.startsWith('retrying'))).toEqual([]);
  });
});

test('all limits together: every command does its work', async () => {
  await fill('all');
  await strict('all', ALL_LIMITS);
  await place.rest('POST', '/collections/aliases', {
    actions: [{ create_alias: { collection_name: 'all', alias_name: 'used' } }],
  });
  const query = join(place.cwd, 'query.json');
  await writeFile(query, JSON.stringify(vectorOf(3)));
  const both = ['all', 'all_2s'];
  const commands = [
    ['inspect', 'all', '--dim', '4'],
    ['migrate', 'start', ...both, '--vector', '', '--encoder', 'enc.onnx', '--layout', 'two-stage', '--yes'],
    ['migrate', 'resume', ...both, '--yes'],
    ['migrate', 'verify', ...both, '--yes'],
    ['evaluate', ...both, '--encoder', 'enc.onnx', '--sample', '5'],
    ['search', 'all_2s', '--encoder', 'enc.onnx', '--query', query, '--exact', '--rescore', '20'],
    ['migrate', 'cutover', ...both, '--alias', 'used', '--execute', '--yes'],
    ['migrate', 'rollback', ...both, '--execute', '--yes'],
  ];
  for (const command of commands)
    expect({ command, ...(await place.cli(...command)) }).toMatchObject({ command, code: 0 });
});

test('a request beyond a limit ends with code 7 and names the limit, its value and what to do', async () => {
  const { code, stderr } = await place.cli(
    'evaluate',
    'of_max_query_limit',
    'of_max_query_limit_2s',
    '--encoder',
    'enc.onnx',
    '--sample',
    '5',
    '--k',
    '50',
  );
  expect(code).toBe(7);
  expect(stderr).toMatch(
    /refused by max_query_limit .* 51 > 30 .*\(max_query_limit is 30\)\. Raise max_query_limit/s,
  );
});

test('a target at its limits is repaired, and has them afterwards', async () => {
  const source = 'of_max_points_count';
  await runs.get('max_points_count');
  const target = `${source}_2s`;
  const write = { points: [{ id: 1, vector: {}, payload: { n: 'wrong' } }] };
  const writes = async (): Promise<void> => {
    for (let i = 0; i < UPDATES; i++)
      await place.rest('PUT', `/collections/${target}/points?wait=true`, write);
  };
  await expect(writes()).rejects.toThrow('Max points count limit');
  await expect(migrateCollection(migration(source))).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  await expect(migrateCollection(migration(source))).resolves.toMatchObject({ verify: { ok: true } });
  const { native } = await place.store.describe(target);
  expect(JSON.parse(native)).toMatchObject({ strict_mode_config: { enabled: true, max_points_count: 10 } });
});

test('strict mode that a killed write left off comes back, and what somebody switched off stays off', async () => {
  await runs.get('write_rate_limit');
  const target = 'of_write_rate_limit_2s';
  const config = async (): Promise<unknown> => JSON.parse((await place.store.describe(target)).native);
  const patch = (body: object): Promise<void> => place.rest('PATCH', `/collections/${target}`, body);
  const on = { strict_mode_config: { enabled: true } };
  const off = { strict_mode_config: { enabled: false } };
  expect(await config()).toMatchObject(on);
  await patch({ ...off, metadata: { 'tldr-lifted': true } });
  for (const ids of [[], [999_999n]]) {
    const store = await openQdrant(place.server);
    await store.remove(target, ids);
    await store.close();
    expect(await config()).toMatchObject(on);
    expect(await config()).not.toHaveProperty('metadata.tldr-lifted');
    await patch({ ...off, metadata: { 'tldr-lifted': true } });
  }
  await patch({ ...on, metadata: { 'tldr-lifted': null } });
  const store = await openQdrant(place.server);
  await store.remove(target, []);
  await patch(off);
  await store.remove(target, [999_999n]);
  expect(await config()).toMatchObject(off);
  // Another process ends its writes while one of these goes on.
  await patch(on);
  const many = Array.from({ length: 3_000 }, (_, i) => BigInt(1_000_000 + i));
  const deleting = Promise.all(Array.from({ length: 5 }, () => store.remove(target, many)));
  for (let i = 0; i < 20; i++) await patch({ ...on, metadata: { 'tldr-lifted': null } });
  await deleting;
  expect(await config()).toMatchObject(on);
  await store.close();
});

onConfigured(
  'a server with limits for every new collection: a collection without any is migrated',
  async () => {
    const server = await startTestServer({
      QDRANT__STORAGE__COLLECTION__STRICT_MODE__ENABLED: 'true',
      QDRANT__STORAGE__COLLECTION__STRICT_MODE__UPSERT_MAX_BATCHSIZE: '5',
      QDRANT__STORAGE__COLLECTION__STRICT_MODE__SEARCH_ALLOW_EXACT: 'false',
      // The server enforces these of a new collection also where strict mode is off.
      QDRANT__STORAGE__COLLECTION__STRICT_MODE__READ_RATE_LIMIT: '1',
      QDRANT__STORAGE__COLLECTION__STRICT_MODE__WRITE_RATE_LIMIT: '2',
    });
    const store = await openQdrant(server);
    try {
      const params = { vectors: { size: DIM, distance: 'Cosine' } };
      const own = { vectors: [], otherVectors: [], partitions: [], metadata: {} };
      await store.create({ ...own, name: 'own', native: JSON.stringify({ params }) });
      const { native } = await store.describe('own');
      expect(JSON.parse(native)).toMatchObject({ strict_mode_config: { enabled: false } });
      await fillStore(store, 'own', POINTS);
      const options = { ...migration('own'), source: store, target: store };
      await expect(migrateCollection(options)).resolves.toMatchObject({ verify: { ok: true } });
      const flags = ['--encoder', 'enc.onnx', '--layout', 'compact', '--state', 'database', '--yes'];
      const env = { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl };
      const recorded = await runCli(['migrate', 'start', 'own', 'own_c', ...flags], { cwd: place.cwd, env });
      expect(recorded).toMatchObject({ code: 0 });
    } finally {
      await store.close();
      await server.stop();
    }
  },
);

test('the size of all vectors that a two-stage target may reach counts its reduced vectors', async () => {
  await runs.get('max_collection_vector_size_bytes');
  const { native } = await place.store.describe('of_max_collection_vector_size_bytes_2s');
  expect(JSON.parse(native)).toMatchObject({
    // 16 dimensions and 4 beside them.
    strict_mode_config: { max_collection_vector_size_bytes: 1250 },
  });
});
