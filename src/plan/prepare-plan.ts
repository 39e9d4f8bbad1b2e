import { measurableStorage } from '../store/facets.js';
import { isTldrError, TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { pickVector } from '../store/pick-vector.js';
import type { RunOptions } from '../core/run-options.js';
import { SPLIT } from '../hyper-parameters/choice-of-candidate.js';
import type { CollectionSpec, DenseVectorSpec, StorageKind } from '../store/collection.js';
import { lackingKinds } from '../store/copy-target.js';
import type { ScratchStore } from '../store/beside/scratch-store.js';
import type { VectorSource } from '../store/vector-source.js';
import type { KeptVector } from '../store/storage.js';
import { withGraphSizes } from './graph-variants.js';
import { variantsBeside } from './variants-beside.js';
import { compactVariants, configsOf, fullVariants, type Variant } from './variants.js';
import { checkTrainOptions } from '../select/train-encoder-options.js';
import { checkTrainMemory } from '../select/train-memory.js';

const REDUCTIONS = [16, 8, 4, 2] as const;
const DIM_MIN = 8;

/** Options of `preparePlan` and `runPlan`. */
export interface PlanOptions extends RunOptions {
  /** The store of the collection; it is only read. */
  readonly store: VectorSource;
  /** The store for the temporary collection: the same, or another of the same kind. */
  readonly scratchStore: ScratchStore;
  readonly collection: string;
  readonly vectorName?: string | undefined;
  /**
   * Sizes of the compact space; default: a 16th, an 8th, a quarter and a half of the source's, or of the
   * number of sample points if that is smaller.
   */
  readonly dims?: readonly number[] | undefined;
  readonly kinds: readonly StorageKind[];
  readonly oversamplings: readonly number[];
  /**
   * Numbers of links of each point in the graph (`m` of HNSW). Default: the collection's own, and 8 for vectors and codes
   * so small that links take up a fifth of the memory or more.
   */
  readonly hnswM?: readonly number[] | undefined;
  readonly sampleSize: number;
  /** Number of queries for measuring: held-out points, or at most half of `queries`. */
  readonly queriesCount: number;
  /**
   * Real queries, m x D: some for measuring, the others to train and choose encoders. Default: held-out
   * points.
   */
  readonly queries?: Matrix | undefined;
  /** The objective that chooses encoders, as in `trainEncoder`; relevance needs `draw`. */
  readonly objective?: 'fidelity' | 'relevance' | undefined;
  /** Whether only linear encoders compete, as in `trainEncoder`. */
  readonly linearOnly?: boolean | undefined;
  /** Draws the sample; default: random points. */
  readonly draw?: (() => Promise<DrawnSample>) | undefined;
  readonly scratchName: string;
  /** Metadata that says who created the temporary collection: JSON text for each top-level key. */
  readonly scratchMetadata: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly threads: number;
  /** Time budget in seconds: of the trainings of all sizes together, or of the whole plan if it is a deadline. */
  readonly budgetSeconds?: number | undefined;
  /**
   * Whether the seed alone decides the result (default). If false, the budget is a deadline: what cannot be trained or
   * measured in time is left out, and a note says so.
   */
  readonly deterministic?: boolean | undefined;
}

/** A sample with labels or gains of its rows. */
export interface DrawnSample {
  readonly vectors: Matrix;
  /** A label for each row, below 0 for none. */
  readonly labels?: Int32Array | undefined;
  /** For each query of `PlanOptions.queries`, the gain of rows. */
  readonly gains?: readonly ReadonlyMap<number, number>[] | undefined;
}

/** What a plan will measure. */
export interface PlanSetup {
  readonly spec: CollectionSpec;
  readonly vector: DenseVectorSpec;
  readonly current: KeptVector;
  readonly points: number;
  readonly dims: readonly number[];
  readonly variants: readonly Variant[];
  readonly rows: number;
  readonly samplePoints: number;
  /** How many of the given queries measure, and how many train. Null if no queries were given. */
  readonly givenQueries: { readonly measuring: number; readonly training: number } | null;
  /** Estimated size of the vectors in the temporary collection, in bytes. */
  readonly scratchBytes: number;
  /** Storage kinds that are not measured and why, and limits of the figures. */
  readonly notes: readonly string[];
}

/**
 * Decides what a plan will measure. It writes nothing.
 * @throws NOT_FOUND when the collection or vector does not exist
 * @throws INVALID_ARGUMENT for impossible sizes, unusable queries, or a sample that needs too much memory
 * @throws INVALID_DATA when the collection has too few points
 * @throws UNSUPPORTED for a multivector
 * @throws FORBIDDEN when no temporary collection may be made
 * @example
 * ```ts
 * // Given: Qdrant
 * import { preparePlan } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const setup = await preparePlan({
 *   store,
 *   scratchStore: store,
 *   collection: 'docs',
 *   kinds: ['float32', 'scalar'],
 *   oversamplings: [1, 2],
 *   sampleSize: 400,
 *   queriesCount: 50,
 *   scratchName: 'tldr-plan-docs',
 *   scratchMetadata: {},
 *   seed: 1,
 *   threads: 2,
 * });
 * console.log(setup.dims, setup.scratchBytes);
 * await store.close();
 * ```
 */
export async function preparePlan(options: PlanOptions): Promise<PlanSetup> {
  const { store, scratchStore, collection, oversamplings } = options;
  await scratchStore.checkRights?.();
  const spec = await store.describe(collection);
  const vector = pickVector(spec, options.vectorName);
  const points = await store.count(collection);
  const samplePoints = Math.min(points, options.sampleSize);
  if (options.dims !== undefined) checkDims(options.dims, vector);
  const givenQueries = divideQueries(options, vector);
  if (samplePoints < SPLIT.sampleRowsMin)
    throw new TldrError(
      points < SPLIT.sampleRowsMin ? 'INVALID_DATA' : 'INVALID_ARGUMENT',
      `${samplePoints} points to measure with (${collection} holds ${points}): expected at least ${SPLIT.sampleRowsMin}`,
    );
  const { dims, tooLarge } = trainableDims(options, { vector, samplePoints });
  const current = measurableStorage(scratchStore).of(spec, vector.name);
  const { variants, notes } = variantsOf(options, { vector, current, dims });
  if (tooLarge !== null) notes.unshift(tooLarge);
  if (givenQueries?.training === 0)
    notes.push(
      `fewer than ${2 * SPLIT.heldOutMin - 1} queries: all of them are used to measure, none to train encoders`,
    );
  return {
    spec,
    vector,
    current,
    points,
    dims,
    variants,
    rows: variants.reduce((sum, variant) => sum + configsOf(variant, oversamplings).length, 0),
    samplePoints,
    givenQueries,
    scratchBytes:
      samplePoints *
      variants.reduce((sum, { scratch, componentBytes }) => sum + scratch.dim * componentBytes, 0),
    notes,
  };
}

/** Returns all kinds of storage to measure, and notes on those that are left out. */
function variantsOf(
  { scratchStore, kinds, hnswM: asked }: PlanOptions,
  { vector, current, dims }: Pick<PlanSetup, 'vector' | 'current' | 'dims'>,
): { readonly variants: Variant[]; readonly notes: string[] } {
  const left = lackingKinds(scratchStore.capabilities, kinds);
  const usable = kinds.filter((kind) => !left.includes(kind));
  const notes = left.length === 0 ? [] : [`not measured, this server cannot store them: ${left.join(', ')}`];
  const { beside } = scratchStore;
  if (beside !== undefined) {
    const found = variantsBeside({ vector, current, dims, kinds: usable, asked }, beside);
    return { variants: found.variants, notes: [...notes, ...found.notes] };
  }
  const ofCompact = { distance: vector.distance, hnswM: current.hnswM };
  const variants = withGraphSizes(
    [
      ...fullVariants(vector, current, usable),
      ...dims.flatMap((dim) => compactVariants(dim, ofCompact, usable)),
    ],
    { own: current.hnswM, asked },
  );
  if (usable.includes('uint8')) notes.push(uint8Note(vector));
  if (usable.includes('turbo4')) notes.push(TURBO4_NOTE);
  return { variants, notes };
}

/**
 * Divides given queries into those for measuring and those for training. An encoder would look too good if it
 * were measured with queries that trained or chose it.
 * @throws INVALID_ARGUMENT when the queries have another dimension, or are too few for the objective
 * relevance
 */
function divideQueries(
  { queries, queriesCount, objective, collection }: PlanOptions,
  vector: DenseVectorSpec,
): PlanSetup['givenQueries'] {
  if (queriesCount < 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `queries to measure with: got ${queriesCount}, expected 1 or more`,
    );
  if (queries === undefined) return null;
  if (queries.cols !== vector.dim) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the queries are ${queries.cols}-d, "${vector.name}" of ${collection} is ${vector.dim}-d`,
    );
  }
  const measuring = Math.min(queriesCount, Math.floor(queries.rows / 2));
  const training = queries.rows - measuring;
  if (training >= SPLIT.heldOutMin && measuring >= 1) return { measuring, training };
  if (objective === 'relevance') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `got ${queries.rows} queries, expected at least ${2 * SPLIT.heldOutMin - 1} for relevance: half of them only measure`,
    );
  }
  return { measuring: queries.rows, training: 0 };
}

const TURBO4_NOTE =
  'turbo4: the database stores 4 bits for each value and no vectors beside them; compact vectors are chosen only with rescoring (two-stage), since only the full vectors show later that a point was changed';

function uint8Note(vector: DenseVectorSpec): string {
  return vector.distance === 'dot'
    ? 'uint8 is not measured: bytes cannot hold negative values, and shifting them changes the order of inner products'
    : 'uint8: projected values scaled and rounded to bytes, searched by Euclidean distance, rescored on the full vectors; ' +
        'measured, but never chosen: migrate does not write bytes. Full vectors are not measured as uint8';
}

/**
 * Returns the sizes to measure: the given ones, or the default sizes that this process can train.
 * @throws INVALID_ARGUMENT when a given size, or the smallest default size, needs too much memory
 */
function trainableDims(
  { dims, queries }: PlanOptions,
  { vector, samplePoints }: { readonly vector: DenseVectorSpec; readonly samplePoints: number },
): { readonly dims: number[]; readonly tooLarge: string | null } {
  const check = (dim: number): void => {
    checkTrainOptions({ dim, distance: vector.distance, queries }, vector.dim);
    checkTrainMemory({ rows: samplePoints, inputDim: vector.dim, outputDim: dim });
  };
  if (dims !== undefined) {
    const given = [...new Set(dims)].sort((a, b) => a - b);
    given.forEach(check);
    return { dims: given, tooLarge: null };
  }
  const fitting: number[] = [];
  for (const dim of defaultDims(Math.min(vector.dim, samplePoints))) {
    try {
      check(dim);
      fitting.push(dim);
    } catch (error) {
      // The sizes ascend, so that all later ones need more memory.
      if (fitting.length === 0 || !isTldrError(error, 'INVALID_ARGUMENT')) throw error;
      return { dims: fitting, tooLarge: `${dim} and more dimensions are not measured: ${error.message}` };
    }
  }
  return { dims: fitting, tooLarge: null };
}

/** Returns the default sizes. Few points do not span more directions than their number. */
export function defaultDims(whole: number, reductions: readonly number[] = REDUCTIONS): number[] {
  const sizes = reductions.map((by) => Math.floor(whole / by)).filter((size) => size >= DIM_MIN);
  return sizes.length > 0 ? sizes : [Math.max(1, Math.floor(whole / 2))];
}

function checkDims(dims: readonly number[], vector: DenseVectorSpec): void {
  const wrong = dims.find((dim) => !Number.isSafeInteger(dim) || dim < 1 || dim >= vector.dim);
  if (wrong === undefined && dims.length > 0) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `dims: got ${wrong ?? 'none'}, expected 1 to ${vector.dim - 1} for ${vector.dim}-d vectors`,
  );
}
