import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { row, type Matrix } from '../../../src/core/matrix.js';
import { withSampleSummary } from '../../../src/select/summarize-sample.js';
import { runCli } from '../../support/cli/run-cli.js';
import { rowsOfKinds } from '../../support/evaluate/kinds.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import {
  configureProxy,
  createOriginal,
  LAYOUTS,
  migrateInBothLayouts,
  sendToProxy,
} from '../../support/serve/migrate-in-both-layouts.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';

const test = await testsOn('any');
const DIM = 24;
const OWN = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const OTHER = [9, 10, 11];
/** No more vectors than these are compared of what comes in one second. */
const PER_SECOND = 32;

let server: TestServer;
let folder: string;
let seed = 100;
let nextId = 10_000;

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-serve-drift-'));
  const sample = rowsOfKinds(OWN, { rows: 1200, dim: DIM, seed: 2 });
  const plain = await pcaEncoder(sample, 8, { source: 'original' });
  const encoder = await withSampleSummary(plain, sample, { seed: 3, threads: 1 });
  await encoder.save(join(folder, 'encoder.onnx'));
  await plain.save(join(folder, 'earlier.onnx'));
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  await createOriginal(store, DIM);
  const ids = Array.from({ length: sample.rows }, (_, i) => BigInt(i));
  const has = new Uint8Array(sample.rows).fill(1);
  const extra = ids.map(() => store.codec.pack('{}'));
  await store.upsert('original', { ids, vectors: [{ name: '', matrix: sample, has }], extra });
  await migrateInBothLayouts(store, { encoder, folder });
  await store.close();
});

afterAll(async () => {
  endServing();
  await server.stop();
  await rm(folder, { recursive: true });
});

function configure(settings: object, docs: object): Promise<void> {
  const collections = { docs: { encoder: 'encoder.onnx', ...docs } };
  return configureProxy(folder, server, { ...settings, collections });
}

/** New vectors of these kinds. */
const vectorsOf = (kinds: readonly number[], count: number): number[][] => {
  const x: Matrix = rowsOfKinds(kinds, { rows: count, dim: DIM, seed: seed++ });
  return Array.from({ length: count }, (_, i) => Array.from(row(x, i)));
};

const post = (serving: Serving, path: string, body: object): Promise<number> =>
  sendToProxy(serving, `docs/${path}`, body);

async function call(serving: Serving, method: string, request: object): Promise<number> {
  const grpc = new PlainGrpc(serving.grpc);
  const message = encodeRequest(method, { collectionName: 'docs', ...request });
  const { code } = await grpc.call({ path: pathOf(method), message });
  grpc.close();
  return code;
}

type Kind = 'points' | 'queries';
type Send = (serving: Serving, vectors: readonly number[][]) => Promise<void>;

/** What clients do, by transport and kind of vectors. */
const SENDS: Readonly<Record<'REST' | 'gRPC', Readonly<Record<Kind, Send>>>> = {
  REST: {
    points: async (serving, vectors) => {
      const points = vectors.map((vector) => ({ id: nextId++, vector }));
      expect(await post(serving, 'points?wait=true', { points })).toBe(200);
    },
    queries: async (serving, vectors) => {
      // What the server refuses is not counted.
      expect(await post(serving, 'points/query', { query: vectors[0], limit: 0 })).not.toBe(200);
      for (const query of vectors.slice(0, 12))
        expect(await post(serving, 'points/query', { query, limit: 3 })).toBe(200);
      const searches = vectors.slice(12).map((query) => ({ query, limit: 3 }));
      expect(await post(serving, 'points/query/batch', { searches })).toBe(200);
    },
  },
  gRPC: {
    points: async (serving, vectors) => {
      const points = vectors.map((data) => ({
        id: { num: String(nextId++) },
        vectors: { vector: { dense: { data } } },
      }));
      expect(await call(serving, 'Points/Upsert', { wait: true, points })).toBe(0);
    },
    queries: async (serving, vectors) => {
      const query = (data: number[] | undefined): object => ({ nearest: { dense: { data } } });
      expect(await call(serving, 'Points/Query', { query: query(vectors[0]), limit: '0' })).not.toBe(0);
      for (const data of vectors.slice(0, 12))
        expect(await call(serving, 'Points/Query', { query: query(data), limit: '3' })).toBe(0);
      const queryPoints = vectors
        .slice(12)
        .map((data) => ({ collectionName: 'docs', query: query(data), limit: '3' }));
      expect(await call(serving, 'Points/QueryBatch', { queryPoints })).toBe(0);
    },
  },
};

async function metric(serving: Serving, name: string): Promise<number> {
  const text = await (await fetchOnce(`${serving.operations}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

interface Counted {
  readonly compared: number;
  readonly far: number;
}

async function counted(serving: Serving, kind: Kind): Promise<Counted> {
  const labels = `{collection="docs",kind="${kind}"}`;
  return {
    compared: await metric(serving, `tldr_drift_compared_total${labels}`),
    far: await metric(serving, `tldr_drift_far_total${labels}`),
  };
}

const KINDS = ['points', 'queries'] as const;

/** Sends as many points and as many queries, waits until as many were compared, and returns what was counted of them. */
async function growth(
  serving: Serving,
  sends: Readonly<Record<Kind, Send>>,
  given: Readonly<Record<Kind, readonly number[][]>>,
): Promise<Readonly<Record<Kind, Counted>>> {
  const grown = async (kind: Kind): Promise<Counted> => {
    const before = await counted(serving, kind);
    await sends[kind](serving, given[kind]);
    const expected = Math.min(given[kind].length, PER_SECOND);
    for (;;) {
      const now = await counted(serving, kind);
      if (now.compared >= before.compared + expected)
        return { compared: now.compared - before.compared, far: now.far - before.far };
      await sleep(100);
    }
  };
  const [points, queries] = await Promise.all(KINDS.map(grown));
  return { points: points!, queries: queries! };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(100);
}

async function end(serving: Serving): Promise<void> {
  serving.child.kill('SIGTERM');
  expect(await serving.ended).toBe(0);
}

test.each(LAYOUTS)(
  '%s: counts vectors far from the encoder’s sample, of points and queries, over both transports',
  async (layout) => {
    await configure({}, { target: layout, full: 'original' });
    const serving = await startServe(folder, ['--shadow', '100%']);
    for (const kind of KINDS) expect(await counted(serving, kind)).toEqual({ compared: 0, far: 0 });
    for (const sends of Object.values(SENDS)) {
      const given = (kinds: readonly number[]): Record<Kind, number[][]> => ({
        points: vectorsOf(kinds, 30),
        queries: vectorsOf(kinds, 30),
      });
      const own = await growth(serving, sends, given(OWN));
      const other = await growth(serving, sends, given(OTHER));
      for (const kind of KINDS) {
        expect(own[kind].far).toBeLessThan(10);
        expect(other[kind].far).toBeGreaterThan(15);
      }
    }
    // Searches that the server refused are not among them.
    for (const kind of KINDS) expect((await counted(serving, kind)).compared).toBe(120);
    // A large body is rewritten in another thread. A part of its vectors is compared.
    const before = await counted(serving, 'points');
    await SENDS.REST.points(serving, vectorsOf(OTHER, 600));
    await until(async () => (await counted(serving, 'points')).compared > before.compared);
    const after = await counted(serving, 'points');
    expect(after.compared - before.compared).toBe(PER_SECOND);
    expect(after.far - before.far).toBeGreaterThan(PER_SECOND / 2);
    const overlaps = (query: string): string =>
      `tldr_shadow_overlap_by_distance_count{collection="docs",query="${query}"}`;
    for (const query of ['near', 'far'])
      await until(async () => (await metric(serving, overlaps(query))) > 10);
    await end(serving);
  },
);

const INFO = 30;
const WARN = 40;

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly kind?: Kind;
  readonly compared?: number;
  readonly share?: number;
}

/** The lines about drift. */
function driftLines(serving: Serving): readonly LogLine[] {
  const lines = serving
    .log()
    .split('\n')
    .filter((line) => line.includes('far from the encoder'));
  return lines.map((line) => JSON.parse(line) as LogLine);
}

/** Has more vectors compared than the log needs to tell a share. */
async function feed(serving: Serving): Promise<void> {
  for (let round = 0; round < 4; round++)
    await growth(serving, SENDS.REST, {
      points: vectorsOf(OTHER, PER_SECOND),
      queries: vectorsOf(OWN, PER_SECOND),
    });
}

test('several processes: the log warns of the kind whose share is above driftAlert, once for all of them', async () => {
  await configure({ driftAlert: '100%' }, { target: 'compact' });
  const serving = await startServe(folder, ['--workers', '2']);
  await feed(serving);
  // The threshold of a reload counts.
  await configure({ driftAlert: '40%' }, { target: 'compact' });
  serving.child.kill('SIGHUP');
  await until(() => Promise.resolve(serving.log().includes('the configuration was read again')));
  await end(serving);
  const lines = driftLines(serving);
  const [points, queries] = KINDS.map((kind) => lines.find((line) => line.kind === kind));
  expect(lines).toHaveLength(2);
  expect(points).toMatchObject({ collection: 'docs', driftAlert: 0.4, expectedShare: 0.05 });
  expect(points!.msg).toContain('more than driftAlert (40 %)');
  expect(points!.share).toBeGreaterThan(0.5);
  expect(points!.compared).toBe(4 * PER_SECOND);
  expect(queries!.msg).not.toContain('driftAlert');
  expect(queries!.share).toBeLessThan(0.3);
  expect([points!.level, queries!.level]).toEqual([WARN, INFO]);
});

test('without a summary of the sample in the encoder file, nothing is counted', async () => {
  await configure({}, { target: 'compact' });
  const check = (): ReturnType<typeof runCli> =>
    runCli(['serve', '--config', 'serve.json', '--check', '--json'], { cwd: folder });
  expect((await check()).json()).toMatchObject({ collections: [{ expectedFarShare: 0.05 }] });
  await configure({}, { target: 'compact', encoder: 'earlier.onnx' });
  expect((await check()).json()).toMatchObject({ collections: [{ expectedFarShare: null }] });
  const serving = await startServe(folder, []);
  await SENDS.REST.points(serving, vectorsOf(OTHER, 150));
  const { compared } = await counted(serving, 'points');
  expect(compared).toBeNaN();
  await end(serving);
  expect(driftLines(serving)).toEqual([]);
});

test('refuses a share that is none', async () => {
  await configure({ driftAlert: '0.1' }, { target: 'compact' });
  const result = await runCli(['serve', '--config', 'serve.json', '--check'], { cwd: folder });
  expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('expected a percentage') });
});
