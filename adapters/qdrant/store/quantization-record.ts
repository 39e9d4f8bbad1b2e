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

/** Returns the text of a record for the metadata. */
export function recordText({ own, collection }: QuantizationRecord): string {
  return JSON.stringify({ own, collection });
}

/** Returns the record in a text; null for another form, since every user of the server can write metadata. */
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
