import * as v from 'valibot';
import { jsonOrNull } from '../../../src/core/check-schema.js';
import type { DenseVectorSpec } from '../../../src/store/collection.js';
import { num, numberAt, objectAt, type JsonObject } from '../transport/json.js';
import { mergedIndex } from './vector-storage.js';

/** Key of the target's metadata for the limits that the migration changed: JSON text of `Thresholds`. */
export const THRESHOLDS_KEY = 'tldr-thresholds';
/** The smallest `full_scan_threshold` that the server accepts. */
export const FULL_SCAN_THRESHOLD_MIN_KB = 10;

/**
 * A changed limit: kilobytes, or bytes for the size of all vectors. `source`: null if the vector had no own
 * setting.
 */
export interface Threshold {
  readonly source: number | null;
  readonly target: number;
}

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const THRESHOLD = v.object({ source: v.nullable(COUNT), target: COUNT });

const NAMES = [
  'indexing_threshold',
  'full_scan_threshold',
  'vector_full_scan_threshold',
  'max_collection_vector_size_bytes',
] as const;

/**
 * The limits that a migration changed:
 * - It lowers `indexing_threshold` of the optimizer.
 * - It lowers `full_scan_threshold` in the collection's index settings, or in the vector's own settings if
 *   the
 *   collection's apply to other vectors too.
 * - It raises `max_collection_vector_size_bytes` of strict mode.
 */
export type Thresholds = Readonly<Partial<Record<(typeof NAMES)[number], Threshold>>>;

/** The reduced vector and all dense vectors of source and target. */
export interface Reduction {
  readonly reduced: DenseVectorSpec;
  readonly compact: DenseVectorSpec;
  readonly before: readonly DenseVectorSpec[];
  readonly after: readonly DenseVectorSpec[];
}

/**
 * Returns the limits that the target reaches with as many points as the source. The server compares these
 * limits with kilobytes of vectors. A segment below `indexing_threshold` gets no graph. Below
 * `full_scan_threshold`, a segment, or the part of it that a filter selects, is searched by full scan. A
 * vector of a sixteenth of the size reaches the source's limits only with sixteen times the points, and would
 * be searched without a graph where the source uses one.
 *
 * @param full the reduced vector's settings in the source
 */
export function thresholdsOf(native: JsonObject, full: JsonObject, reduction: Reduction): Thresholds {
  const { reduced, compact, before, after } = reduction;
  const indexing = numberAt(native, 'optimizer_config', 'indexing_threshold');
  const own = numberAt(full, 'hnsw_config', 'full_scan_threshold');
  const fullScan = numberAt(mergedIndex(native, full), 'full_scan_threshold');
  const least = FULL_SCAN_THRESHOLD_MIN_KB;
  const fewer = scaled(indexing, largest(after) / largest(before), 1);
  const scanned = scaled(fullScan, bytesOf(compact) / bytesOf(reduced), least);
  const alone = own === undefined && before.length === 1;
  return {
    ...(fewer !== null && { indexing_threshold: { source: indexing ?? null, target: fewer } }),
    ...(scanned !== null && {
      [alone ? 'full_scan_threshold' : 'vector_full_scan_threshold']: {
        source: (alone ? fullScan : own) ?? null,
        target: scanned,
      },
    }),
  };
}

/**
 * Returns the size of all vectors that strict mode allows in the target, raised so that the additional
 * compact vector does not lower the number of points that fit; null if the limit stays.
 */
export function vectorSizeLimit(native: JsonObject, { reduced, compact }: Reduction): Threshold | null {
  const source = numberAt(native, 'strict_mode_config', 'max_collection_vector_size_bytes');
  if (source === undefined) return null;
  const target = Math.ceil(source * (1 + bytesOf(compact) / bytesOf(reduced)));
  return Number.isSafeInteger(target) ? { source, target } : null;
}

/** Writes the limits into the settings of the collection and of its reduced vector. */
export function applyThresholds(thresholds: Thresholds, native: JsonObject, compact: JsonObject): void {
  const set = (at: JsonObject, block: string, name: string, threshold: Threshold | undefined): void => {
    if (threshold !== undefined) at[block] = { ...objectAt(at, block), [name]: num(threshold.target) };
  };
  set(native, 'optimizer_config', 'indexing_threshold', thresholds.indexing_threshold);
  set(native, 'hnsw_config', 'full_scan_threshold', thresholds.full_scan_threshold);
  set(compact, 'hnsw_config', 'full_scan_threshold', thresholds.vector_full_scan_threshold);
  const { max_collection_vector_size_bytes: vectorSize } = thresholds;
  set(native, 'strict_mode_config', 'max_collection_vector_size_bytes', vectorSize);
}

/** Returns the limits in a text; none for another form, since every user of the server can write metadata. */
export function readThresholds(text: string): Thresholds {
  const all = jsonOrNull(v.record(v.string(), v.unknown()), text);
  const read: Record<string, Threshold> = {};
  for (const name of NAMES) if (v.is(THRESHOLD, all?.[name])) read[name] = all[name];
  return read;
}

/** Returns the bytes of a vector; unknown for a multivector, whose size differs from point to point. */
function bytesOf({ dim, componentBytes, multivector }: DenseVectorSpec): number {
  return multivector ? Infinity : dim * componentBytes;
}

/**
 * Returns the bytes of the largest vector: the server compares limits with the largest vector of a segment.
 */
function largest(vectors: readonly DenseVectorSpec[]): number {
  return Math.max(...vectors.map(bytesOf));
}

/**
 * Returns a lowered limit; null if it stays. 0 and numbers above the exact range mean "never" to the server.
 */
function scaled(kilobytes: number | undefined, factor: number, least: number): number | null {
  if (kilobytes === undefined || kilobytes === 0 || !Number.isSafeInteger(kilobytes) || !(factor < 1))
    return null;
  const target = Math.max(least, Math.ceil(kilobytes * factor));
  return target < kilobytes ? target : null;
}
