import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { fetchOnce } from '../server/fetch-once.js';
import type { TestServer } from '../server/test-server.js';
import type { Serving } from './serve-child.js';

export const LAYOUTS = ['compact', 'two-stage'] as const;

/** Creates the empty collection `original` with one vector without a name. */
export function createOriginal(store: QdrantStore, dim: number): Promise<void> {
  return store.create({
    name: 'original',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params: { vectors: { size: dim, distance: 'Cosine' } } }),
  });
}

/** Migrates `original` into a target of each layout, which has the layout's name. */
export async function migrateInBothLayouts(
  store: QdrantStore,
  { encoder, folder }: { readonly encoder: Encoder; readonly folder: string },
): Promise<void> {
  for (const layout of LAYOUTS)
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'original',
      targetCollection: layout,
      encoder,
      layout,
      statePath: join(folder, `${layout}.json`),
    });
}

/** Writes the configuration of a proxy that listens on free ports. */
export async function configureProxy(
  folder: string,
  { url, grpcUrl }: TestServer,
  settings: object,
): Promise<void> {
  const listen = '127.0.0.1:0';
  const own = { url, grpcUrl, listenRest: listen, listenGrpc: listen, listenOperations: listen };
  await writeFile(join(folder, 'serve.json'), JSON.stringify({ ...own, ...settings }));
}

/** Sends a request about collections to the proxy: an upsert of points by PUT. Returns the status of the answer. */
export async function sendToProxy(serving: Serving, path: string, body: object): Promise<number> {
  const response = await fetchOnce(`${serving.rest}/collections/${path}`, {
    method: path.endsWith('/points?wait=true') ? 'PUT' : 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}
