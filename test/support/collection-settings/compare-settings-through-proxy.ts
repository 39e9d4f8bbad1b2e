import { expect } from '@jest/globals';
import { TRANSPORTS, type Fields, type SettingsPlace, type Transport } from './migrate-and-serve.js';

export const FULL = { size: 32, distance: 'Cosine' };
export const SMALL = { size: 8, distance: 'Dot' };
/** Kilobytes of a compact vector per kilobyte of a full one. */
const SHARE = SMALL.size / FULL.size;
export const SCALAR = { scalar: { type: 'int8', quantile: 0.99, always_ram: true } };
export const PRODUCT = { product: { compression: 'x16' } };
export const BINARY = { binary: { always_ram: true } };

/** Settings that the server goes by for one vector: its own, else those of the collection; and a limit for all. */
interface Effective {
  readonly codes: unknown;
  readonly fullScan: number;
  /** The most that strict mode allows all vectors of the collection to take; null for any. */
  readonly vectorSize: number | null;
}

export interface SettingsChecks {
  /** Both descriptions of a served collection are those of the original. */
  readonly expectSame: (name: string) => Promise<void>;
  /** Changes both sides and expects equal answers. */
  readonly update: (transport: Transport, name: string, change: Fields) => Promise<void>;
  readonly effective: (collection: string, vector: string) => Promise<Effective>;
}

export function fieldsAt(value: unknown, ...path: string[]): Fields {
  return path.reduce((at, key) => (at[key] ?? {}) as Fields, value as Fields);
}

/** The limit that a compact vector reaches with as many points. */
export function limitForCompact(fullScan: number): number {
  const least = 10;
  return Math.min(fullScan, Math.max(least, Math.ceil(fullScan * SHARE)));
}

/** The limit that a collection with compact vectors beside the full ones reaches with as many points. */
export function limitForBoth(vectorSize: number | null): number | null {
  return vectorSize === null ? null : Math.ceil(vectorSize * (1 + SHARE));
}

/** @param originalOf the collection that clients know by this name */
export function settingsChecks(
  { direct, served }: SettingsPlace,
  originalOf: (name: string) => string = (name) => name,
): SettingsChecks {
  return {
    expectSame: async (name) => {
      for (const transport of TRANSPORTS)
        expect({ transport, shown: await served.describe(transport, name) }).toEqual({
          transport,
          shown: await direct.describe(transport, originalOf(name)),
        });
    },
    update: async (transport, name, change) => {
      const expected = await direct.update(transport, originalOf(name), change);
      const answer = await served.update(transport, name, change);
      expect({ transport, change, answer }).toEqual({ transport, change, answer: expected });
    },
    effective: async (collection, vector) => {
      const config = fieldsAt((await direct.rest('GET', collection)).content, 'config');
      const vectors = fieldsAt(config, 'params', 'vectors');
      const params = typeof vectors['size'] === 'number' ? vectors : fieldsAt(vectors, vector);
      const limit = (at: Fields): unknown => fieldsAt(at, 'hnsw_config')['full_scan_threshold'];
      const vectorSize = fieldsAt(config, 'strict_mode_config')['max_collection_vector_size_bytes'];
      return {
        codes: params['quantization_config'] ?? config['quantization_config'] ?? null,
        fullScan: Number(limit(params) ?? limit(config)),
        vectorSize: vectorSize === undefined ? null : Number(vectorSize),
      };
    },
  };
}
