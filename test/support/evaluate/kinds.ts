import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';

const KINDS = 12;
const SPREAD = 0.3;

/** Rows around some of 12 fixed centres in turn: each number in `from` is one kind of vectors. */
export function rowsOfKinds(
  from: readonly number[],
  { rows, dim, seed }: { readonly rows: number; readonly dim: number; readonly seed: number },
): Matrix {
  const centres = matrix(KINDS, dim);
  const fixed = new Rng(1);
  centres.data.forEach((_, i) => (centres.data[i] = fixed.normal()));
  const rng = new Rng(seed);
  const x = matrix(rows, dim);
  for (let i = 0; i < rows; i++) {
    const centre = row(centres, from[i % from.length]!);
    row(x, i).set(centre.map((value) => value + SPREAD * rng.normal()));
  }
  return x;
}
