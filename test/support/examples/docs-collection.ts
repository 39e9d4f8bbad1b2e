import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { fetchAgain } from '../server/fetch-once.js';

const [POINTS, DIM] = [150, 128];
const rng = new Rng(1);

/** The vectors of the collection `docs` that examples and pages speak of. Most of their variance is in few dimensions. */
export const VECTORS = matrix(
  POINTS,
  DIM,
  Float32Array.from({ length: POINTS * DIM }, (_, i) => rng.normal() / (1 + (i % DIM) / 4)),
);

/** The addresses of a server. */
export interface Addresses {
  readonly url: string;
  readonly grpcUrl: string;
}

/** One of the vectors. */
export function vectorOf(id: number): number[] {
  return Array.from(VECTORS.data.subarray(id * DIM, (id + 1) * DIM));
}

async function send(url: string, method: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetchAgain(url, { ...init, headers: { 'content-type': 'application/json' } });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Makes the collection docs. */
export async function makeDocs({ url }: Addresses): Promise<void> {
  const collection = `${url}/collections/docs`;
  await send(collection, 'PUT', { vectors: { size: DIM, distance: 'Cosine' } });
  const points = Array.from({ length: POINTS }, (_, id) => ({ id, vector: vectorOf(id) }));
  await send(`${collection}/points?wait=true`, 'PUT', { points });
}

/** The collection that docs is migrated to. */
export const SMALL_DOCS = 'docs_small';

/** Migrates docs to a two-stage collection. */
export async function migrateDocs(
  addresses: Addresses,
  migration: { readonly encoder: Encoder; readonly statePath: string },
): Promise<void> {
  const store = await openQdrant(addresses);
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'docs',
    targetCollection: SMALL_DOCS,
    layout: 'two-stage',
    ...migration,
  });
  await store.close();
}

/** Removes every collection of a server, and with them their aliases. */
export async function removeCollections({ url }: Addresses): Promise<void> {
  const { result } = (await send(`${url}/collections`, 'GET')) as {
    result: { collections: { name: string }[] };
  };
  for (const { name } of result.collections)
    await send(`${url}/collections/${encodeURIComponent(name)}`, 'DELETE');
}
