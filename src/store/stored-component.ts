import { TldrError } from '../core/errors.js';
import { row, type Matrix } from '../core/matrix.js';
import type { CollectionSpec } from './vector-store.js';

/** The largest float16, and where rounding to one gives infinity: half a step above (IEEE 754 binary16). */
export const FLOAT16_MAX = 65_504;
const FLOAT16_OVERFLOW = 65_520;

/** Bytes of one stored component of a vector. @throws NOT_FOUND where the collection has no such vector */
export function componentBytesOf({ name, vectors }: CollectionSpec, vectorName: string): number {
  const vector = vectors.find((one) => one.name === vectorName);
  if (vector === undefined) throw new TldrError('NOT_FOUND', `${name} has no vector "${vectorName}"`);
  return vector.componentBytes;
}

/** The first component that becomes infinity when it is stored in so many bytes; undefined where all fit. */
export function overflowIn(values: Float32Array, componentBytes: number): number | undefined {
  return componentBytes === 2 ? values.find((value) => Math.abs(value) >= FLOAT16_OVERFLOW) : undefined;
}

/** The first row with such a component; null where there is none. Rows with `has` 0 are not stored. */
export function firstOverflow(
  x: Matrix,
  componentBytes: number,
  has?: Uint8Array,
): { readonly at: number; readonly value: number } | null {
  for (let at = 0; componentBytes === 2 && at < x.rows; at++) {
    const value = has?.[at] === 0 ? undefined : overflowIn(row(x, at), componentBytes);
    if (value !== undefined) return { at, value };
  }
  return null;
}

/** What is said of a projected value that float16 cannot hold. */
export function overflowText(value: number): string {
  return `projects to ${value}, but float16 holds at most ${FLOAT16_MAX.toLocaleString('en-US')}`;
}
