/** Powers of ten, each the double nearest to it. */
const POWERS: Float64Array = Float64Array.from({ length: 309 }, (_, i) => Number(`1e${i}`));
const NICE = 1000;
/** Nine significant digits identify every float32. The integers with nine digits lie between these two. */
const DIGITS_LEAST = 1e8;
const DIGITS_MOST = 1e9;
/** Upper limit for the bytes of a number and its comma. */
const NUMBER_BYTES_MAX = 20;

/**
 * Returns a vector as a JSON array. Its numbers must be finite. They read back as the same float32, with few
 * decimals if possible, otherwise with nine digits.
 */
export function float32ArrayJson(values: Float32Array): Buffer {
  const out = Buffer.allocUnsafe(2 + values.length * NUMBER_BYTES_MAX);
  out[0] = 0x5b;
  let at = 1;
  for (let i = 0; i < values.length; i++) {
    if (i > 0) out[at++] = 0x2c;
    at = writeNumber(values[i]!, out, at);
  }
  out[at++] = 0x5d;
  return out.subarray(0, at);
}

/** Writes a number and returns the offset behind it. */
function writeNumber(value: number, out: Buffer, start: number): number {
  const nice = Math.round(value * NICE) / NICE;
  if (Math.fround(nice) === value && Math.abs(nice) < 2 ** 24)
    return start + out.write(String(nice), start, 'latin1');
  const size = Math.abs(value);
  let power = 9;
  while (shifted(size, power) < DIGITS_LEAST) power++;
  while (shifted(size, power) >= DIGITS_MOST) power--;
  let at = start;
  if (value < 0) out[at++] = 0x2d;
  at = writeDigits(Math.round(shifted(size, power)), out, at);
  out[at++] = 0x65;
  if (power > 0) out[at++] = 0x2d;
  return writeDigits(Math.abs(power), out, at);
}

function shifted(value: number, power: number): number {
  return power < 0 ? value / POWERS[-power]! : value * POWERS[power]!;
}

/** Writes a whole number below 2^31 and returns the offset behind it. */
function writeDigits(value: number, out: Buffer, start: number): number {
  let count = value < DIGITS_LEAST ? 1 : 9;
  while (value >= POWERS[count]!) count++;
  let rest = value | 0;
  for (let at = start + count - 1; at >= start; at--) {
    const tenth = (rest / 10) | 0;
    out[at] = 0x30 + rest - tenth * 10;
    rest = tenth;
  }
  return start + count;
}
