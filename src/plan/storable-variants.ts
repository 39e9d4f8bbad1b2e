import { firstOverflow, overflowText } from '../store/vector-number-format.js';
import type { PlanSample } from './measure-configurations.js';
import { variantData, type PlanEncoders, type Variant } from './variants.js';

/** The variants whose datatype can hold all values of the sample, and a note for each of the others. */
export function storableVariants(
  variants: readonly Variant[],
  sample: PlanSample,
  encoders: PlanEncoders,
): { readonly variants: readonly Variant[]; readonly notes: readonly string[] } {
  const data = variantData(variants, sample, encoders);
  const notes: string[] = [];
  const kept = variants.filter(({ scratch, componentBytes, datatype }) => {
    const stored = data.get(scratch.name);
    if (stored === undefined) return true;
    const { base, queries } = stored;
    const overflow = firstOverflow(base, componentBytes) ?? firstOverflow(queries, componentBytes);
    if (overflow === null) return true;
    notes.push(
      `not measured: ${scratch.dim} ${datatype}, since a vector ${overflowText(overflow.value)}; float32 holds it`,
    );
    return false;
  });
  return { variants: kept, notes };
}
