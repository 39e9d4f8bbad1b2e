import type { DenseVectorSpec } from '../../src/core/vector-store.js';
import { numberAt, type JsonObject } from './json.js';
import { mergedIndex } from './vector-storage.js';

/** Key of the target's metadata under which stands what was changed: JSON text of `Thresholds`. */
export const THRESHOLDS_KEY = 'tldr-thresholds';
/** The smallest `full_scan_threshold` that the server takes. */
export const FULL_SCAN_THRESHOLD_MIN_KB = 10;

/** In kilobytes; `source` is null where the vector had no setting of its own. */
export interface Threshold {
  readonly source: number | null;
  readonly target: number;
}

/** Those that a migration made smaller. */
export interface Thresholds {
  readonly indexing_threshold?: Threshold;
  readonly full_scan_threshold?: Threshold;
}

/**
 * The server compares these limits with kilobytes of vectors: a segment below `indexing_threshold` gets no graph, and of
 * a segment, or of what a filter leaves of one, every vector is compared below `full_scan_threshold`. A vector of a
 * sixteenth of the size reaches them with sixteen times the points only, and would be searched without a graph where
 * the source has one. So the target gets limits that it reaches with as many points as the source.
 *
 * @param full the reduced vector's settings in the source
 */
export function thresholdsOf(
  native: JsonObject,
  full: JsonObject,
  vectors: {
    readonly reduced: DenseVectorSpec;
    readonly compact: DenseVectorSpec;
    readonly before: readonly DenseVectorSpec[];
    readonly after: readonly DenseVectorSpec[];
  },
): Thresholds {
  const { reduced, compact, before, after } = vectors;
  const fullScan = scaled(
    numberAt(mergedIndex(native, full), 'full_scan_threshold'),
    bytesOf(compact) / bytesOf(reduced),
    FULL_SCAN_THRESHOLD_MIN_KB,
  );
  const indexing = numberAt(native, 'optimizer_config', 'indexing_threshold');
  const fewer = scaled(indexing, largest(after) / largest(before), 1);
  return {
    ...(fullScan !== null && {
      full_scan_threshold: {
        source: numberAt(full, 'hnsw_config', 'full_scan_threshold') ?? null,
        target: fullScan,
      },
    }),
    ...(fewer !== null && { indexing_threshold: { source: indexing ?? null, target: fewer } }),
  };
}

/** Nothing where the text is not of this form. */
export function readThresholds(text: string): Thresholds {
  const read = new Map<string, Threshold>();
  for (const [name, value] of entriesOf(parsed(text))) {
    const { source, target } = Object.fromEntries(entriesOf(value));
    if ((source === null || typeof source === 'number') && typeof target === 'number')
      read.set(name, { source, target });
  }
  const [indexing, fullScan] = [read.get('indexing_threshold'), read.get('full_scan_threshold')];
  return {
    ...(indexing !== undefined && { indexing_threshold: indexing }),
    ...(fullScan !== undefined && { full_scan_threshold: fullScan }),
  };
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

const bytesOf = ({ dim, componentBytes }: DenseVectorSpec): number => dim * componentBytes;

/** The server goes by the largest vector of a segment; nobody knows how large a point's multivector is. */
function largest(vectors: readonly DenseVectorSpec[]): number {
  return Math.max(...vectors.map((vector) => (vector.multivector ? Infinity : bytesOf(vector))));
}

/** A smaller limit, or null where it stays: 0 means never, as do numbers that only look exact. */
function scaled(kilobytes: number | undefined, factor: number, least: number): number | null {
  if (kilobytes === undefined || kilobytes === 0 || !Number.isSafeInteger(kilobytes) || !(factor < 1))
    return null;
  const target = Math.max(least, Math.ceil(kilobytes * factor));
  return target < kilobytes ? target : null;
}
