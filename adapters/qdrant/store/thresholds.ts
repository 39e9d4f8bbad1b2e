import type { DenseVectorSpec } from '../../../src/store/vector-store.js';
import { num, numberAt, objectAt, type JsonObject } from '../transport/json.js';
import { mergedIndex } from './vector-storage.js';

/** Key of the target's metadata under which stands what was changed: JSON text of `Thresholds`. */
export const THRESHOLDS_KEY = 'tldr-thresholds';
/** The smallest `full_scan_threshold` that the server takes. */
export const FULL_SCAN_THRESHOLD_MIN_KB = 10;

/** In kilobytes, the size of all vectors in bytes; `source` is null where the vector had no setting of its own. */
export interface Threshold {
  readonly source: number | null;
  readonly target: number;
}

const NAMES = [
  'indexing_threshold',
  'full_scan_threshold',
  'vector_full_scan_threshold',
  'max_collection_vector_size_bytes',
] as const;

/**
 * Those that a migration changed: it made smaller `indexing_threshold` of the optimizer, `full_scan_threshold` of the collection's
 * index settings, or where those are not for the reduced vector alone, that of its own; and it made larger strict mode's
 * `max_collection_vector_size_bytes`.
 */
export type Thresholds = Readonly<Partial<Record<(typeof NAMES)[number], Threshold>>>;

/** What is to be reduced, among all dense vectors of both sides. */
export interface Reduction {
  readonly reduced: DenseVectorSpec;
  readonly compact: DenseVectorSpec;
  readonly before: readonly DenseVectorSpec[];
  readonly after: readonly DenseVectorSpec[];
}

/**
 * The server compares these limits with kilobytes of vectors: a segment below `indexing_threshold` gets no graph, and of
 * a segment, or of what a filter leaves of one, every vector is compared below `full_scan_threshold`. A vector of a
 * sixteenth of the size reaches them with sixteen times the points only, and would be searched without a graph where
 * the source has one. So the target gets limits that it reaches with as many points as the source.
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
 * The size of all vectors that strict mode allows, such that a collection with the reduced vector beside the full one
 * reaches it with no fewer points than without; null where it stays.
 */
export function vectorSizeLimit(native: JsonObject, { reduced, compact }: Reduction): Threshold | null {
  const source = numberAt(native, 'strict_mode_config', 'max_collection_vector_size_bytes');
  if (source === undefined) return null;
  const target = Math.ceil(source * (1 + bytesOf(compact) / bytesOf(reduced)));
  return Number.isSafeInteger(target) ? { source, target } : null;
}

/** Writes them into the settings of the collection and of its reduced vector. */
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

/** Nothing where the text is not of this form: anybody who may write to the server may have written it. */
export function readThresholds(text: string): Thresholds {
  const all = new Map(entriesOf(parsed(text)));
  const read: Record<string, Threshold> = {};
  for (const name of NAMES) {
    const { source, target } = Object.fromEntries(entriesOf(all.get(name)));
    if ((source === null || isCount(source)) && isCount(target)) read[name] = { source, target };
  }
  return read;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** Nobody knows how large a point's multivector is. */
function bytesOf({ dim, componentBytes, multivector }: DenseVectorSpec): number {
  return multivector ? Infinity : dim * componentBytes;
}

/** The server goes by the largest vector of a segment. */
function largest(vectors: readonly DenseVectorSpec[]): number {
  return Math.max(...vectors.map(bytesOf));
}

/** A smaller limit, or null where it stays: 0 means never, as do numbers that only look exact. */
function scaled(kilobytes: number | undefined, factor: number, least: number): number | null {
  if (kilobytes === undefined || kilobytes === 0 || !Number.isSafeInteger(kilobytes) || !(factor < 1))
    return null;
  const target = Math.max(least, Math.ceil(kilobytes * factor));
  return target < kilobytes ? target : null;
}
