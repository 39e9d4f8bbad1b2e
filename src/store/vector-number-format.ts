import { TldrError } from '../core/errors.js';
import { row, type Matrix } from '../core/matrix.js';
import type { CollectionSpec } from './collection.js';

/** The largest float16. From half a step above it, rounding to float16 gives infinity (IEEE 754 binary16). */
export const FLOAT16_MAX = 65_504;
const FLOAT16_OVERFLOW = 65_520;

/** Returns the bytes of one stored component of a vector. @throws NOT_FOUND when there is no such vector */
export function componentBytesOf({ name, vectors }: CollectionSpec, vectorName: string): number {
  const vector = vectors.find((one) => one.name === vectorName);
  if (vector === undefined) throw new TldrError('NOT_FOUND', `${name} has no vector "${vectorName}"`);
  return vector.componentBytes;
}

/** Returns the first value that becomes infinity when stored in `componentBytes`; undefined if all fit. */
export function overflowIn(values: Float32Array, componentBytes: number): number | undefined {
  return componentBytes === 2 ? values.find((value) => Math.abs(value) >= FLOAT16_OVERFLOW) : undefined;
}

/** Returns the first row with such a value; null if there is none. Rows with `has` 0 are not stored. */
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

/** Returns the part of an error about a projected value that float16 cannot hold. */
export function overflowText(value: number): string {
  return `projects to ${value}, but float16 holds at most ${FLOAT16_MAX.toLocaleString('en-US')}`;
}
