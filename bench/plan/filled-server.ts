import { openQdrant, type QdrantStore } from '../../adapters/qdrant/index.js';
import { startLocalQdrant } from '../../adapters/qdrant/local/start.js';
import { rowRange, type Matrix } from '../../src/core/matrix.js';

/** The collection that `withFilledServer` fills. */
export const COLLECTION = 'set';

const BATCH = 500;

/** Starts the packaged server, writes the rows into a collection, and stops the server when `use` has ended. */
export async function withFilledServer<T>(x: Matrix, use: (store: QdrantStore) => Promise<T>): Promise<T> {
  const server = await startLocalQdrant();
  const store = await openQdrant(server);
  try {
    await fill(store, x);
    return await use(store);
  } finally {
    await store.close();
    await server.stop();
  }
}

async function fill(store: QdrantStore, x: Matrix): Promise<void> {
  const native = JSON.stringify({
    params: { vectors: { size: x.cols, distance: 'Cosine' } },
    optimizer_config: { default_segment_number: 1 },
  });
  const spec = { name: COLLECTION, vectors: [], otherVectors: [], partitions: [], metadata: {}, native };
  await store.create(spec);
  for (let start = 0; start < x.rows; start += BATCH) {
    const end = Math.min(x.rows, start + BATCH);
    const ids = Array.from({ length: end - start }, (_, i) => BigInt(start + i));
    const column = { name: '', matrix: rowRange(x, start, end), has: new Uint8Array(end - start).fill(1) };
    await store.upsert(COLLECTION, { ids, vectors: [column], extra: ids.map(() => store.codec.pack('{}')) });
  }
  await store.finishBulkLoad(spec);
}
