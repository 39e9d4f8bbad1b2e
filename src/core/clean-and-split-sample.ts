import { createHash } from 'node:crypto';
import { expectDefined } from './errors.js';
import { checkFinite, gatherRows, row, type Matrix } from './matrix.js';
import { Rng } from './rng.js';

/** `hash.update` takes less than 2 GiB per call. */
const HASHED_VALUES = 2 ** 26;

/** SHA-256, hex, over the float32 bytes of x. */
export function dataFingerprint({ data }: Matrix): string {
  const hash = createHash('sha256');
  for (let start = 0; start < data.length; start += HASHED_VALUES) {
    const { buffer, byteOffset, byteLength } = data.subarray(start, start + HASHED_VALUES);
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}

/** What is unusual about a sample, for the report. */
export interface SampleFacts {
  readonly rows: number;
  readonly zeroRows: number;
  /** Rows equal, bit for bit, to an earlier row. */
  readonly duplicateRows: number;
  /** Columns with one value throughout. */
  readonly constantDims: number;
}

/** A sample cleaned for training: rows that are not zero, each once. */
export interface CleanSample {
  readonly x: Matrix;
  /**
   * For each row of the original, its row in `x`: for a duplicate the row that was kept, for a zero row -1.
   */
  readonly rowOf: Int32Array;
  readonly facts: SampleFacts;
}

/**
 * Returns the sample without zero rows, which have no direction, and without exact duplicates, which would
 * crowd out true neighbours.
 * @throws INVALID_DATA when a row is not finite
 */
export function cleanSample(x: Matrix): CleanSample {
  checkFinite(x, (i) => `row ${i} of the sample`);
  const seen = new Map<string, number>();
  const rowOf = new Int32Array(x.rows).fill(-1);
  const kept: number[] = [];
  let zeroRows = 0;
  for (let i = 0; i < x.rows; i++) {
    const values = row(x, i);
    if (values.every((value) => value === 0)) {
      zeroRows++;
      continue;
    }
    const { buffer, byteOffset, byteLength } = values;
    const key = createHash('md5')
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest('base64');
    const first = seen.get(key);
    rowOf[i] = first ?? kept.length;
    if (first !== undefined) continue;
    seen.set(key, kept.length);
    kept.push(i);
  }
  const facts = {
    rows: x.rows,
    zeroRows,
    duplicateRows: x.rows - zeroRows - kept.length,
    constantDims: countConstantDims(x),
  };
  return { x: kept.length === x.rows ? x : gatherRows(x, kept), rowOf, facts };
}

function countConstantDims(x: Matrix): number {
  let constant = 0;
  for (let j = 0; j < x.cols; j++) {
    const first = x.data[j];
    let i = 1;
    while (i < x.rows && x.data[i * x.cols + j] === first) i++;
    if (i >= x.rows) constant++;
  }
  return constant;
}

/** Row indices in two disjoint parts: `held` random rows for evaluation, the others for training. */
export function splitRows(
  rows: number,
  held: number,
  seed: number,
): { train: Int32Array; heldOut: Int32Array } {
  const order = new Rng(seed).permutation(rows);
  return { train: order.subarray(held), heldOut: order.subarray(0, held) };
}

/** Converts gains to rows of the cleaned sample. A duplicate's gain goes to the row that was kept. */
export function movedGains(
  gains: ReadonlyMap<number, number>,
  rowOf: Int32Array,
): ReadonlyMap<number, number> {
  const moved = new Map<number, number>();
  for (const [row, gain] of gains) {
    const to = rowOf[row] ?? -1;
    if (to >= 0) moved.set(to, Math.max(gain, moved.get(to) ?? 0));
  }
  return moved;
}

/** Converts labels to rows of the cleaned sample. Of several labelled duplicates, the first decides. */
export function movedLabels(
  labels: Int32Array,
  { rowOf, rows }: { readonly rowOf: Int32Array; readonly rows: number },
): Int32Array {
  const moved = new Int32Array(rows).fill(-1);
  for (let i = rowOf.length - 1; i >= 0; i--) {
    const to = expectDefined(rowOf[i], 'the row of the cleaned sample');
    const label = expectDefined(labels[i], 'the label of a row');
    if (to >= 0 && label >= 0) moved[to] = label;
  }
  return moved;
}
