import { expectDefined } from '../../src/core/errors.js';
import type { PointCodec } from '../../src/store/copy-target.js';

interface Extra {
  readonly payload: string;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/** Returns everything of a point but one vector, from its bytes. */
export const decodeExtra = (extra: Uint8Array): Extra => JSON.parse(Buffer.from(extra).toString()) as Extra;
/** Returns the bytes of everything of a point but one vector. */
export const encodeExtra = (extra: Extra): Uint8Array => Buffer.from(JSON.stringify(extra));

function floatsOf(extra: Uint8Array, name: string): Float32Array | null {
  const { vectors } = decodeExtra(extra);
  return Object.hasOwn(vectors, name) ? Float32Array.from(expectDefined(vectors[name], 'the vector')) : null;
}

/** Reads and makes `PointBatch.extra`, whose form only this adapter knows. */
export const MEMORY_CODEC: PointCodec = {
  format: 'memory-1',
  pack: (payload) => encodeExtra({ payload, vectors: {} }),
  canonical: (extra, { withoutVectors = [] } = {}) => {
    const { payload, vectors } = decodeExtra(extra);
    const kept = Object.entries(vectors)
      .filter(([name]) => !withoutVectors.includes(name))
      .sort();
    return Buffer.from(JSON.stringify([payload, kept]));
  },
  withoutVector: (extra, name) => {
    const { payload, vectors } = decodeExtra(extra);
    return encodeExtra({
      payload,
      vectors: Object.fromEntries(Object.entries(vectors).filter(([other]) => other !== name)),
    });
  },
  floats: floatsOf,
  vector: floatsOf,
};
