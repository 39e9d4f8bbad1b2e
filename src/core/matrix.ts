import { TldrError } from './errors.js';

/** n x d values in row-major order: the only bulk vector shape of this package. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float32Array;
}

/**
 * A matrix over `data`, or over zeros.
 * @throws INVALID_ARGUMENT when the sizes disagree
 * @example
 * ```ts
 * import { matrix } from 'qdrant-tldr';
 *
 * const twoRows = matrix(2, 3, Float32Array.of(1, 2, 3, 4, 5, 6));
 * ```
 */
export function matrix(
  rows: number,
  cols: number,
  data: Float32Array = new Float32Array(rows * cols),
): Matrix {
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || rows < 0 || cols < 1) {
    throw new TldrError('INVALID_ARGUMENT', `matrix of ${rows} x ${cols}: expected whole, positive sizes`);
  }
  if (data.length !== rows * cols) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `matrix of ${rows} x ${cols}: got ${data.length} values, expected ${rows * cols}`,
    );
  }
  return { rows, cols, data };
}

/** Row `i` as a view of length cols. */
export function row(x: Matrix, i: number): Float32Array {
  return x.data.subarray(i * x.cols, (i + 1) * x.cols);
}

/** Rows `start` (included) to `end` (excluded) as a view. */
export function rowRange(x: Matrix, start: number, end: number): Matrix {
  return { rows: end - start, cols: x.cols, data: x.data.subarray(start * x.cols, end * x.cols) };
}

/** Values in a block that is copied for processing: 32 MiB of float32. */
const BLOCK_VALUES = 2 ** 23;

/** Number of rows to process at once: `most`, or fewer if they would hold more than `values` values. */
export function rowsPerBlock(cols: number, most: number, values = BLOCK_VALUES): number {
  return Math.max(1, Math.min(most, Math.floor(values / cols)));
}

/** A copy of the rows with these indices, in this order. If `data` is passed, it holds the copy. */
export function gatherRows(x: Matrix, indices: ArrayLike<number>, data?: Float32Array): Matrix {
  const out = matrix(indices.length, x.cols, data);
  for (let i = 0; i < indices.length; i++) out.data.set(row(x, indices[i]!), i * x.cols);
  return out;
}

/** Returns x (n x D), or `most` evenly spaced rows of it if it has more. */
export function spacedRows(x: Matrix, most: number): Matrix {
  if (x.rows <= most) return x;
  const every = x.rows / most;
  return gatherRows(
    x,
    Int32Array.from({ length: most }, (_, i) => Math.floor(i * every)),
  );
}

/**
 * One matrix from rows of equal length. Meant for tests and small inputs.
 * @example
 * ```ts
 * import { matrixFromRows } from 'qdrant-tldr';
 *
 * const { rows, cols } = matrixFromRows([[1, 2, 3], [4, 5, 6]]); // 2 and 3
 * ```
 */
export function matrixFromRows(rows: readonly ArrayLike<number>[]): Matrix {
  const cols = rows[0]?.length ?? 1;
  const out = matrix(rows.length, cols);
  rows.forEach((values, i) => {
    if (values.length !== cols) {
      throw new TldrError('INVALID_ARGUMENT', `row ${i} has ${values.length} values, expected ${cols}`);
    }
    out.data.set(values, i * cols);
  });
  return out;
}

/** Matrices stacked on top of each other. */
export function concatRows(parts: readonly Matrix[], cols: number): Matrix {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const out = matrix(rows, cols);
  let offset = 0;
  for (const part of parts) {
    if (part.cols !== cols) {
      throw new TldrError('INVALID_ARGUMENT', `cannot stack ${part.cols} columns on ${cols}`);
    }
    out.data.set(part.data, offset);
    offset += part.data.length;
  }
  return out;
}

/** The exponent bits of a float32. All are set in NaN and infinity, and in no other value. */
const EXPONENT_BITS = 0x7f800000;

/** Index of the first row holding NaN or infinity, or -1. */
export function firstNonFiniteRow(x: Matrix): number {
  const bits = new Int32Array(x.data.buffer, x.data.byteOffset, x.data.length);
  for (let start = 0; start < bits.length; start += x.cols) {
    const end = start + x.cols;
    // Each difference is negative for a finite value and 0 for any other. The AND of all differences
    // therefore stays negative only if every value is finite.
    let common = -1;
    let i = start;
    for (; i + 3 < end; i += 4) {
      common &=
        ((bits[i]! & EXPONENT_BITS) - EXPONENT_BITS) & ((bits[i + 1]! & EXPONENT_BITS) - EXPONENT_BITS);
      common &=
        ((bits[i + 2]! & EXPONENT_BITS) - EXPONENT_BITS) & ((bits[i + 3]! & EXPONENT_BITS) - EXPONENT_BITS);
    }
    for (; i < end; i++) common &= (bits[i]! & EXPONENT_BITS) - EXPONENT_BITS;
    if (common >= 0) return start / x.cols;
  }
  return -1;
}

/**
 * Checks that all values are finite.
 * @param name the name of row i in the message
 * @param fault the message's part after that name
 * @throws INVALID_DATA for the first row that holds NaN or infinity
 */
export function checkFinite(x: Matrix, name: (i: number) => string, fault = 'holds NaN or infinity'): void {
  const bad = firstNonFiniteRow(x);
  if (bad >= 0) throw new TldrError('INVALID_DATA', `${name(bad)} ${fault}`);
}

/**
 * Training refuses larger components: their squares, summed over many dimensions and rows, must stay within
 * float32, whose largest value is about 3.4e38.
 */
const COMPONENT_MAX = 1e15;

/** Index of the first row with a component beyond `COMPONENT_MAX`, or -1. */
export function firstTooLargeRow(x: Matrix): number {
  const at = x.data.findIndex((value) => Math.abs(value) > COMPONENT_MAX);
  return at < 0 ? -1 : Math.floor(at / x.cols);
}

/** The message's part after the name of a row with such a component. */
export const TOO_LARGE_TO_LEARN = 'holds a value beyond 1e15, whose square would overflow';

/**
 * Checks that no component is too large. Rows that are normalised before they are compared do not need it.
 * @throws INVALID_DATA for the first row with a component beyond `COMPONENT_MAX`
 */
export function checkMagnitude(x: Matrix, name: (i: number) => string): void {
  const bad = firstTooLargeRow(x);
  if (bad >= 0)
    throw new TldrError('INVALID_DATA', `${name(bad)} ${TOO_LARGE_TO_LEARN}: repair it or leave it out`);
}

/** If no component reaches this size, squares vanish in float32 and all rows look the same. */
const LARGEST_MIN = 1e-15;

/** @throws INVALID_DATA when all components are so small that their squares vanish */
export function checkNotTiny({ data }: Matrix, name: string): void {
  if (data.some((value) => Math.abs(value) >= LARGEST_MIN)) return;
  throw new TldrError(
    'INVALID_DATA',
    `no value of ${name} reaches 1e-15, so their squares vanish: multiply all vectors by the same factor`,
  );
}

/** Mean of every column, summed in float64; zeros where there are no rows. */
export function columnMeans(x: Matrix): Float64Array {
  const means = new Float64Array(x.cols);
  for (let at = 0; at < x.data.length; at += x.cols) {
    for (let j = 0; j < x.cols; j++) means[j] = means[j]! + x.data[at + j]!;
  }
  return means.map((sum) => sum / Math.max(1, x.rows));
}

/** Subtracts `shift` (length cols) from every row in place, in float64. */
export function subtractFromRowsInPlace(x: Matrix, shift: Float64Array): void {
  for (let at = 0; at < x.data.length; at += x.cols) {
    for (let j = 0; j < x.cols; j++) x.data[at + j] = x.data[at + j]! - shift[j]!;
  }
}

/** The largest difference between components of two vectors of equal length; NaN if any is NaN. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}
