import { REQUEST_IDS } from '../../store/defaults.js';
import { checkPoints } from '../../store/check-points.js';
import type { Distance } from '../../core/distance.js';
import { TldrError, type ErrorCode } from '../../core/errors.js';
import {
  checkFinite,
  checkMagnitude,
  concatRows,
  gatherRows,
  matrix,
  row,
  rowsPerBlock,
  type Matrix,
} from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import { throwIfAborted, type RunOptions } from '../../core/run-options.js';
import type { DenseVectorSpec } from '../../store/collection.js';
import type { StoreKeys, VectorSource } from '../../store/vector-source.js';
import type { PointSample } from '../../store/points.js';
import { openVectors } from '../../files/open-vectors.js';

/** Vectors to learn from and where they came from. */
export interface TrainSample {
  readonly x: Matrix;
  readonly distance: Distance;
  readonly source: string;
  /** Ids of the rows; null for a file. */
  readonly ids: readonly PointId[] | null;
  /** The keys of the store that the rows come from; null for a file. */
  readonly keys: StoreKeys | null;
}

const ROWS_PER_BLOCK = 4096;
/** Most rows that are shuffled to draw a sample. It is at least twice the largest sample. */
const SHUFFLED_ROWS_MAX = 2 ** 27;
/** Most ids that a message names. */
const IDS_SHOWN = 5;

/**
 * At most `size` rows of a .npy or Parquet file, chosen by the seed, read block by block.
 * @throws INVALID_DATA naming a row
 */
export async function sampleFile(
  path: string,
  options: {
    readonly size: number;
    readonly seed: number;
    readonly distance: Distance;
    /** The column of a Parquet file. */
    readonly column?: string | undefined;
  },
  { signal, onProgress }: RunOptions,
): Promise<TrainSample> {
  const file = await openVectors(path, options.column);
  try {
    const wanted = chosenRows(file.rows, options);
    const x = matrix(wanted.length, file.cols);
    let at = 0;
    const blockRows = rowsPerBlock(file.cols, ROWS_PER_BLOCK);
    for (let start = 0; start < file.rows && at < wanted.length; start += blockRows) {
      throwIfAborted(signal);
      const end = Math.min(file.rows, start + blockRows);
      let until = at;
      while ((wanted[until] ?? end) < end) until++;
      if (until > at) {
        const block = await file.read(start, end);
        const inside = wanted.slice(at, until).map((i) => i - start);
        const rows = gatherRows(block, inside);
        const from = at;
        const name = (i: number): string => `row ${wanted[from + i]} of ${path}`;
        checkFinite(rows, name);
        if (options.distance !== 'cosine') checkMagnitude(rows, name);
        x.data.set(rows.data, at * file.cols);
        at = until;
      }
      onProgress?.({ step: 'reading', done: end, total: file.rows, unit: 'vectors' });
    }
    return { x, distance: options.distance, source: path, ids: null, keys: null };
  } finally {
    await file.close();
  }
}

/**
 * Row indices in ascending order: all, or `size` random ones. Its memory and time depend on the sample, or
 * on a file of moderate size, and not on the number of rows that a header promises.
 */
function chosenRows(rows: number, { size, seed }: { size: number; seed: number }): Int32Array | Float64Array {
  if (rows <= size) return Int32Array.from({ length: rows }, (_, i) => i);
  const rng = new Rng(seed);
  if (rows <= SHUFFLED_ROWS_MAX) return rng.permutation(rows).slice(0, size).sort();
  const chosen = new Set<number>();
  while (chosen.size < size) chosen.add(rng.int(rows));
  return Float64Array.from(chosen).sort();
}

/** The vector of a collection that is sampled, and the store that holds it. */
export interface SamplePlace {
  readonly store: VectorSource;
  readonly collection: string;
  readonly vector: DenseVectorSpec;
}

/** Which points make up a sample. */
export interface SampleChoice {
  readonly size: number;
  readonly seed: number;
  /** Points that the sample must contain; at most `size`. */
  readonly named: readonly PointId[];
  /** The flag that names them, for the error if they are missing. */
  readonly namedBy: string;
  /** Ids of an earlier run's sample, to take again in this order; null to draw a new one. */
  readonly ids: readonly PointId[] | null;
}

/**
 * Returns a random sample of a collection. The server draws it, so it differs each time. Named points come
 * first.
 * @throws NOT_FOUND when named points are missing, MISMATCH when points of an earlier run's sample are
 * missing, INVALID_DATA naming a point whose vector cannot be learned from
 */
export async function sampleCollection(
  place: SamplePlace,
  choice: SampleChoice,
  run: RunOptions,
): Promise<TrainSample> {
  const { store, collection, vector } = place;
  const { keys } = store;
  const { name: vectorName, distance } = vector;
  const { ids, vectors } = await readSample(place, choice, run);
  checkPoints({ ids, vectors }, { collection, vectorName, distance, keys });
  return { x: vectors, distance, source: collection, ids, keys };
}

async function readSample(place: SamplePlace, choice: SampleChoice, run: RunOptions): Promise<PointSample> {
  const { store, collection, vector } = place;
  if (choice.ids !== null) {
    const { ids } = choice;
    const vectors = await retrieveAll(place, ids, run, () => ({
      code: 'MISMATCH',
      message: `points of the checkpoint's sample are no longer in ${collection} with this vector: start again with another --checkpoint file`,
    }));
    return { ids, vectors };
  }
  const { size, seed, named, namedBy } = choice;
  const first = await retrieveAll(place, named, run, (missing) => ({
    code: 'NOT_FOUND',
    message: `${namedBy} names ${missing.length.toLocaleString('en-US')} points that ${collection} does not hold with vector "${vector.name}": ${someOf(missing, store.keys)}`,
  }));
  const { signal, onProgress } = run;
  const drawn = await store.sample(collection, { vectorName: vector.name, size, signal, onProgress });
  if (named.length === 0) return drawn;
  const known = new Set(named);
  const others = Array.from(new Rng(seed).permutation(drawn.ids.length), (at) => ({ at, id: drawn.ids[at] }))
    .filter((one): one is { at: number; id: PointId } => one.id !== undefined && !known.has(one.id))
    .slice(0, size - named.length);
  const rows = others.map(({ at }) => at);
  return {
    ids: [...named, ...others.map(({ id }) => id)],
    vectors: concatRows([first, gatherRows(drawn.vectors, rows)], vector.dim),
  };
}

function someOf(ids: readonly PointId[], { format }: StoreKeys): string {
  const shown = ids.slice(0, IDS_SHOWN).map(format).join(', ');
  return ids.length > IDS_SHOWN ? `${shown}, ...` : shown;
}

async function retrieveAll(
  { store, collection, vector }: SamplePlace,
  ids: readonly PointId[],
  { signal, onProgress }: RunOptions,
  failure: (missing: readonly PointId[]) => { readonly code: ErrorCode; readonly message: string },
): Promise<Matrix> {
  const x = matrix(ids.length, vector.dim);
  const missing: PointId[] = [];
  const order = Array.from(ids, (id, i) => ({ id, i })).sort((a, b) => store.keys.compare(a.id, b.id));
  for (let start = 0; start < order.length; start += REQUEST_IDS) {
    throwIfAborted(signal);
    const part = order.slice(start, start + REQUEST_IDS);
    const wanted = part.map(({ id }) => id);
    const batch = await store.retrieve(collection, wanted, { vectorName: vector.name });
    const rows = new Map(batch.ids.map((id, j) => [id, j]));
    for (const { id, i } of part) {
      const j = rows.get(id) ?? -1;
      if (j >= 0 && batch.hasVector[j] !== 0) x.data.set(row(batch.vectors, j), i * vector.dim);
      else missing.push(id);
    }
    onProgress?.({ step: 'reading', done: start + part.length, total: ids.length, unit: 'points' });
  }
  if (missing.length === 0) return x;
  const { code, message } = failure(missing);
  throw new TldrError(code, message);
}
