import { normalizeRowsInPlace, squaredNorm, type Distance } from '../core/distance.js';
import { columnMeans, row, rowsPerBlock, subtractFromRowsInPlace, type Matrix } from '../core/matrix.js';
import { createNativeMatmul } from '../encoder/native-matmul.js';
import { TopK } from './top-k.js';

/** The input of an exact search; base and queries may lie in shared memory. */
export interface ExactTask {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly k: number;
  readonly distance: Distance;
  /** The queries are the base, and row i is no neighbour of query i. */
  readonly excludeSelf: boolean;
  readonly threads: number;
}

export interface ExactControl {
  readonly throwIfStopped: () => void;
  /** Receives the share of the work that is done, 0 to 1. */
  readonly onProgress: (share: number) => void;
}

const QUERY_BLOCK_ROWS = 1024;
/**
 * Manhattan distances have no native product. With small blocks, the search can still stop within a second.
 */
const MANHATTAN_QUERY_BLOCK_ROWS = 64;
const BASE_BLOCK_ROWS = 8192;
/**
 * Values in a block of the base. It is large because all query blocks are prepared again for each base block.
 */
const BASE_BLOCK_VALUES = 2 ** 25;

/**
 * Computes the similarities of a block of queries to a block of the base, row-major; larger is nearer. A
 * result is valid until the next call.
 */
interface Comparison {
  readonly queryBlockRows: number;
  compare(queries: Matrix, base: Matrix): Promise<Float32Array | Float64Array>;
  close(): Promise<void>;
}

function manhattanComparison(): Comparison {
  const similarities = new Float64Array(MANHATTAN_QUERY_BLOCK_ROWS * BASE_BLOCK_ROWS);
  return {
    queryBlockRows: MANHATTAN_QUERY_BLOCK_ROWS,
    compare: (queries, base) => {
      for (let i = 0; i < queries.rows; i++) {
        const a = row(queries, i);
        for (let j = 0; j < base.rows; j++) {
          similarities[i * base.rows + j] = -manhattanDistance(a, base.data, j * base.cols);
        }
      }
      return Promise.resolve(similarities);
    },
    close: () => Promise.resolve(),
  };
}

/** Sum of |a - b| in float64, b being the row of `data` that begins at `at`. */
function manhattanDistance(a: Float32Array, data: Float32Array, at: number): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += Math.abs(a[k]! - data[at + k]!);
  return sum;
}

/** Inner products, or for Euclid 2 a.b - |b|^2: the negative squared distance up to a constant per query. */
async function productComparison(euclid: boolean, threads: number): Promise<Comparison> {
  const product = await createNativeMatmul({
    transposeB: true,
    alpha: euclid ? 2 : 1,
    bias: euclid,
    threads,
  });
  return {
    queryBlockRows: QUERY_BLOCK_ROWS,
    compare: async (queries, base) => {
      const bias = euclid
        ? Float32Array.from({ length: base.rows }, (_, i) => -squaredNorm(row(base, i)))
        : undefined;
      return (await product.multiply(queries, base, bias)).data;
    },
    close: () => product.close(),
  };
}

/**
 * Returns a function that copies a block and prepares it for comparison. For cosine, rows are normalised. For
 * Euclid, the base's mean is subtracted: distances stay the same, and 2 a.b - |b|^2 loses no digits to
 * cancellation if the data lie far from the origin.
 */
function blocksFor(
  base: Matrix,
  distance: Distance,
): (x: Matrix, start: number, buffer: Float32Array) => Matrix {
  const mean = distance === 'euclid' ? columnMeans(base) : undefined;
  return (x, start, buffer) => {
    const end = Math.min(x.rows, start + buffer.length / x.cols);
    const copy = { rows: end - start, cols: x.cols, data: buffer.subarray(0, (end - start) * x.cols) };
    copy.data.set(x.data.subarray(start * x.cols, end * x.cols));
    if (distance === 'cosine') normalizeRowsInPlace(copy);
    if (mean !== undefined) subtractFromRowsInPlace(copy, mean);
    return copy;
  };
}

/**
 * Finds the k nearest rows of the base for every query, in this thread: m x k row indices, nearest first, -1
 * if the base has fewer rows. If two rows tie, the lower index comes first.
 */
export async function exactSearch(task: ExactTask, control: ExactControl): Promise<Int32Array> {
  const { base, queries, k, distance, excludeSelf, threads } = task;
  const comparison =
    distance === 'manhattan'
      ? manhattanComparison()
      : await productComparison(distance === 'euclid', threads);
  const block = blocksFor(base, distance);
  const queryBlockRows = rowsPerBlock(queries.cols, comparison.queryBlockRows);
  const baseBlockRows = rowsPerBlock(base.cols, BASE_BLOCK_ROWS, BASE_BLOCK_VALUES);
  // Reused for every block: for a large graph, new buffers would leave gigabytes to the garbage collector.
  const baseBuffer = new Float32Array(Math.min(baseBlockRows, base.rows) * base.cols);
  const queryBuffer = new Float32Array(Math.min(queryBlockRows, queries.rows) * queries.cols);
  const best = Array.from({ length: queries.rows }, () => new TopK(k));
  // The base is the outer loop: its blocks are larger, and each is prepared only once.
  for (let b = 0; b < base.rows; b += baseBlockRows) {
    const baseBlock = block(base, b, baseBuffer);
    for (let q = 0; q < queries.rows; q += queryBlockRows) {
      const queryBlock = block(queries, q, queryBuffer);
      control.throwIfStopped();
      const similarities = await comparison.compare(queryBlock, baseBlock);
      for (let i = 0; i < queryBlock.rows; i++) {
        offerRow(best[q + i]!, similarities.subarray(i * baseBlock.rows, (i + 1) * baseBlock.rows), {
          first: b,
          self: excludeSelf ? q + i : -1,
        });
      }
      control.onProgress((b + (baseBlock.rows * (q + queryBlock.rows)) / queries.rows) / base.rows);
    }
  }
  await comparison.close();
  const found = new Int32Array(queries.rows * k);
  best.forEach((top, q) => top.drain(found, q * k));
  return found;
}

function offerRow(
  top: TopK,
  similarities: Float32Array | Float64Array,
  { first, self }: { first: number; self: number },
): void {
  let threshold = top.threshold;
  for (let j = 0; j < similarities.length; j++) {
    const similarity = similarities[j]!;
    if (similarity < threshold || first + j === self) continue;
    top.push(first + j, similarity);
    threshold = top.threshold;
  }
}
