import type { Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import { gatherRows, matrix, type Matrix } from '../core/matrix.js';
import { comparePointIds, type PointId } from '../core/point-id.js';
import { Rng } from '../core/rng.js';
import { throwIfAborted, type RunOptions } from '../core/run.js';
import type { CollectionSpec, DenseVectorSpec, VectorStore } from '../core/vector-store.js';
import { openNpy } from './npy.js';

/** Vectors to learn from and where they came from. */
export interface TrainSample {
  readonly x: Matrix;
  readonly distance: Distance;
  readonly source: string;
  /** Ids of the rows; null for a file. */
  readonly ids: readonly PointId[] | null;
}

const ROWS_PER_BLOCK = 4096;
const IDS_PER_REQUEST = 500;

/** At most `size` rows of a .npy file, chosen by the seed, read block by block. */
export async function sampleNpy(
  path: string,
  options: { readonly size: number; readonly seed: number; readonly distance: Distance },
  { signal, onProgress }: RunOptions,
): Promise<TrainSample> {
  const file = await openNpy(path);
  try {
    const wanted = chosenRows(file.rows, options);
    const x = matrix(wanted.length, file.cols);
    let at = 0;
    for (let start = 0; start < file.rows && at < wanted.length; start += ROWS_PER_BLOCK) {
      throwIfAborted(signal);
      const end = Math.min(file.rows, start + ROWS_PER_BLOCK);
      let until = at;
      while ((wanted[until] ?? end) < end) until++;
      if (until > at) {
        const block = await file.read(start, end);
        const inside = wanted.subarray(at, until).map((i) => i - start);
        x.data.set(gatherRows(block, inside).data, at * file.cols);
        at = until;
      }
      onProgress?.({ step: 'reading', done: end, total: file.rows, unit: 'vectors' });
    }
    return { x, distance: options.distance, source: path, ids: null };
  } finally {
    await file.close();
  }
}

/** Row indices in ascending order: all, or `size` random ones. */
function chosenRows(rows: number, { size, seed }: { size: number; seed: number }): Int32Array {
  if (rows <= size) return Int32Array.from({ length: rows }, (_, i) => i);
  return new Rng(seed).permutation(rows).slice(0, size).sort();
}

/**
 * A random sample of a collection, drawn by the server: another one each time. With `ids` it is the sample of an
 * earlier run again, in its order.
 * @throws NOT_FOUND, or MISMATCH when points of that sample are gone
 */
export async function sampleCollection(
  store: VectorStore,
  options: {
    readonly collection: string;
    readonly vector: string | undefined;
    readonly size: number;
    readonly ids: readonly PointId[] | null;
  },
  run: RunOptions,
): Promise<TrainSample> {
  const { collection, size, ids } = options;
  const vector = pickVector(await store.describe(collection), collection, options.vector);
  const { signal, onProgress } = run;
  const sample =
    ids === null
      ? await store.sample(collection, { vectorName: vector.name, size, signal, onProgress })
      : { ids, vectors: await retrieveAll(store, { collection, vector, ids }, run) };
  return { x: sample.vectors, distance: vector.distance, source: collection, ids: sample.ids };
}

/** @throws NOT_FOUND when the name is unknown, or needed and not given */
export function pickVector(
  spec: CollectionSpec,
  collection: string,
  wanted: string | undefined,
): DenseVectorSpec {
  const vector =
    wanted === undefined && spec.vectors.length === 1
      ? spec.vectors[0]
      : spec.vectors.find((one) => one.name === (wanted ?? ''));
  if (vector !== undefined) return vector;
  const names = spec.vectors.map((one) => `"${one.name}"`).join(', ');
  throw new TldrError(
    'NOT_FOUND',
    `say which vector of ${collection} to reduce with --vector: it has ${names}`,
  );
}

async function retrieveAll(
  store: VectorStore,
  { collection, vector, ids }: { collection: string; vector: DenseVectorSpec; ids: readonly PointId[] },
  { signal, onProgress }: RunOptions,
): Promise<Matrix> {
  const x = matrix(ids.length, vector.dim);
  const order = Int32Array.from({ length: ids.length }, (_, i) => i);
  const sorted = [...order].sort((a, b) => comparePointIds(ids[a] ?? 0n, ids[b] ?? 0n));
  for (let start = 0; start < sorted.length; start += IDS_PER_REQUEST) {
    throwIfAborted(signal);
    const part = sorted.slice(start, start + IDS_PER_REQUEST);
    const batch = await store.retrieve(
      collection,
      part.map((i) => ids[i] ?? 0n),
      { vectorName: vector.name },
    );
    if (batch.ids.length !== part.length || batch.hasVector.includes(0)) {
      throw new TldrError(
        'MISMATCH',
        `points of the checkpoint's sample are no longer in ${collection} with this vector: start again with another --checkpoint file`,
      );
    }
    part.forEach((i, j) => {
      x.data.set(batch.vectors.data.subarray(j * vector.dim, (j + 1) * vector.dim), i * vector.dim);
    });
    onProgress?.({ step: 'reading', done: start + part.length, total: ids.length, unit: 'points' });
  }
  return x;
}
