import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QdrantClient as GrpcClient } from '@qdrant/js-client-grpc';
import { QdrantClient as RestClient } from '@qdrant/js-client-rest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { readNpy } from '../../../src/files/npy.js';
import { startProxyProcess, type ProxyProcess } from '../../../src/cli/serve/proxy-process.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const POINTS = 500;
const DIM = 32;
const LAYOUTS = ['two-stage', 'compact'] as const;
/** A target that clients reach by an alias. */
const ALIASED = ['aliased', 'two-stage'] as const;

let server: TestServer;
let folder: string;
let serving: ProxyProcess;
let queries: Matrix;
let base: Matrix;
let encoder: Encoder;
/** Straight to the server. */
let direct: RestClient;
let rest: RestClient;
let grpc: GrpcClient;

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-proxy-'));
  direct = new RestClient({ url: server.url, checkCompatibility: false });
  base = rowRange(await readNpy('demo/data/base.npy'), 0, POINTS);
  queries = rowRange(await readNpy('demo/data/queries.npy'), 0, 20);
  await direct.createCollection('original', { vectors: { size: base.cols, distance: 'Cosine' } });
  await direct.upsert('original', {
    points: Array.from({ length: POINTS }, (_, i) => ({
      id: i,
      vector: Array.from(row(base, i)),
      payload: { n: i },
    })),
  });
  encoder = await pcaEncoder(base, DIM);
  await encoder.save(join(folder, 'encoder.onnx'));
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  const targets = [...LAYOUTS.map((layout) => [`${layout}-target`, layout] as const), ALIASED] as const;
  for (const [targetCollection, layout] of targets)
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'original',
      targetCollection,
      encoder,
      layout,
      statePath: join(folder, `${targetCollection}.json`),
    });
  await store.close();
  await direct.updateCollectionAliases({
    actions: [
      { create_alias: { alias_name: 'nickname', collection_name: 'compact-target' } },
      { create_alias: { alias_name: 'by-alias', collection_name: 'aliased' } },
    ],
  });
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
  // Every point is a candidate.
  const options = { encoder: join(folder, 'encoder.onnx'), oversampling: POINTS / 5 };
  const collections = {
    ...Object.fromEntries(LAYOUTS.map((layout) => [layout, { target: `${layout}-target`, ...options }])),
    'by-alias': { target: 'by-alias', ...options },
  };
  serving = await startProxyProcess({ ...config, collections }, { log: () => undefined, seed: 1 });
  const { rest: restAddress, grpc: grpcAddress } = serving.proxy;
  rest = new RestClient({ url: `http://127.0.0.1:${restAddress.port}`, checkCompatibility: false });
  grpc = new GrpcClient({ url: `http://127.0.0.1:${grpcAddress.port}`, checkCompatibility: false });
});

afterAll(async () => {
  await serving.proxy.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

interface Found {
  readonly id: unknown;
  readonly score: number;
}

/** The same points in the same order, with the same scores but for the last digits of a float. */
function expectSame(found: readonly Found[], wanted: readonly Found[]): void {
  expect(found.map(({ id }) => String(id))).toEqual(wanted.map(({ id }) => String(id)));
  found.forEach(({ score }, i) => expect(score).toBeCloseTo(wanted[i]?.score ?? NaN, 4));
}

function expectNear(found: readonly number[] | undefined, wanted: Float32Array): void {
  expect(found).toHaveLength(wanted.length);
  const differences = found?.map((x, i) => Math.abs(x - (wanted[i] ?? NaN))) ?? [];
  expect(Math.max(...differences)).toBeLessThan(1e-4);
}

const query = (i: number): number[] => Array.from(row(queries, i));

async function byGrpc(collectionName: string, data: number[], limit: number): Promise<readonly Found[]> {
  const { result } = await grpc.api('points').query({
    collectionName,
    limit: BigInt(limit),
    query: {
      variant: {
        case: 'nearest',
        value: { variant: { case: 'dense', value: { data } } },
      },
    },
  });
  return result.map(({ id, score }) => ({ id: id?.pointIdOptions.value, score }));
}

describe('the official clients through the proxy', () => {
  test('both get what the full collection gives, two-stage', async () => {
    for (let i = 0; i < queries.rows; i++) {
      const wanted = await direct.query('original', { query: query(i), limit: 10, params: { exact: true } });
      const { points } = await rest.query('two-stage', { query: query(i), limit: 10 });
      expectSame(points, wanted.points);
      expectSame(await byGrpc('two-stage', query(i), 10), wanted.points);
    }
  });

  test('both get what the compact vectors give, compact', async () => {
    const projected = encoder.projectQueries(queries);
    for (let i = 0; i < queries.rows; i++) {
      const wanted = await direct.query('compact-target', {
        query: Array.from(row(projected, i)),
        limit: 10,
      });
      const { points } = await rest.query('compact', { query: query(i), limit: 10 });
      expectSame(points, wanted.points);
      expectSame(await byGrpc('compact', query(i), 10), wanted.points);
    }
  });

  test('a bulk write, large enough for a rewriting thread, arrives whole in both vectors', async () => {
    const points = Array.from({ length: 200 }, (_, i) => ({
      id: 10_000 + i,
      vector: Array.from(row(base, i)),
      payload: { text: '1.0', n: i },
    }));
    await rest.upsert('two-stage', { wait: true, points });
    const stored = await direct.retrieve('two-stage-target', {
      ids: points.map(({ id }) => id),
      with_vector: true,
      with_payload: true,
    });
    const projected = encoder.project(base);
    expect(stored).toHaveLength(points.length);
    for (const { id, vector, payload } of stored) {
      const i = Number(id) - 10_000;
      expect(payload).toEqual({ text: '1.0', n: i });
      const vectors = vector as Record<string, number[]>;
      expectNear(vectors['compact'], row(projected, i));
      expectNear(vectors[''], row(base, i));
    }
    await rest.delete('two-stage', { wait: true, points: points.map(({ id }) => id) });
    expect(await rest.count('two-stage', { exact: true })).toEqual({ count: POINTS });
  });

  test('the collections look as the original did, and the targets are hidden', async () => {
    const original = (await direct.getCollection('original')).config.params.vectors;
    for (const layout of LAYOUTS) {
      expect((await rest.getCollection(layout)).config.params.vectors).toEqual(original);
      await expect(rest.getCollection(`${layout}-target`)).rejects.toMatchObject({ status: 404 });
    }
    const { collections } = await rest.getCollections();
    expect(collections.map(({ name }) => name).sort()).toEqual([
      'aliased',
      'compact',
      'original',
      'two-stage',
    ]);
  });

  test('an alias cannot be deleted as a collection, and is served as before', async () => {
    for (const [name, of] of [
      ['nickname', 'compact'],
      ['by-alias', 'two-stage'],
    ] as const) {
      expect(await rest.deleteCollection(name)).toBe(false);
      expect(await grpc.api('collections').delete({ collectionName: name })).toMatchObject({ result: false });
      const wanted = await rest.query(of, { query: query(0), limit: 3 });
      expectSame((await rest.query(name, { query: query(0), limit: 3 })).points, wanted.points);
      expectSame(await byGrpc(name, query(0), 3), wanted.points);
    }
  });

  test('a collection that a client deletes is served no more: its name can be taken again', async () => {
    await rest.deleteCollection('compact');
    await grpc.api('collections').delete({ collectionName: 'two-stage' });
    for (const layout of LAYOUTS) {
      expect(await direct.collectionExists(`${layout}-target`)).toEqual({ exists: false });
      await rest.createCollection(layout, { vectors: { size: 2, distance: 'Dot' } });
      await rest.upsert(layout, { wait: true, points: [{ id: 1, vector: [3, 4] }] });
      expect(await rest.retrieve(layout, { ids: [1], with_vector: true })).toMatchObject([
        { vector: [3, 4] },
      ]);
      expect(await byGrpc(layout, [1, 1], 3)).toMatchObject([{ id: 1n, score: 7 }]);
    }
  });

  test('what is counted is exported, and holds no vector', async () => {
    const text = await serving.proxy.metrics.registry.metrics();
    expect(text).toMatch(/tldr_projected_vectors_total\{transport="rest"\} [1-9]/);
    expect(text).toMatch(/tldr_projected_vectors_total\{transport="grpc"\} [1-9]/);
    expect(text).not.toContain(String(query(0)[0]));
  });
});
