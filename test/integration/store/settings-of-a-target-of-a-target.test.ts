import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import type { CollectionSpec, Quantization } from '../../../src/store/collection.js';
import { METADATA_KEY } from '../../../src/store/target-description.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { restText } from '../../support/server/rest-text.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';
import { DIM } from '../../support/migrate/fixtures.js';

const test = await testsOn('any');

let server: TestServer;
let store: QdrantStore;

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
});

afterEach(async () => {
  for (const name of await store.listCollections()) await store.drop(name);
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

const send = (method: string, path: string, body: object): Promise<string> =>
  restText(server, method, path, JSON.stringify(body));

/** Settings of the source, and the compact vector's quantisation if the user chose one. */
const CASES: readonly (readonly [string, object, Quantization | undefined])[] = [
  ['defaults', { vectors: { size: DIM, distance: 'Cosine' } }, undefined],
  [
    'a quantisation and index settings of the collection',
    {
      vectors: {
        text: { size: DIM, distance: 'Dot' },
        title: { size: 3, distance: 'Cosine', on_disk: true },
      },
      sparse_vectors: { words: {} },
      hnsw_config: { m: 12, full_scan_threshold: 5000 },
      optimizers_config: { indexing_threshold: 7000 },
      quantization_config: { scalar: { type: 'int8', quantile: 0.99, always_ram: true } },
    },
    undefined,
  ],
  [
    'settings of the vector itself',
    {
      vectors: {
        text: {
          size: DIM,
          distance: 'Euclid',
          datatype: 'float16',
          hnsw_config: { m: 24, full_scan_threshold: 900 },
          quantization_config: { binary: { always_ram: true } },
        },
        title: { size: 3, distance: 'Cosine' },
      },
      quantization_config: { product: { compression: 'x8', always_ram: false } },
    },
    undefined,
  ],
  [
    'limits of strict mode',
    {
      vectors: { text: { size: DIM, distance: 'Cosine' } },
      strict_mode_config: {
        enabled: true,
        search_allow_exact: false,
        max_collection_vector_size_bytes: 1_000_000,
      },
    },
    undefined,
  ],
  [
    'a chosen quantisation beside that of the collection',
    {
      vectors: { text: { size: DIM, distance: 'Cosine' }, title: { size: 3, distance: 'Cosine' } },
      quantization_config: { binary: { always_ram: true } },
    },
    'scalar',
  ],
];

function targetOf(
  source: CollectionSpec,
  {
    name,
    dim,
    quantization,
  }: { readonly name: string; readonly dim: number; readonly quantization?: Quantization | undefined },
): CollectionSpec {
  const vectorName = source.vectors.some((vector) => vector.name === 'text') ? 'text' : '';
  const full = source.vectors.find((vector) => vector.name === vectorName);
  const description = {
    format: 1,
    encoder: String(dim),
    layout: 'two-stage',
    source: source.name,
    vector: vectorName,
    compact: 'compact',
    inputDim: DIM,
    outputDim: dim,
    distance: full?.distance,
  };
  return store.deriveTarget(source, {
    name,
    layout: 'two-stage',
    vectorName,
    compactName: 'compact',
    compactDim: dim,
    compactDistance: 'dot',
    quantization,
    metadata: { [METADATA_KEY]: JSON.stringify(description) },
  });
}

/** What the metadata tells of settings that were changed for the layout. */
const noted = ({ metadata }: CollectionSpec): object =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== METADATA_KEY));

describe('a target derived from a two-stage target', () => {
  test.each(CASES)(
    'has the settings of one derived from its source: %s',
    async (_label, settings, quantization) => {
      await send('PUT', '/collections/again', settings);
      const source = await store.describe('again');
      const first = targetOf(source, { name: 'again_1', dim: 4, quantization });
      await store.create(first);
      await store.finishBulkLoad(first);
      const described = await store.describe('again_1');
      for (const dim of [4, 2, 8]) {
        const expected = targetOf(source, { name: 'again_2', dim, quantization });
        const again = targetOf(described, { name: 'again_2', dim });
        expect(store.differences(expected, again)).toEqual([]);
        expect(noted(again)).toEqual(noted(expected));
      }
    },
  );

  test('keeps what was changed in it since', async () => {
    await send('PUT', '/collections/changed', { vectors: { size: DIM, distance: 'Cosine' } });
    const first = targetOf(await store.describe('changed'), { name: 'changed_1', dim: 4 });
    await store.create(first);
    await store.finishBulkLoad(first);
    await send('PATCH', '/collections/changed_1', {
      hnsw_config: { full_scan_threshold: 777 },
      vectors: { compact: { on_disk: true, quantization_config: { binary: { always_ram: true } } } },
    });
    const again = targetOf(await store.describe('changed_1'), { name: 'changed_2', dim: 2 });
    const { params } = JSON.parse(again.native) as {
      params: { vectors: Record<string, Record<string, unknown>> };
    };
    expect(params.vectors['compact']).toMatchObject({
      size: 2,
      on_disk: true,
      quantization_config: { binary: { always_ram: true } },
    });
    // Limits are those of full vectors: 777 is one of the target's own now, and lowered as any other.
    expect(JSON.parse(again.native)).toMatchObject({ hnsw_config: { full_scan_threshold: 98 } });
  });
});
