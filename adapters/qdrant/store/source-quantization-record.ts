import * as v from 'valibot';
import { jsonOrNull } from '../../../src/core/check-schema.js';

/** Metadata key of a target for the level of each quantisation: JSON text of `QuantizationRecord`. */
export const QUANTIZATION_KEY = 'tldr-quantization';

/**
 * A quantisation of the whole collection would also quantise the full vectors of the two-stage layout, and the server
 * cannot switch it off for a single vector. So a target has no quantisation at the collection level: it is written into
 * each vector that is searched. This record lists the vectors that have a quantisation of their own.
 */
export interface QuantizationRecord {
  /** Vectors of the target with a quantisation of their own. Every other searched vector has the collection's. */
  readonly own: readonly string[];
  /**
   * The collection's quantisation as JSON text; null for none; undefined if it is that of the compact vector.
   */
  readonly collection: string | null | undefined;
}

const RECORD = v.object({
  own: v.array(v.string()),
  collection: v.nullish(v.string()),
});

/** Returns the text of a record for the metadata. */
export function recordText({ own, collection }: QuantizationRecord): string {
  return JSON.stringify({ own, collection });
}

/** Returns the record in a text; null for another form, since every user of the server can write metadata. */
export function readRecord(text: string): QuantizationRecord | null {
  const record = jsonOrNull(RECORD, text);
  return record && { own: record.own, collection: record.collection };
}
