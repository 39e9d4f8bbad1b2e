import { expectDefined } from '../../src/core/errors.js';
import type { VectorStore } from '../../src/store/vector-store.js';

interface Rest {
  readonly payload: string;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/** Returns everything of a point but one vector, from its bytes. */
export const decodeExtra = (rest: Uint8Array): Rest => JSON.parse(Buffer.from(rest).toString()) as Rest;
/** Returns the bytes of everything of a point but one vector. */
export const encodeExtra = (rest: Rest): Uint8Array => Buffer.from(JSON.stringify(rest));

function floatsOf(rest: Uint8Array, name: string): Float32Array | null {
  const { vectors } = decodeExtra(rest);
  return Object.hasOwn(vectors, name) ? Float32Array.from(expectDefined(vectors[name], 'the vector')) : null;
}

/** Returns the part of the contract that reads `extra`, whose form only this adapter knows. */
export function opaqueBytes(): Pick<
  VectorStore,
  'packRest' | 'payloadJson' | 'canonicalRest' | 'extraFloats' | 'extraVector' | 'estimateMemory'
> {
  return {
    packRest: (payload) => encodeExtra({ payload, vectors: {} }),
    payloadJson: (rest) => decodeExtra(rest).payload,
    canonicalRest: (rest, { withoutVectors = [] } = {}) => {
      const { payload, vectors } = decodeExtra(rest);
      const kept = Object.entries(vectors)
        .filter(([name]) => !withoutVectors.includes(name))
        .sort();
      return Buffer.from(JSON.stringify([payload, kept]));
    },
    extraFloats: floatsOf,
    extraVector: floatsOf,
    estimateMemory: ({ vectors }, pointCount) => {
      const bytes =
        vectors.reduce((sum, { dim, componentBytes }) => sum + dim * componentBytes, 0) * pointCount;
      return { vectorsRamBytes: bytes, vectorsDiskBytes: 0, indexRamBytes: 0 };
    },
  };
}
