import { TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { StoreKeys } from '../../../src/store/vector-source.js';

/** The largest numeric id. */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Qdrant's order of ids: all numbers ascending, then all UUIDs ascending.
 * @returns negative, zero or positive, as `Array.prototype.sort` expects
 */
export function comparePointIds(a: PointId, b: PointId): number {
  if (typeof a === 'bigint') {
    if (typeof b !== 'bigint') return -1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  if (typeof b === 'bigint') return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Reads an id from its decimal or UUID text.
 * @throws INVALID_ARGUMENT for anything else
 */
export function parsePointId(text: string): PointId {
  if (/^\d{1,20}$/.test(text)) {
    const value = BigInt(text);
    if (value <= U64_MAX) return value;
  }
  const lower = text.toLowerCase();
  if (UUID.test(lower)) return lower;
  throw new TldrError('INVALID_ARGUMENT', `"${text}" is no point id: expected a u64 or a hyphenated UUID`);
}

/** Returns decimal digits or the UUID: what `parsePointId` reads. */
export function formatPointId(id: PointId): string {
  return String(id);
}

/** Ids as text, and their order. */
export const ID_KEYS: Omit<StoreKeys, 'split'> = {
  parse: parsePointId,
  format: formatPointId,
  compare: comparePointIds,
};
