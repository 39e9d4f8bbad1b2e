import { normalizeRowsInPlace } from '../core/distance.js';
import { columnMeans, rowRange, rowsPerBlock, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { createNativeMatmul, type DoubleMatrix, type NativeMatmul } from '../encoder/native-matmul.js';
import { Rng } from '../core/rng.js';
import { sharedFloats, throwIfStopped } from '../core/worker-task.js';
import { WIDE_ROWS } from '../hyper-parameters/fit-of-candidates.js';
import { inverseOfUpper, upperCholesky } from './cholesky.js';
import { closeProducts, decompose, openProducts, orthonormal, type Products } from './largest-eigen.js';

/** Rows minus a shift near their mean, in blocks. Each block is a copy, which the reader may change. */
export interface ShiftedRows {
  readonly rows: number;
  readonly cols: number;
  readonly shift: Float64Array;
  readonly blocks: () => Iterable<ShiftedBlock>;
}

export interface ShiftedBlock {
  /** Rows minus the shift. */
  readonly rows: Matrix;
  /** Mean of the block's rows minus the shift, computed before the differences are rounded to float32. */
  readonly mean: Float64Array;
}

const BLOCK_ROWS = 2048;

/** The rows of x (normalised if `normalize` is set) minus the mean of the first block. */
export function shiftedRows(x: Matrix, normalize: boolean): ShiftedRows {
  const { rows, cols } = x;
  const blockRows = rowsPerBlock(cols, BLOCK_ROWS);
  const read = (start: number): Matrix => {
    throwIfStopped();
    const view = rowRange(x, start, Math.min(rows, start + blockRows));
    const block = { ...view, data: new Float32Array(view.data) };
    if (normalize) normalizeRowsInPlace(block);
    return block;
  };
  const shift = columnMeans(read(0));
  return {
    rows,
    cols,
    shift,
    *blocks() {
      for (let start = 0; start < rows; start += blockRows) {
        const block = read(start);
        const mean = columnMeans(block).map((value, j) => value - shift[j]!);
        subtractFromRowsInPlace(block, shift);
        yield { rows: block, mean };
      }
    },
  };
}

/** The shift becomes a column only if at least this share of its length lies outside the basis. */
const OWN_SHARE_MIN = 1e-6;
/** Eigenvalues of a Gram matrix below this share of the largest are treated as rounding errors. */
const DEPENDENT_MAX = 1e-11;

/**
 * An orthonormal basis, D x width, of the space in which the rows (nearly) lie, computed without any D x D
 * matrix. If there are fewer rows than columns, it spans all rows and some random directions. Otherwise it
 * spans the shift and the dominant subspace of the shifted rows, by block iteration with X^T (X B) (Halko,
 * Martinsson and Tropp 2011).
 */
export async function rowSpaceBasis(x: ShiftedRows, width: number, threads: number): Promise<Matrix> {
  const products = await openProducts(threads);
  const turned = await createNativeMatmul({ threads, transposeA: true });
  try {
    // No intermediate result has a name: each holds D x width values, which can be freed before the next
    // step.
    const basis = await orthonormal(
      fill(
        x.rows < width
          ? await independent(turnedRows(x), products)
          : // One column is reserved for the shift.
            await dominant(x, width - 1, { products, turned }),
        { shift: x.shift, width },
      ),
      products,
    );
    const data = sharedFloats(basis.data.length);
    data.set(basis.data);
    return { rows: x.cols, cols: width, data };
  } finally {
    await turned.close();
    await closeProducts(products);
  }
}

/** The shifted rows as the columns of a matrix, D x n. */
function turnedRows(x: ShiftedRows): DoubleMatrix {
  const data = new Float64Array(x.cols * x.rows);
  let first = 0;
  for (const { rows: block } of x.blocks()) {
    for (let i = 0; i < block.rows; i++) {
      for (let j = 0; j < x.cols; j++) data[j * x.rows + first + i] = block.data[i * x.cols + j]!;
    }
    first += block.rows;
  }
  return { rows: x.cols, cols: x.rows, data };
}

async function dominant(
  x: ShiftedRows,
  width: number,
  { products, turned }: { readonly products: Products; readonly turned: NativeMatmul },
): Promise<DoubleMatrix> {
  let start = rounded(randomColumns(x.cols, width, new Rng(1)));
  let before = 0;
  for (let i = 0; i < WIDE_ROWS.iterationsMax; i++) {
    const image = { rows: x.cols, cols: width, data: new Float64Array(x.cols * width) };
    for (const { rows: block } of x.blocks()) {
      const along = await products.single.multiply(block, start);
      const { data } = await turned.multiply(block, along);
      for (let j = 0; j < data.length; j++) image.data[j] = image.data[j]! + data[j]!;
    }
    let captured = 0;
    for (let j = 0; j < image.data.length; j++) captured += image.data[j]! * start.data[j]!;
    const next = await independent(image, products);
    start = rounded(joined(next, randomColumns(x.cols, width - next.cols, new Rng(i))));
    // The first columns are random and not orthonormal, so their captured variance says nothing.
    if (i > 1 && Math.abs(captured - before) <= WIDE_ROWS.tolerance * Math.abs(captured)) break;
    before = captured;
  }
  return { ...start, data: Float64Array.from(start.data) };
}

const rounded = (columns: DoubleMatrix): Matrix => ({ ...columns, data: Float32Array.from(columns.data) });

/**
 * A nearly orthonormal basis of the columns' span, with fewer columns if some are dependent. Scales `unit` in
 * place.
 */
async function independent(unit: DoubleMatrix, products: Products): Promise<DoubleMatrix> {
  const { plain, transposed } = products;
  scaleColumnsInPlace(unit);
  const gram = await transposed.multiply(unit, unit);
  const factor = upperCholesky(gram);
  if (factor !== null) return plain.multiply(unit, inverseOfUpper(factor));
  const { values, vectors } = decompose(gram, unit.cols);
  const count = values.findIndex((value) => !(value > values[0]! * DEPENDENT_MAX));
  const kept = count < 0 ? unit.cols : count;
  if (kept === 0) return { rows: unit.rows, cols: 0, data: new Float64Array(0) };
  const rotation = new Float64Array(unit.cols * kept);
  for (let i = 0; i < unit.cols; i++) {
    for (let j = 0; j < kept; j++)
      rotation[i * kept + j] = vectors[i * unit.cols + j]! / Math.sqrt(values[j]!);
  }
  return plain.multiply(unit, { rows: unit.cols, cols: kept, data: rotation });
}

/** Scales columns to unit length in place; zero columns stay zero. */
function scaleColumnsInPlace({ cols, data }: DoubleMatrix): void {
  const squares = new Float64Array(cols);
  for (let i = 0; i < data.length; i++) squares[i % cols] = squares[i % cols]! + data[i]! ** 2;
  const scales = squares.map((value) => (value > 0 ? 1 / Math.sqrt(value) : 0));
  for (let i = 0; i < data.length; i++) data[i] = data[i]! * scales[i % cols]!;
}

/** Adds the shift's direction and then random columns to nearly orthonormal ones, up to `width` columns. */
function fill(
  spread: DoubleMatrix,
  { shift, width }: { readonly shift: Float64Array; readonly width: number },
): DoubleMatrix {
  const { rows, cols, data } = spread;
  const own = Float64Array.from(shift);
  for (let pass = 0; pass < 2; pass++) {
    const overlaps = coordinatesOf(own, spread);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) own[i] = own[i]! - overlaps[j]! * data[i * cols + j]!;
    }
  }
  const [length, left] = [lengthOf(shift), lengthOf(own)];
  const withShift =
    cols < width && left > length * OWN_SHARE_MIN
      ? joined(spread, { rows, cols: 1, data: own.map((value) => value / left) })
      : spread;
  return joined(withShift, randomColumns(rows, width - withShift.cols, new Rng(2)));
}

const lengthOf = (a: Float64Array): number => Math.sqrt(a.reduce((sum, value) => sum + value ** 2, 0));

/** Inner product of `values` with each column of a basis. */
export function coordinatesOf(
  values: Float64Array,
  { rows, cols, data }: Matrix | DoubleMatrix,
): Float64Array {
  const sums = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) sums[j] = sums[j]! + values[i]! * data[i * cols + j]!;
  }
  return sums;
}

/** Random columns of about unit length. */
function randomColumns(rows: number, cols: number, rng: Rng): DoubleMatrix {
  const scale = 1 / Math.sqrt(rows);
  return { rows, cols, data: Float64Array.from({ length: rows * cols }, () => rng.normal() * scale) };
}

/** Columns of a, then those of b. */
function joined(a: DoubleMatrix, b: DoubleMatrix): DoubleMatrix {
  if (b.cols === 0) return a;
  const cols = a.cols + b.cols;
  const data = new Float64Array(a.rows * cols);
  for (let i = 0; i < a.rows; i++) {
    data.set(a.data.subarray(i * a.cols, (i + 1) * a.cols), i * cols);
    data.set(b.data.subarray(i * b.cols, (i + 1) * b.cols), i * cols + a.cols);
  }
  return { rows: a.rows, cols, data };
}
