import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { expectDefined } from '../../src/core/errors.js';
import { Rng } from '../../src/core/rng.js';

/** Vectors of one size, and what they are. */
export interface SizedSet {
  readonly dim: number;
  readonly rows: Matrix;
  /** Whether an embedding model gave the vectors as they are. */
  readonly isReal: boolean;
  /** What the vectors are, for the page: real ones, or made from real ones. */
  readonly about: string;
}

/**
 * Returns sets of half, once and twice the dimensions of real vectors.
 * @param labels a label for each row, such as its source
 */
export function sizedSets(
  real: Matrix,
  { labels, name, seed }: { readonly labels: Int32Array; readonly name: string; readonly seed: number },
): SizedSet[] {
  const half = Math.floor(real.cols / 2);
  const made = [
    {
      rows: turnedAndCut(real, half, new Rng(seed)),
      isReal: false,
      about: `made from ${name}: turned by a random rotation, and cut to the first half of the dimensions`,
    },
    { rows: real, isReal: true, about: `${name}, real embeddings` },
    {
      rows: joinedWithinLabels(real, labels),
      isReal: false,
      about: `made from ${name}: each vector joined with the next one from the same source, which gives twice the dimensions`,
    },
  ];
  return made.map((set) => ({ ...set, dim: set.rows.cols }));
}

/** Returns the first `dim` coordinates of the rows after a random rotation. */
function turnedAndCut(x: Matrix, dim: number, rng: Rng): Matrix {
  const axes = randomAxes(x.cols, dim, rng);
  const turned = matrix(x.rows, dim);
  for (let i = 0; i < x.rows; i++) {
    const values = row(x, i);
    for (const [j, axis] of axes.entries()) turned.data[i * dim + j] = inner(axis, values);
  }
  return turned;
}

/** Returns each row joined with the next row of its label; the last row of a label is joined with its first. */
function joinedWithinLabels(x: Matrix, labels: Int32Array): Matrix {
  const rowsOf = new Map<number, number[]>();
  labels.forEach((label, i) => rowsOf.set(label, [...(rowsOf.get(label) ?? []), i]));
  const joined = matrix(x.rows, 2 * x.cols);
  for (const rows of rowsOf.values())
    for (const [at, i] of rows.entries()) {
      const next = expectDefined(rows[(at + 1) % rows.length], 'a row of the label');
      row(joined, i).set(row(x, i));
      row(joined, i).set(row(x, next), x.cols);
    }
  return joined;
}

/** The first `count` of the axes of a random rotation: random directions, made orthonormal by Gram-Schmidt. */
function randomAxes(dim: number, count: number, rng: Rng): Float64Array[] {
  const axes: Float64Array[] = [];
  while (axes.length < count) {
    const axis = Float64Array.from({ length: dim }, () => rng.normal());
    for (const other of axes) {
      const share = inner(axis, other);
      for (let i = 0; i < dim; i++) axis[i] = axis[i]! - share * other[i]!;
    }
    const norm = Math.sqrt(inner(axis, axis));
    axes.push(axis.map((value) => value / norm));
  }
  return axes;
}

function inner(a: Float64Array, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
