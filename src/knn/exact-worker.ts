import { parentPort } from 'node:worker_threads';
import { normalizeRowsInPlace, squaredNorm, type Distance } from '../core/distance.js';
import { row, type Matrix } from '../core/matrix.js';
import { createNativeMatmul } from '../core/native-matmul.js';
import { errorMessage, throwIfStopped, workerTask } from '../core/worker-task.js';
import { TopK } from './top-k.js';

/** What exactTopK hands to its worker; base and queries lie in shared memory. */
export interface ExactTask {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly k: number;
  readonly distance: Distance;
  /** The queries are the base: leave row i out of the answer of query i. */
  readonly excludeSelf: boolean;
  readonly threads: number;
}

const QUERY_BLOCK_ROWS = 1024;
const BASE_BLOCK_ROWS = 8192;

function block(x: Matrix, start: number, rows: number, distance: Distance): Matrix {
  const end = Math.min(x.rows, start + rows);
  const copy = { rows: end - start, cols: x.cols, data: new Float32Array((end - start) * x.cols) };
  copy.data.set(x.data.subarray(start * x.cols, end * x.cols));
  if (distance === 'cosine') normalizeRowsInPlace(copy);
  return copy;
}

async function search(task: ExactTask): Promise<Int32Array> {
  const { base, queries, k, distance, excludeSelf, threads } = task;
  const euclid = distance === 'euclid' || distance === 'manhattan';
  const product = await createNativeMatmul({
    transposeB: true,
    alpha: euclid ? 2 : 1,
    bias: euclid,
    threads,
  });
  const found = new Int32Array(queries.rows * k);
  const total = Math.ceil(queries.rows / QUERY_BLOCK_ROWS) * base.rows;
  let done = 0;
  for (let q = 0; q < queries.rows; q += QUERY_BLOCK_ROWS) {
    const queryBlock = block(queries, q, QUERY_BLOCK_ROWS, distance);
    const best = Array.from({ length: queryBlock.rows }, () => new TopK(k));
    for (let b = 0; b < base.rows; b += BASE_BLOCK_ROWS) {
      const baseBlock = block(base, b, BASE_BLOCK_ROWS, distance);
      const bias = euclid
        ? Float32Array.from({ length: baseBlock.rows }, (_, i) => -squaredNorm(row(baseBlock, i)))
        : undefined;
      throwIfStopped();
      const similarities = await product.multiply(queryBlock, baseBlock, bias);
      for (let i = 0; i < queryBlock.rows; i++) {
        offerRow(best[i]!, similarities.data.subarray(i * baseBlock.rows, (i + 1) * baseBlock.rows), {
          first: b,
          self: excludeSelf ? q + i : -1,
        });
      }
      done += baseBlock.rows;
      parentPort?.postMessage({
        kind: 'progress',
        progress: {
          step: 'exact neighbours',
          done: Math.round((done / total) * queries.rows),
          total: queries.rows,
          unit: 'vectors',
        },
      });
    }
    best.forEach((top, i) => top.drain(found, (q + i) * k));
  }
  await product.close();
  return found;
}

function offerRow(
  top: TopK,
  similarities: Float32Array,
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

try {
  const result = await search(workerTask() as ExactTask);
  parentPort?.postMessage({ kind: 'result', result }, [result.buffer as ArrayBuffer]);
} catch (error) {
  parentPort?.postMessage(errorMessage(error));
}
