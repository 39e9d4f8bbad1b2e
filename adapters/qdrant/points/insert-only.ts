import { ProtoWriter } from '../../../src/encoder/protobuf.js';

/**
 * The way in which a server can be told not to overwrite existing points. It is chosen by the server's
 * version and never by trial: a server silently ignores an unknown field and would replace the points.
 */
export type InsertOnly = 'update-filter' | 'update-mode';

/** Returns the way of a version such as `1.16.3`; null before 1.16, which has none. */
export function insertOnlyOf(version: string): InsertOnly | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 1 || minor >= 17) return major >= 1 ? 'update-mode' : null;
  return major === 1 && minor === 16 ? 'update-filter' : null;
}

/**
 * Returns the field of UpsertPoints for insert-only writes. update_filter 6: a filter that matches no point
 * (must 2: has_id 3 without ids) leaves existing points untouched and inserts the others (tried on 1.16).
 * update_mode 8: InsertOnly is 1.
 */
export function insertOnlyField(way: InsertOnly): Uint8Array {
  if (way === 'update-mode') return new ProtoWriter(8).varint(8, 1).finish();
  const hasNoId = new ProtoWriter(8).message(3, new ProtoWriter(8));
  return new ProtoWriter(8).message(6, new ProtoWriter(8).message(2, hasNoId)).finish();
}

/** Returns the members of a JSON object for insert-only writes over REST. */
export function insertOnlyJson(way: InsertOnly): string {
  return way === 'update-mode' ? '"update_mode":"insert_only"' : '"update_filter":{"must":[{"has_id":[]}]}';
}
