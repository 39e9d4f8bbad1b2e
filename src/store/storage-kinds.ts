/** Number formats of a stored vector's components. */
export const DATATYPES = ['float32', 'float16', 'uint8'] as const;
/** A number format of a stored vector's components. */
export type Datatype = (typeof DATATYPES)[number];

/**
 * Quantisations: codes that the database searches in place of the vectors. One byte per component, product
 * codes 8 to 32 times smaller than the vectors, or one bit per component.
 */
export const QUANTIZATIONS = [
  'none',
  'scalar',
  'product-x8',
  'product-x16',
  'product-x32',
  'binary',
] as const;
/** A quantisation, by its name. */
export type Quantization = (typeof QUANTIZATIONS)[number];
