import type { Distance } from '../../../src/core/distance.js';

/** The operators of distances, and their operator classes without the type of the vectors. */
export const OPERATORS: Readonly<Record<Distance, { readonly sign: string; readonly indexClass: string }>> = {
  cosine: { sign: '<=>', indexClass: 'cosine_ops' },
  dot: { sign: '<#>', indexClass: 'ip_ops' },
  euclid: { sign: '<->', indexClass: 'l2_ops' },
  manhattan: { sign: '<+>', indexClass: 'l1_ops' },
};
