import { TldrError } from '../core/errors.js';
import type { StorageKind } from '../store/collection.js';
import type { Variant } from './variants.js';

/** Links of each point that are tried beside the collection's own number. Chosen. */
const FEWER_LINKS = 8;
/**
 * A vector or code of at most this many bytes for each link is tried with fewer links. The base layer of a graph has
 * 2 m links of about 20 bits at a million points, so that links are then a fifth of the memory or more. Chosen.
 */
const BYTES_PER_LINK_MAX = 20;

/** Bits of a component in what is searched: the vector, or its code. */
const SEARCHED_BITS: Readonly<Record<StorageKind, number>> = {
  float32: 32,
  float16: 16,
  uint8: 8,
  scalar: 8,
  'product-x8': 4,
  'product-x16': 2,
  'product-x32': 1,
  binary: 1,
  'binary-1bit': 1,
  'binary-1.5bit': 1.5,
  'binary-2bit': 2,
  'turbo-1bit': 1,
  'turbo-1.5bit': 1.5,
  'turbo-2bit': 2,
  'turbo-4bit': 4,
  turbo4: 4,
};

/** The numbers of links to try: the collection's own, and those that the user asked for. */
export interface GraphSizes {
  /** Links of each point in the collection's graph; 0 for no graph. */
  readonly own: number;
  /** If absent: the collection's own, and fewer where links take up much of the memory. */
  readonly asked?: readonly number[] | undefined;
}

/**
 * Returns the variants with each number of links of a point in their graphs. The collection as it is, and the vector
 * that only rescores, stay as they are.
 * @throws INVALID_ARGUMENT for a number of links that is not a whole number from 1
 */
export function withGraphSizes(variants: readonly Variant[], { own, asked }: GraphSizes): Variant[] {
  const wrong = asked?.find((m) => !Number.isSafeInteger(m) || m < 1);
  if (wrong !== undefined || asked?.length === 0)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `links of a point (hnswM): got ${wrong ?? 'none'}, expected whole numbers from 1`,
    );
  return variants.flatMap((variant) =>
    variant.kind === 'compact' || variant.kind === 'full'
      ? [...new Set(asked ?? defaultSizes(variant, own))].map((m) => withLinks(variant, m, own))
      : [variant],
  );
}

function defaultSizes({ scratch: { dim }, datatype }: Variant, own: number): number[] {
  if (datatype === 'as configured' || own <= FEWER_LINKS) return [own];
  const bytes = (dim * SEARCHED_BITS[datatype]) / 8;
  return bytes <= BYTES_PER_LINK_MAX * own ? [own, FEWER_LINKS] : [own];
}

function withLinks(variant: Variant, hnswM: number, own: number): Variant {
  if (hnswM === own) return { ...variant, hnswM };
  const { scratch } = variant;
  return { ...variant, hnswM, scratch: { ...scratch, name: `${scratch.name}-m${hnswM}`, hnswM } };
}
