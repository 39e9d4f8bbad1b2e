import { messageOf, TldrError } from '../core/errors.js';

const SHOWN_CHARS = 40;

/**
 * Reads one vector from a JSON array. `what` names its place in messages, `dim` is the expected length.
 * @throws INVALID_DATA for anything but numbers that are finite as float32 (1e39 is not)
 */
export function parseVector(json: string, what: string, dim?: number): number[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TldrError('INVALID_DATA', `${what} is no JSON: ${messageOf(cause)}`, { cause });
  }
  const fits = Array.isArray(value) && value.length > 0 && (dim === undefined || value.length === dim);
  if (!fits || !(value as unknown[]).every(isFiniteAsFloat32)) {
    const numbers = dim === undefined ? 'finite numbers' : `${dim} finite numbers`;
    throw new TldrError(
      'INVALID_DATA',
      `${what}: expected an array of ${numbers} (float32), got ${described(value)}`,
    );
  }
  return value as number[];
}

/** Describes an unusable value, with its first item that is no finite number. */
function described(value: unknown): string {
  if (!Array.isArray(value)) return value === null ? 'null' : typeof value;
  const items: readonly unknown[] = value;
  const at = items.findIndex((item) => !isFiniteAsFloat32(item));
  const bad = at < 0 ? '' : `, item ${at} being ${JSON.stringify(items[at]).slice(0, SHOWN_CHARS)}`;
  return `${items.length} items${bad}`;
}

function isFiniteAsFloat32(item: unknown): boolean {
  return typeof item === 'number' && Number.isFinite(Math.fround(item));
}
