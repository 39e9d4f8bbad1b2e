/** Powers of ten, each the double nearest to it. */
const POWERS: Float64Array = Float64Array.from({ length: 309 }, (_, i) => Number(`1e${i}`));
/** Up to here a mantissa and a power of ten are exact, and their quotient is rounded once. */
const EXACT_DIGITS = 15;
const EXACT_POWER = 22;
/** Beyond these the general conversion decides. */
export const MANTISSA_DIGITS = 19;
const POWER_MAX = 280;
/** More than the relative error of a mantissa of 19 digits accumulated in float64 and scaled once. */
const MARGIN = 2e-15;

/**
 * A number that rounds to the same float32 as mantissa x 10^power does, or NaN where the text has to decide.
 * @param mantissa the first digits, 19 at most, accumulated in float64
 */
export function scaledNumber(mantissa: number, digits: number, power: number): number {
  if (mantissa === 0) return 0;
  if (power > POWER_MAX || power < -POWER_MAX) return Number.NaN;
  const value = power < 0 ? mantissa / POWERS[-power]! : mantissa * POWERS[power]!;
  if (digits <= EXACT_DIGITS && power <= EXACT_POWER && power >= -EXACT_POWER) return value;
  // The true value lies between these two: where both round alike, so does it.
  return Math.fround(value * (1 - MARGIN)) === Math.fround(value * (1 + MARGIN)) ? value : Number.NaN;
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
