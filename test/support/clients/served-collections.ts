import { QdrantClient } from '@qdrant/js-client-rest';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QDRANT } from '../../../adapters/qdrant/adapter.js';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { startProxyProcess } from '../../../src/cli/serve/proxy-process.js';
import { loadConfig } from '../../../src/config/load.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { readNpy } from '../../../src/files/npy.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { pcaEncoder } from '../migrate/pca-encoder.js';
import { startTestServer } from '../server/test-server.js';

const POINTS = 200;
const COMPACT_DIM = 64;
const NEW_POINTS = 20;
const QUERIES = 8;
const FIRST_NEW_ID = 1001;
const CITIES = ['Bern', 'Graz', 'Lund', 'Nice'] as const;

/** Where a program sends its requests. */
export interface Reached {
  readonly rest: string;
  readonly grpc: string;
  readonly collection: string;
}

/** How clients reach the collection through the proxy. */
export const WAYS = ['pass-through', 'two-stage', 'compact'] as const;
type Way = (typeof WAYS)[number];

/** One collection as it was, reached directly, and three ways to reach it through the proxy. */
export interface ServedCollections {
  readonly direct: Reached;
  readonly through: Readonly<Record<Way, Reached>>;
  /** A JSON file with what the programs write and search for. */
  readonly data: string;
  readonly stop: () => Promise<void>;
}

const payloadOf = (n: number): { n: number; city: string } => ({ n, city: CITIES[n % CITIES.length] ?? '' });

/** Rows of the demo's data as lists, a half float's digits each. */
const listsOf = (rows: Matrix): number[][] =>
  Array.from({ length: rows.rows }, (_, i) => Array.from(row(rows, i)));

/** Fills a collection, migrates it in both layouts and starts the proxy. */
export async function startServedCollections(name: string): Promise<ServedCollections> {
  const server = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-programs-'));
  const demo = await readNpy('demo/data/base.npy');
  const base = rowRange(demo, 0, POINTS);
  const client = new QdrantClient({ url: server.url, checkCompatibility: false });
  await client.createCollection(name, { vectors: { size: base.cols, distance: 'Cosine' } });
  const points = listsOf(base).map((vector, i) => ({ id: i + 1, vector, payload: payloadOf(i + 1) }));
  await client.upsert(name, { wait: true, points });

  const encoder = join(folder, 'encoder.onnx');
  const trained = await pcaEncoder(base, COMPACT_DIM);
  await trained.save(encoder);
  const store = await openQdrant(server);
  for (const layout of ['two-stage', 'compact'] as const)
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: name,
      targetCollection: `${name}_for_${layout}`,
      encoder: trained,
      layout,
      statePath: join(folder, `${layout}.json`),
    });
  await store.close();

  const flags = {
    url: server.url,
    grpcUrl: server.grpcUrl,
    listenRest: '127.0.0.1:0',
    listenGrpc: '127.0.0.1:0',
  };
  const config = loadConfig({ flags, environment: {}, extra: QDRANT.settings });
  // Every point is among the first-stage results, so the answers do not depend on the encoder.
  const collections = {
    [`${name}-two-stage`]: { target: `${name}_for_two-stage`, encoder, oversampling: POINTS },
    [`${name}-compact`]: { target: `${name}_for_compact`, encoder, vectorAnswers: 'compact' as const },
  };
  const serving = await startProxyProcess({ ...config, collections }, { log: () => undefined, seed: 1 });
  const { rest, grpc } = serving.proxy;
  const proxy = { rest: `http://127.0.0.1:${rest.port}`, grpc: `http://127.0.0.1:${grpc.port}` };

  const data = join(folder, 'data.json');
  const added = listsOf(rowRange(demo, POINTS, POINTS + NEW_POINTS)).map((vector, i) => ({
    id: FIRST_NEW_ID + i,
    vector,
    payload: payloadOf(FIRST_NEW_ID + i),
  }));
  const queries = listsOf(rowRange(await readNpy('demo/data/queries.npy'), 0, QUERIES));
  await writeFile(data, JSON.stringify({ points: added, queries }));
  return {
    direct: { rest: server.url, grpc: server.grpcUrl, collection: name },
    through: {
      'pass-through': { ...proxy, collection: name },
      'two-stage': { ...proxy, collection: `${name}-two-stage` },
      compact: { ...proxy, collection: `${name}-compact` },
    },
    data,
    stop: async () => {
      await serving.proxy.close();
      await serving.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}
