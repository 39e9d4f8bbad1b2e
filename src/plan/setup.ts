import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { pickVector } from '../store/pick-vector.js';
import type { RunOptions } from '../core/run.js';
import type { CollectionSpec, DenseVectorSpec, KeptVector, VectorStore } from '../store/vector-store.js';
import type { StorageKind } from './sizing-row.js';
import { compactVariants, configsOf, fullVariants, type Variant } from './variants.js';
import { SAMPLE_ROWS_MIN } from '../select/split-sample.js';
import { checkTrainMemory } from '../select/train-memory.js';
import { HELD_OUT_MIN } from '../select/train-encoder-options.js';

/** Scratch collections begin with this, and nothing else does. */
export const SCRATCH_PREFIX = 'tldr-plan-';
/** Key of a scratch collection's metadata. */
export const SCRATCH_METADATA = 'tldr-plan';
const REDUCTIONS = [16, 8, 4, 2] as const;
const DIM_MIN = 8;

export interface PlanOptions extends RunOptions {
  /** Holds the collection; only read from. */
  readonly store: VectorStore;
  /** Where the scratch collection is made and removed: the same store, or another of the same kind. */
  readonly scratchStore: VectorStore;
  readonly collection: string;
  readonly vectorName?: string | undefined;
  /** Sizes of the compact space (default: a 16th to a half of the source's). */
  readonly dims?: readonly number[] | undefined;
  readonly kinds: readonly StorageKind[];
  readonly oversamplings: readonly number[];
  readonly sampleSize: number;
  /** Queries to measure with: points held out, or at most a half of `queries`. */
  readonly queriesCount: number;
  /** Real queries, m x D: some measure, the others train and choose encoders. Where absent points are held out. */
  readonly queries?: Matrix | undefined;
  /** What encoders are chosen by, as in `trainEncoder`; relevance needs `draw`. */
  readonly objective?: 'fidelity' | 'relevance' | undefined;
  /** Draws the sample where it is not just random points. */
  readonly draw?: (() => Promise<DrawnSample>) | undefined;
  readonly scratchName: string;
  /** Written to the scratch collection: who made it. JSON text per top-level key. */
  readonly scratchMetadata: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly threads: number;
  /** For training, all sizes together. */
  readonly budgetSeconds?: number | undefined;
}

/** A sample with what its rows are judged by. */
export interface DrawnSample {
  readonly vectors: Matrix;
  /** A label per row, below 0 for none. */
  readonly labels?: Int32Array | undefined;
  /** Per query of `PlanOptions.queries` the gain of rows. */
  readonly gains?: readonly ReadonlyMap<number, number>[] | undefined;
}

/** What will be measured: read-only to make. */
export interface PlanSetup {
  readonly spec: CollectionSpec;
  readonly vector: DenseVectorSpec;
  readonly current: KeptVector;
  readonly points: number;
  readonly dims: readonly number[];
  readonly variants: readonly Variant[];
  readonly rows: number;
  readonly samplePoints: number;
  /** How many of the queries that were given measure, and how many train; null without any. */
  readonly givenQueries: { readonly measuring: number; readonly training: number } | null;
  /** Of the vectors alone, an estimate. */
  readonly scratchBytes: number;
  /** What is left out and why, and what the figures do not say. */
  readonly notes: readonly string[];
}

/**
 * Lays out what a plan will measure; writes nothing.
 * @throws NOT_FOUND, INVALID_ARGUMENT for sizes that cannot be, UNSUPPORTED for a multivector
 */
export async function preparePlan(options: PlanOptions): Promise<PlanSetup> {
  const { store, scratchStore, collection, kinds, oversamplings } = options;
  const spec = await store.describe(collection);
  const vector = pickVector(spec, options.vectorName);
  const dims = checkDims(options.dims ?? defaultDims(vector.dim), vector);
  const givenQueries = divideQueries(options, vector);
  const able = await scratchStore.capabilities();
  const canKeep = (kind: StorageKind): boolean =>
    able.datatypes.some((name) => name === kind) || able.quantizations.some((name) => name === kind);
  const usable = kinds.filter(canKeep);
  const current = store.vectorStorage(spec, vector.name);
  const variants = [
    ...fullVariants(vector, current, usable),
    ...dims.flatMap((dim) => compactVariants(dim, vector.distance, usable)),
  ];
  const points = await store.count(collection);
  const samplePoints = Math.min(points, options.sampleSize);
  if (samplePoints < SAMPLE_ROWS_MIN)
    throw new TldrError(
      points < SAMPLE_ROWS_MIN ? 'INVALID_DATA' : 'INVALID_ARGUMENT',
      `${samplePoints} points to measure with (${collection} holds ${points}): expected at least ${SAMPLE_ROWS_MIN}`,
    );
  checkTrainMemory({ rows: samplePoints, inputDim: vector.dim, outputDim: Math.max(...dims) });
  const notes: string[] = [];
  const left = kinds.filter((kind) => !canKeep(kind));
  if (left.length > 0) notes.push(`left out, this server cannot keep them: ${left.join(', ')}`);
  if (usable.includes('uint8')) notes.push(uint8Note(vector));
  if (givenQueries?.training === 0)
    notes.push(
      `fewer than ${2 * HELD_OUT_MIN - 1} queries: all of them measure, encoders are trained without`,
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

/**
 * A query that trained or chose an encoder would flatter it: those that measure are kept from it.
 * @throws INVALID_ARGUMENT for queries that do not fit, or too few to judge relevance by
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
  if (training >= HELD_OUT_MIN && measuring >= 1) return { measuring, training };
  if (objective === 'relevance') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `got ${queries.rows} queries, expected at least ${2 * HELD_OUT_MIN - 1} to judge relevance by: a half of them measures`,
    );
  }
  return { measuring: queries.rows, training: 0 };
}

function uint8Note(vector: DenseVectorSpec): string {
  return vector.distance === 'dot'
    ? 'uint8 is left out: bytes cannot hold negative values, and shifting them changes the order of inner products'
    : 'uint8: projected values scaled and rounded to bytes, searched by Euclidean distance, rescored on the full vectors; ' +
        'measured, but never chosen: migrate does not write bytes. Full vectors are not measured as uint8';
}

function defaultDims(dim: number): number[] {
  const sizes = REDUCTIONS.map((by) => Math.floor(dim / by)).filter((size) => size >= DIM_MIN);
  return sizes.length > 0 ? sizes : [Math.max(1, Math.floor(dim / 2))];
}

function checkDims(dims: readonly number[], vector: DenseVectorSpec): number[] {
  const wrong = dims.find((dim) => !Number.isSafeInteger(dim) || dim < 1 || dim >= vector.dim);
  if (wrong !== undefined || dims.length === 0) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `dims: got ${wrong ?? 'none'}, expected 1 to ${vector.dim - 1} for ${vector.dim}-d vectors`,
    );
  }
  return [...new Set(dims)].sort((a, b) => a - b);
}
