/** Metadata key of a target that says which level each quantisation belongs to: JSON text of `QuantizationRecord`. */
export const QUANTIZATION_KEY = 'tldr-quantization';

/**
 * A quantisation of the whole collection would also quantise the full vectors of the two-stage layout, and the server
 * cannot switch it off for a single vector. So a target has no quantisation at the collection level: it is written into
 * each vector that is searched. This record tells such vectors from those that have a quantisation of their own.
 */
export interface QuantizationRecord {
  /** Vectors of the target with a quantisation of their own. Every other searched vector has the collection's. */
  readonly own: readonly string[];
  /** The collection's quantisation as JSON text; null for none; undefined if the compact vector has it. */
  readonly collection: string | null | undefined;
}

/** The text of a record as it is stored in the metadata. */
export function recordText({ own, collection }: QuantizationRecord): string {
  return JSON.stringify({ own, collection });
}

/** The record in a text; null if the text has another form, since every user of the server can write metadata. */
export function readRecord(text: string): QuantizationRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const fields = new Map<string, unknown>(Object.entries(value));
  const own = fields.get('own');
  const collection = fields.get('collection');
  if (!Array.isArray(own) || !own.every((name) => typeof name === 'string')) return null;
  const isKnown = collection === undefined || collection === null || typeof collection === 'string';
  return isKnown ? { own, collection } : null;
}
