/** Powers of ten, each the double nearest to it. */
const POWERS: Float64Array = Float64Array.from({ length: 309 }, (_, i) => Number(`1e${i}`));
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
