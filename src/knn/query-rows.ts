import { squaredNorm } from '../core/distance.js';
import { matrix, row, rowRange, type Matrix } from '../core/matrix.js';
import { sharedFloats } from '../core/worker-task.js';
import { QUERY_ROWS } from '../hyper-parameters/fit-of-candidates.js';
import { exactTopK, type ExactOptions } from './exact-search-in-worker.js';
import type { KnnGraph } from './graph.js';

/**
 * Returns the rows of x with some queries after them, and with more queries after these, in the same shared memory. At most
 * `QUERY_ROWS.rowsMax` queries are taken, and none of length 0. Each is scaled to the root mean square length of the rows,
 * because its own length does not change its neighbours.
 */
export function joinQueries(x: Matrix, some: Matrix, more: Matrix): readonly [Matrix, Matrix] {
  const kept: Float32Array[] = [];
  const endOf = (queries: Matrix): number => {
    for (let i = 0; i < queries.rows && kept.length < QUERY_ROWS.rowsMax; i++) {
      if (squaredNorm(row(queries, i)) > 0) kept.push(row(queries, i));
    }
    return x.rows + kept.length;
  };
  const [first, rows] = [endOf(some), endOf(more)];
  const joined = matrix(rows, x.cols, sharedFloats(rows * x.cols));
  joined.data.set(x.data);
  const length = Math.sqrt(squaredNorm(x.data) / x.rows);
  kept.forEach((query, i) => {
    const scale = length / Math.sqrt(squaredNorm(query));
    row(joined, x.rows + i).set(query.map((value) => value * scale));
  });
  return [rowRange(joined, 0, first), joined];
}

/**
 * Returns the graph of the first rows of `joined` with the queries that follow them as further rows. The neighbours of a
 * query are its nearest points; no point has a query as its neighbour.
 */
export async function addQueryRows(
  graph: KnnGraph,
  joined: Matrix,
  options: Omit<ExactOptions, 'k' | 'excludeSelf'>,
): Promise<KnnGraph> {
  const { k, rows } = graph;
  const points = rowRange(joined, 0, rows);
  const queries = rowRange(joined, rows, joined.rows);
  const neighbors = new Int32Array(joined.rows * k);
  neighbors.set(graph.neighbors);
  neighbors.set(await exactTopK(points, queries, { ...options, k }), rows * k);
  return { ...graph, rows: joined.rows, neighbors, queryRows: queries.rows };
}
