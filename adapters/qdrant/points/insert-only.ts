import { ProtoWriter } from '../../../src/encoder/protobuf.js';

/**
 * How a server of some version can be told to leave existing points alone. A field it does not know would be
 * ignored without a word and the points replaced, so this is decided by version and never tried.
 */
export type InsertOnly = 'update-filter' | 'update-mode';

/** The way of a version such as `1.16.3`; null before 1.16, which has none. */
export function insertOnlyOf(version: string): InsertOnly | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 1 || minor >= 17) return major >= 1 ? 'update-mode' : null;
  return major === 1 && minor === 16 ? 'update-filter' : null;
}

/**
 * The field of UpsertPoints that says so. update_filter 6: a filter that no point passes (must 2: has_id 3 of
 * nothing) leaves existing points untouched and inserts the others (tried on 1.16). update_mode 8: InsertOnly is 1.
 */
export function insertOnlyField(way: InsertOnly): Uint8Array {
  if (way === 'update-mode') return new ProtoWriter(8).varint(8, 1).finish();
  const hasNoId = new ProtoWriter(8).message(3, new ProtoWriter(8));
  return new ProtoWriter(8).message(6, new ProtoWriter(8).message(2, hasNoId)).finish();
}

/** The same as members of a JSON object, for REST. */
export function insertOnlyJson(way: InsertOnly): string {
  return way === 'update-mode' ? '"update_mode":"insert_only"' : '"update_filter":{"must":[{"has_id":[]}]}';
}
