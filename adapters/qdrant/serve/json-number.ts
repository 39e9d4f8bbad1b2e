/** Powers of ten, each the double nearest to it. */
const POWERS: Float64Array = Float64Array.from({ length: 309 }, (_, i) => Number(`1e${i}`));
/** A mantissa of this many digits is exact in float64; further ones can hardly matter to a float32. */
export const MANTISSA_DIGITS = 15;
/** So many of them fit a small integer, which is faster to add to. */
export const HIGH_DIGITS = 9;
/** Up to here a power of ten is exact, and a quotient by it is rounded once. */
const EXACT_POWER = 22;
/** Beyond this the general conversion decides. */
const POWER_MAX = 280;
/** More than the relative error of two roundings in float64. */
const MARGIN = 1e-15;

/**
 * A number that rounds to the same float32 as `mantissa` x 10^`power` does, or NaN where its text has to decide.
 * @param mantissa whole, at most `MANTISSA_DIGITS` digits
 * @param cut whether digits follow that were left out
 */
export function scaledNumber(mantissa: number, power: number, cut: boolean): number {
  if (power > POWER_MAX || power < -POWER_MAX) return Number.NaN;
  const value = power < 0 ? mantissa / POWERS[-power]! : mantissa * POWERS[power]!;
  if (!cut && power <= EXACT_POWER && power >= -EXACT_POWER) return value;
  const next = cut ? mantissa + 1 : mantissa;
  const above = power < 0 ? next / POWERS[-power]! : next * POWERS[power]!;
  // The true value lies between these two: where both round alike, so does it.
  return Math.fround(value * (1 - MARGIN)) === Math.fround(above * (1 + MARGIN)) ? value : Number.NaN;
}

/** The mantissa whose digits were read in two parts. */
export function joinDigits(high: number, low: number, lowDigits: number): number {
  return lowDigits === 0 ? high : high * POWERS[lowDigits]! + low;
}

const NICE = 1000;
const SIGNIFICANT = 9;

/** JSON text of a finite float32 that reads back as the same float32: few decimals where they do, else nine digits. */
export function float32Text(value: number): string {
  const nice = Math.round(value * NICE) / NICE;
  if (Math.fround(nice) === value && Math.abs(nice) < 2 ** 24) return String(nice);
  const power = SIGNIFICANT - 1 - Math.floor(Math.log10(Math.abs(value)));
  const digits = Math.round(power < 0 ? value / POWERS[-power]! : value * POWERS[power]!);
  return power < 0 ? `${digits}e${-power}` : `${digits}e-${power}`;
}

/** A vector as a JSON array. */
export function float32ArrayText(values: Float32Array): string {
  let text = '[';
  for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + float32Text(values[i]!);
  return `${text}]`;
}
