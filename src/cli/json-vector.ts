import { messageOf, TldrError } from '../core/errors.js';

/**
 * One vector as a JSON array; `what` says where it stands, `dim` how long it must be.
 * @throws INVALID_DATA for anything but numbers that are finite as float32, which 1e39 is not
 */
export function parseVector(json: string, what: string, dim?: number): number[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `${what} is no JSON: ${messageOf(cause)}`, { cause });
  }
  const fits = Array.isArray(value) && value.length > 0 && (dim === undefined || value.length === dim);
  if (!fits || !isFiniteAsFloat32(value as unknown[])) {
    const numbers = dim === undefined ? 'finite numbers' : `${dim} finite numbers`;
    const got = Array.isArray(value) ? `${value.length} items` : value === null ? 'null' : typeof value;
    throw new TldrError('INVALID_DATA', `${what}: expected an array of ${numbers} (float32), got ${got}`);
  }
  return value as number[];
}

function isFiniteAsFloat32(values: readonly unknown[]): boolean {
  return values.every((item) => typeof item === 'number' && Number.isFinite(Math.fround(item)));
}
