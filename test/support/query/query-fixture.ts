import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { startProxyProcess, type ProxyProcess } from '../../../src/cli/serve/proxy-process.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Distance } from '../../../src/core/distance.js';
import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { decodeAnswer, encodeRequest, pathOf } from '../wire/grpc-schemas.js';
import { fetchOnce } from '../server/fetch-once.js';
import { PlainGrpc } from '../server/grpc-call.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';
import { grpcRequest } from './query-to-grpc.js';
import { restRequest, type PointId, type QueryCase } from './query-to-json.js';
import { SHELVES, type Searched } from './query-parts.js';
import { startTestServer } from '../server/test-server.js';

const ROWS = 120;
const DIM = 24;
const SMALL_DIM = 8;
/** Each row of this number lacks the vector that is reduced. */
const BARE_EVERY = 20;

interface Collection {
  readonly vector: string;
  readonly distance: Distance;
  readonly shards: number;
  readonly thresholds: readonly [number, number];
  readonly others: Readonly<Record<string, number>>;
  readonly sparse: readonly string[];
}

/** What is migrated: every distance, one shard and several, one vector and several. */
const COLLECTIONS = {
  plain: { vector: '', distance: 'cosine', shards: 1, thresholds: [-0.3, 0.3], others: {}, sparse: [] },
  named: {
    vector: 'text',
    distance: 'dot',
    shards: 3,
    thresholds: [-5, 5],
    others: { other: 5 },
    sparse: ['words'],
  },
  far: { vector: '', distance: 'euclid', shards: 2, thresholds: [5, 8], others: {}, sparse: [] },
  blocks: { vector: 'text', distance: 'manhattan', shards: 1, thresholds: [20, 35], others: {}, sparse: [] },
} as const satisfies Record<string, Collection>;
export type Name = keyof typeof COLLECTIONS;
export const NAMES = Object.keys(COLLECTIONS) as Name[];

/** An answer without its envelope, or an error. */
export interface CaseAnswer {
  readonly ok: boolean;
  readonly content: unknown;
}

export type Transport = 'REST' | 'gRPC';

export interface QueryPlace {
  readonly searched: (name: Name) => Searched;
  /** The same case at the original collection, and at its name behind the proxy. */
  readonly ask: (
    transport: Transport,
    name: Name,
    one: QueryCase,
  ) => Promise<{ readonly expected: CaseAnswer; readonly actual: CaseAnswer }>;
  readonly stop: () => Promise<void>;
}

/** Collections migrated into the two-stage layout and served with every point a candidate. */
export async function startQueryPlace(): Promise<QueryPlace> {
  const server = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-queries-'));
  const put = async (path: string, body: object): Promise<void> => {
    const response = await fetchOnce(`${server.url}/collections/${path}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  };
  const vectors = new Map(NAMES.map((name, i) => [name, randomRows(i + 1)] as const));
  for (const [name, x] of vectors) await createOriginal(put, name, x);
  await createElsewhere(put);
  const serving = await serveAll(server, folder, vectors);
  const { rest, grpc } = serving.proxy;
  const direct = { url: server.url, grpc: new PlainGrpc(server.grpcUrl) };
  const through = {
    url: `http://127.0.0.1:${rest.port}`,
    grpc: new PlainGrpc(`http://127.0.0.1:${grpc.port}`),
  };
  return {
    searched: searchedOf,
    ask: async (transport, name, one) => {
      const ask = transport === 'REST' ? askRest : askGrpc;
      const [expected, actual] = await Promise.all([ask(direct, name, one), ask(through, name, one)]);
      return { expected, actual };
    },
    stop: async () => {
      direct.grpc.close();
      through.grpc.close();
      await serving.proxy.close();
      await serving.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

function randomRows(seed: number): Matrix {
  const x = matrix(ROWS, DIM);
  const rng = new Rng(seed);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
  return x;
}

function idAt(i: number): PointId {
  return i % 9 === 4 ? `00000000-0000-0000-0000-${String(i).padStart(12, '0')}` : i + 1;
}

function searchedOf(name: Name): Searched {
  const { vector, shards, thresholds, others, sparse } = COLLECTIONS[name];
  return {
    vector,
    dim: DIM,
    shards,
    others,
    sparse,
    thresholds,
    ids: Array.from({ length: ROWS }, (_, i) => i)
      .filter((i) => i % BARE_EVERY !== BARE_EVERY - 1)
      .map(idAt),
    lookups: [
      { collection: 'elsewhere', vector: 'z' },
      ...NAMES.map((other) => ({ collection: other, vector: COLLECTIONS[other].vector })),
      { collection: name },
      { collection: 'plain' },
    ],
  };
}

type Put = (path: string, body: object) => Promise<void>;

async function createOriginal(put: Put, name: Name, x: Matrix): Promise<void> {
  const { vector, distance, shards, others, sparse }: Collection = COLLECTIONS[name];
  const full = { size: DIM, distance: `${distance[0]!.toUpperCase()}${distance.slice(1)}` };
  const small = Object.entries(others).map(([other, size]) => [other, { size, distance: 'Euclid' }] as const);
  await put(name, {
    vectors: vector === '' ? full : { [vector]: full, ...Object.fromEntries(small) },
    sparse_vectors: Object.fromEntries(sparse.map((one) => [one, {}])),
    shard_number: shards,
  });
  for (const [field_name, field_schema] of Object.entries({ n: 'integer', shelf: 'keyword' }))
    await put(`${name}/index?wait=true`, { field_name, field_schema });
  const rng = new Rng(99);
  const points = Array.from({ length: ROWS }, (_, i) => ({
    id: idAt(i),
    vector: {
      ...(i % BARE_EVERY === BARE_EVERY - 1 ? {} : { [vector]: [...row(x, i)] }),
      ...Object.fromEntries(small.map(([other, { size }]) => [other, normals(rng, size)])),
      ...Object.fromEntries(
        sparse.map((one) => [one, { indices: [i % 11, 50], values: [1, 0.5 + i / 100] }]),
      ),
    },
    payload: { n: i, shelf: `shelf-${i % SHELVES}`, ...(i % 10 === 0 ? { rare: true } : {}) },
  }));
  await put(`${name}/points?wait=true`, { points });
}

/** A collection that is not served, where ids are looked up. */
async function createElsewhere(put: Put): Promise<void> {
  await put('elsewhere', { vectors: { z: { size: DIM, distance: 'Dot' } } });
  const rng = new Rng(7);
  const points = Array.from({ length: ROWS }, (_, i) => ({ id: idAt(i), vector: { z: normals(rng, DIM) } }));
  await put('elsewhere/points?wait=true', { points });
}

function normals(rng: Rng, dim: number): number[] {
  return Array.from({ length: dim }, () => Number(rng.normal().toFixed(3)));
}

async function serveAll(
  server: { readonly url: string; readonly grpcUrl: string },
  folder: string,
  vectors: ReadonlyMap<Name, Matrix>,
): Promise<ProxyProcess> {
  const store = await openQdrant(server);
  const collections: Record<string, { target: string; encoder: string; oversampling: number }> = {};
  for (const [name, x] of vectors) {
    const { vector, distance } = COLLECTIONS[name];
    const encoder = await pcaEncoder(x, SMALL_DIM, { source: name, distance });
    const target = `${name}-small`;
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: name,
      targetCollection: target,
      encoder,
      layout: 'two-stage',
      vectorName: vector,
      statePath: join(folder, `${target}.json`),
    });
    const file = join(folder, `${name}.onnx`);
    await encoder.save(file);
    collections[name] = { target, encoder: file, oversampling: ROWS };
  }
  await store.close();
  const config = loadConfig({
    flags: {
      url: server.url,
      grpcUrl: server.grpcUrl,
      listenRest: '127.0.0.1:0',
      listenGrpc: '127.0.0.1:0',
    },
    environment: {},
    extra: QDRANT.settings,
  });
  return startProxyProcess({ ...config, collections }, { log: () => undefined, seed: 1 });
}

interface Side {
  readonly url: string;
  readonly grpc: PlainGrpc;
}

async function askRest({ url }: Side, name: Name, one: QueryCase): Promise<CaseAnswer> {
  const { path, body } = restRequest(one);
  const response = await fetchOnce(`${url}/collections/${name}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  // Where a request ends differs from what it became.
  const text = (await response.text()).replace(/ at line \d+ column \d+/, '');
  const answer = JSON.parse(text) as { readonly result?: unknown; readonly status: unknown };
  const content = response.status === 200 ? answer.result : { status: response.status, answer };
  return { ok: response.status === 200, content };
}

async function askGrpc({ grpc }: Side, name: Name, one: QueryCase): Promise<CaseAnswer> {
  const { method, json } = grpcRequest(name, one);
  const { code, text, message } = await grpc.call({
    path: pathOf(method),
    message: encodeRequest(method, json),
  });
  return code === 0
    ? { ok: true, content: decodeAnswer(method, message) }
    : { ok: false, content: { code: String(code), text } };
}
