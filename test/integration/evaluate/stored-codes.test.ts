import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { startLocalQdrant, type LocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { expectDefined } from '../../../src/core/errors.js';
import { compactDistance, score } from '../../../src/core/distance.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { rotateRows } from '../../../src/encoder/rotation.js';
import { asStored } from '../../../src/evaluate/stored-codes.js';
import { readNpy } from '../../../src/files/npy.js';
import { exactTopK } from '../../../src/knn/exact-search-in-worker.js';
import { storageOf } from '../../../src/plan/sizing-row.js';
import { STORED_FORMS, type StorageKind } from '../../../src/store/collection.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { firstColumns } from '../../support/train/first-columns.js';

const [ROWS, QUERIES, DIM] = [1000, 100, 48];
/** The packaged server has no turbo codes. */
const FORMS = STORED_FORMS.filter((kind) => kind !== 'float32' && !kind.startsWith('turbo'));
const DISTANCES = ['cosine', 'euclid'] as const;
let server: LocalQdrant;
let store: QdrantStore;
let base: Matrix;
let queries: Matrix;

const nameOf = (kind: StorageKind, distance: string): string => `${kind}-${distance}`;

beforeAll(async () => {
  server = await startLocalQdrant();
  store = await openQdrant(server);
  const all = rotateRows(firstColumns(await readNpy('demo/data/base.npy'), DIM), 1);
  [base, queries] = [rowRange(all, 0, ROWS), rowRange(all, ROWS, ROWS + QUERIES)];
  const native = JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } } });
  const none = { vectors: [], otherVectors: [], partitions: [], metadata: {} };
  await store.create({ ...none, name: 'docs', native });
  const scratch = expectDefined(store.storage, 'storage').scratch(await store.describe('docs'), {
    name: 'stored',
    vectorName: '',
    metadata: {},
    vectors: FORMS.flatMap((kind) =>
      DISTANCES.map((distance) => ({
        name: nameOf(kind, distance),
        dim: DIM,
        distance,
        storage: { ...storageOf(kind), onDisk: false, indexed: true },
      })),
    ),
  });
  await store.create(scratch);
  const ids = Array.from({ length: ROWS }, (_, i) => BigInt(i));
  const has = new Uint8Array(ROWS).fill(1);
  await store.upsert('stored', {
    ids,
    vectors: scratch.vectors.map(({ name }) => ({ name, matrix: base, has })),
    extra: ids.map(() => store.codec.pack('{}')),
  });
  await store.finishBulkLoad(scratch);
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

interface Hit {
  readonly id: number;
  readonly score: number;
}

/** What the server finds by the codes alone, looking at nearly every point of its graph. */
async function searched(using: string): Promise<Hit[][]> {
  const searches = Array.from({ length: QUERIES }, (_, q) => ({
    query: Array.from(row(queries, q)),
    using,
    limit: 10,
    params: { hnsw_ef: ROWS, quantization: { rescore: false } },
  }));
  const response = await fetchAgain(`${server.url}/collections/stored/points/query/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ searches }),
  });
  const { result } = (await response.json()) as { result: { points: Hit[] }[] };
  return result.map(({ points }) => points);
}

function recall(found: readonly (readonly number[])[], truth: Int32Array): number {
  const hits = found.map(
    (ids, q) => ids.filter((id) => truth.subarray(q * 10, q * 10 + 10).includes(id)).length,
  );
  return hits.reduce((sum, count) => sum + count, 0) / (QUERIES * 10);
}

test.each(DISTANCES.flatMap((distance) => FORMS.map((kind) => [kind, distance] as const)))(
  'vectors stored as %s, %s: the library finds what the server finds',
  async (kind, distance) => {
    const truth = await exactTopK(base, queries, { k: 10, distance: compactDistance(distance) });
    const stored = asStored({ base, queries, distance }, kind);
    const simulated = await exactTopK(stored.base, stored.queries, { k: 10, distance: stored.distance });
    const hits = await searched(nameOf(kind, distance));
    const ours = recall(
      Array.from({ length: QUERIES }, (_, q) => Array.from(simulated.subarray(q * 10, q * 10 + 10))),
      truth,
    );
    const theirs = recall(
      hits.map((points) => points.map(({ id }) => id)),
      truth,
    );
    // Equal codes leave the order of many points open; product codes also depend on random centroids.
    expect(Math.abs(ours - theirs)).toBeLessThanOrEqual(0.02);
    // For Euclid, the server adds a constant of its own to the scores of scalar codes.
    if (kind !== 'scalar' || distance !== 'cosine') return;
    hits.flat().forEach(({ id, score: reported }, i) => {
      const query = row(stored.queries, Math.floor(i / 10));
      const expected = score(query, row(stored.base, id), stored.distance);
      expect(Math.abs(expected - reported)).toBeLessThan(2e-3 * Math.max(1, Math.abs(expected)));
    });
  },
);
