import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'lossless-json';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { sleep } from '../../../src/core/run-options.js';
import type { Partition } from '../../../src/store/collection.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { cutOver } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import type { MigrationHook } from '../../../src/migrate/plan/migration-events.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { DIM, fill, idAt, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { startRelay, type Relay } from '../../support/serve/relay.js';
import { startCluster, type Peer } from '../../support/server/test-cluster.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('a process');

const PEERS = 3;
const KEYS: readonly Partition[] = [
  { kind: 'keyword', value: 'tenant-a' },
  { kind: 'keyword', value: '7' },
  { kind: 'number', value: '7' },
];
/** Of each key: enough that the copy is split into ranges. */
const ROWS = 2_000;
const WAIT_MS = 300_000;

let peers: Peer[];
let relays: Relay[];
let store: QdrantStore;
let folder: string;

async function ask(url: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetchAgain(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: stringify(body) ?? '' }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return (parse(text) as { result: unknown }).result;
}

const inJson = ({ kind, value }: Partition): string | number => (kind === 'number' ? Number(value) : value);

/** Two replicas of every shard, and the same ids under every key with other payloads. */
async function makeSource(url: string): Promise<void> {
  await ask(url, 'PUT', '/collections/sharded', {
    vectors: { size: DIM, distance: 'Cosine' },
    sharding_method: 'custom',
    shard_number: 1,
    replication_factor: 2,
  });
  for (const key of KEYS) await ask(url, 'PUT', '/collections/sharded/shards', { shard_key: inJson(key) });
  for (const [k, partition] of KEYS.entries()) {
    const rng = new Rng(k);
    const vectors = matrix(ROWS, DIM);
    vectors.data.forEach((_, i) => (vectors.data[i] = rng.normal()));
    const ids = Array.from({ length: ROWS }, (_, i) => idAt(i));
    const rest = ids.map((_, i) => store.codec.pack(`{"point":"${k}/${i}"}`));
    const has = new Uint8Array(ROWS).fill(1);
    await store.upsert(
      'sharded',
      { ids, vectors: [{ name: '', matrix: vectors, has }], extra: rest },
      { partition },
    );
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-cluster-'));
  peers = await startCluster(PEERS);
  const first = peers[0]!;
  relays = [await startRelay(() => first.url, pass), await startRelay(() => first.grpcUrl, pass)];
  store = await openQdrant({ url: relays[0]!.url, grpcUrl: relays[1]!.url });
  await makeSource(first.url);
});

const pass = (): 'pass' => 'pass';

afterAll(async () => {
  await store.close();
  for (const relay of relays) await relay.close();
  for (const peer of peers) await peer.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Everything of one key as a peer tells it, a line per point. */
async function pointsAt({ url }: Peer, collection: string, key: Partition): Promise<string[]> {
  const lines: string[] = [];
  for (let offset: unknown = null; ;) {
    const from = offset === null ? {} : { offset };
    const request = { limit: 500, with_payload: true, shard_key: inJson(key), ...from };
    const page = (await ask(url, 'POST', `/collections/${collection}/points/scroll`, request)) as {
      points: { id: unknown; payload: unknown }[];
      next_page_offset: unknown;
    };
    for (const { id, payload } of page.points) lines.push(`${String(id)} ${stringify(payload) ?? ''}`);
    offset = page.next_page_offset ?? null;
    if (offset === null) return lines;
  }
}

/** Waits until every peer knows every replica to be whole. */
async function allActive(collection: string): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  for (;;) {
    const states: string[] = [];
    for (const { url } of peers) {
      const cluster = (await ask(url, 'GET', `/collections/${collection}/cluster`)) as {
        local_shards: { state: string }[];
        remote_shards: { state: string }[];
      };
      states.push(...[...cluster.local_shards, ...cluster.remote_shards].map(({ state }) => state));
    }
    if (states.length === PEERS * KEYS.length * 2 && states.every((state) => state === 'Active')) return;
    if (performance.now() > endMs) throw new Error(`${collection}: ${states.join()}`);
    await sleep(200);
  }
}

test.each([
  ['another than the copy talks to', 1],
  ['the one that the copy talks to', 0],
])('custom shard keys, two replicas, one of three peers killed and started again: %s', async (_which, at) => {
  const target = `sharded-${at}`;
  const peer = peers[at]!;
  let restarted: Promise<void> | undefined;
  let ranges = 0;
  const hook: MigrationHook = async (event) => {
    if (event !== 'range-done') return;
    ranges++;
    if (ranges === 2) await peer.kill();
    // The other peers go on without it for a while; without the one that it talks to, the copy cannot.
    if (ranges === 2 + 4 * at) restarted = peer.restart();
  };
  const place = stateFile(join(folder, `${target}.json`));
  const sides = { source: store, target: store, place };
  const names = { sourceCollection: 'sharded', targetCollection: target };
  const how = { encoder: tinyEncoder(), layout: 'two-stage', concurrency: 1, batchSize: 40, hook } as const;
  const report = await startMigration({ ...sides, ...names, ...how });
  expect(ranges).toBeGreaterThan(8);
  await restarted;
  expect(report.verify).toMatchObject({ ok: true, points: ROWS * KEYS.length });
  await allActive(target);
  for (const key of KEYS) {
    const wanted = await pointsAt(peers[2]!, 'sharded', key);
    expect(wanted).toHaveLength(ROWS);
    for (const one of peers) {
      const found = new Set(await pointsAt(one, target, key));
      expect(wanted.filter((line) => !found.has(line)).slice(0, 5)).toEqual([]);
      expect(found.size).toBe(ROWS);
    }
  }
});

test('in a cluster an alias is switched, and the bare name is refused with nothing changed', async () => {
  await ask(peers[0]!.url, 'PUT', '/collections/source', {
    vectors: { size: DIM, distance: 'Cosine' },
    shard_number: 2,
  });
  await fill(store, 'source', 100);
  const sides = { source: store, target: store, place: stateFile(join(folder, 'state.json')) };
  const names = { sourceCollection: 'source', targetCollection: 'target' };
  await startMigration({ ...sides, ...names, encoder: tinyEncoder(), layout: 'compact' });
  const before = await store.listCollections();
  await expect(cutOver({ ...sides, form: 'bare-name' })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining(`${PEERS} peers`),
  });
  await expect(store.names.over.hide('source', 'target')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  expect([...(await store.listCollections())].sort()).toEqual([...before].sort());
  expect((await store.names.all()).size).toBe(0);
  await cutOver({ ...sides, form: 'alias', alias: 'clients', clientsProject: true });
  expect((await store.names.all()).get('clients')).toBe('target');
});
