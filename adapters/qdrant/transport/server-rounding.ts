import { expectDefined } from '../../../src/core/errors.js';
/**
 * The functions here compute how the server reads decimal numbers (serde_json without `float_roundtrip`). It
 * reads up to 19 digits as one integer and rounds it to a double. Then it multiplies or divides by a power of
 * ten and rounds again. The result may be a neighbour of the nearest double. The server also stores payloads
 * as text, so it reads every stored double this way once more.
 */
const POWERS = Array.from({ length: 309 }, (_, i) => Number(`1e${i}`));
const POWER_MAX = 308;
const SIGNIFICAND_MAX = 2 ** 64;
const DIGITS_MAX = 19;
/** Whole numbers below this are exact even with one more digit after the point. */
const WHOLE_MAX = 2 ** 49;
/** From this value on, the server writes an exponent. */
const EXPONENT_MIN = 1e16;
/** Steps to the neighbouring doubles that are tried, the nearest first. */
const NEIGHBOURS = [0, 1, -1, 2, -2, 3, -3, 4, -4];

/** Returns whether the server gives a double back as written, with the shortest text for the double. */
export function isStableDouble(value: number): boolean {
  return (Number.isInteger(value) && Math.abs(value) < WHOLE_MAX) || stored(value) === value;
}

/**
 * Returns decimal text such that a client reads exactly `value` after the server has read, stored and read it
 * again. Returns null if there is no such text, even if a double sent over gRPC would have this effect.
 */
export function textReadAs(value: number): string | null {
  if (Object.is(value, -0)) return '-0.0';
  if (isStableDouble(value)) return shortest(value);
  const kept = storedAs(value);
  // As in `doubleReadAs`.
  if (kept.length === 0) return shortest(value);
  const text = kept.map(textParsedAs).find((found) => found !== null);
  if (text === undefined) return null;
  return value < 0 ? `-${text}` : text;
}

/**
 * Returns the double to send over gRPC such that a client reads exactly `value` after the server has stored
 * it and read it again. gRPC itself transfers doubles exactly. For some values, there is no such double. Then
 * `value` itself is returned: from now on, the source reads it as another value too, and the copy as the same
 * one.
 */
export function doubleReadAs(value: number): number {
  const kept = isStableDouble(value) ? value : storedAs(value)[0];
  if (kept === undefined) return value;
  return value < 0 ? -Math.abs(kept) : kept;
}

/**
 * Returns positive doubles that the server reads as the absolute value after storing them, the nearest first.
 */
function storedAs(value: number): number[] {
  const size = Math.abs(value);
  return NEIGHBOURS.map((offset) => neighbour(size, offset)).filter((kept) => stored(kept) === size);
}

/** Returns the double that the server reads from the shortest text of `value`. */
function stored(value: number): number {
  // Beside the largest double.
  if (!Number.isFinite(value)) return Number.NaN;
  const parts = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(shortest(Math.abs(value)));
  const [, whole = '', fraction = '', exponent = '0'] = expectDefined(parts, 'the digits of a double');
  const digits = whole + fraction;
  const dropped = Math.max(0, digits.replace(/^0+/, '').length - DIGITS_MAX);
  const significand = Number(dropped === 0 ? digits : digits.slice(0, -dropped));
  return Math.sign(value) * scaled(significand, Number(exponent) - fraction.length + dropped);
}

/** Returns significand times a power of ten, in the server's arithmetic. */
function scaled(significand: number, exponent: number): number {
  let [value, power] = [significand, exponent];
  for (; power < -POWER_MAX && value !== 0; power += POWER_MAX) value /= powerOfTen(POWER_MAX);
  return power >= 0 ? value * powerOfTen(power) : value / powerOfTen(-power);
}

function powerOfTen(power: number): number {
  return POWERS[power] ?? Number.POSITIVE_INFINITY;
}

/** Returns text that the server reads as exactly this positive double, or null. */
function textParsedAs(value: number): string | null {
  const digits = shortest(value);
  const magnitude = Math.floor(Math.log10(value));
  const exponents = Array.from({ length: DIGITS_MAX + 1 }, (_, i) => magnitude - DIGITS_MAX + i);
  for (const exponent of exponents) {
    // The nearest integer significand for this exponent; decimal text avoids an overflow on the way.
    const near = Number(shiftedBy(digits, -exponent));
    for (const offset of NEIGHBOURS) {
      const significand = Math.round(neighbour(near, offset));
      if (significand <= 0 || significand >= SIGNIFICAND_MAX) continue;
      if (scaled(significand, exponent) === value) return `${BigInt(significand)}e${exponent}`;
    }
  }
  return null;
}

function shiftedBy(text: string, power: number): string {
  const [mantissa = '', exponent = '0'] = text.split('e');
  return `${mantissa}e${Number(exponent) + power}`;
}

/** Returns the positive double that is `offset` steps away. */
function neighbour(value: number, offset: number): number {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  bits.setBigInt64(0, bits.getBigInt64(0) + BigInt(offset));
  return bits.getFloat64(0);
}

/** Returns the shortest text of a double in the server's form: `1.0`, `1.5e20`. */
function shortest(value: number): string {
  if (Math.abs(value) >= EXPONENT_MIN) return value.toExponential();
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}
