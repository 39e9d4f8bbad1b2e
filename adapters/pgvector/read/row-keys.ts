import { TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { StoreKeys } from '../../../src/store/vector-source.js';

/** A value of one column of a primary key: a whole number, or a text (also of a UUID, in lower case). */
export type KeyPart = bigint | string;

const WHOLE_NUMBER = /^-?\d+$/;
const PARTS = /-?\d+|"(?:[^"\\]|\\.)*"/g;
const LIST = /^\[(?:-?\d+|"(?:[^"\\]|\\.)*")(?:,(?:-?\d+|"(?:[^"\\]|\\.)*"))*\]$/;

/**
 * Returns the id of a row: a bigint for a number, the text itself for a text, and a list as JSON for a key of several
 * columns. A text that reads like a number or like a list is a list of one, so that no two keys share a text.
 */
export function idOfParts(parts: readonly KeyPart[]): PointId {
  const [first] = parts;
  if (parts.length === 1 && typeof first === 'bigint') return first;
  if (parts.length === 1 && typeof first === 'string' && !WHOLE_NUMBER.test(first) && !first.startsWith('['))
    return first;
  return `[${parts.map((part) => (typeof part === 'bigint' ? String(part) : JSON.stringify(part))).join(',')}]`;
}

/** Returns the values of an id, one for each column of its key. @throws INVALID_ARGUMENT for a malformed list */
export function partsOfId(id: PointId): readonly KeyPart[] {
  if (typeof id === 'bigint' || !id.startsWith('[')) return [id];
  if (!LIST.test(id)) throw malformed(id);
  return (id.match(PARTS) ?? []).map((part) => (part.startsWith('"') ? textOf(part, id) : BigInt(part)));
}

function textOf(json: string, id: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    throw malformed(id);
  }
}

function malformed(id: string): TldrError {
  return new TldrError(
    'INVALID_ARGUMENT',
    `"${id}" is not the key of a row: expected a number, a text, or for several columns a list such as [7,"a"]`,
  );
}

/** Orders numbers by value and texts by the bytes of their UTF-8, as the collation "C" does. */
function compareParts(a: KeyPart, b: KeyPart): number {
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (typeof a !== typeof b) return typeof a === 'bigint' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareIds(a: PointId, b: PointId): number {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0;
  const [own, other] = [partsOfId(a), partsOfId(b)];
  for (const [i, part] of own.entries()) {
    const compared = other[i];
    if (compared === undefined) return 1;
    const order = compareParts(part, compared);
    if (order !== 0) return order;
  }
  return own.length - other.length;
}

/** Keys of rows as ids of points. */
export const ROW_KEYS: Pick<StoreKeys, 'parse' | 'format' | 'compare'> = {
  parse: (text) => {
    if (WHOLE_NUMBER.test(text)) return BigInt(text);
    return idOfParts(partsOfId(text));
  },
  format: String,
  compare: compareIds,
};
