/** The k nearest neighbours of every row of a matrix. The row itself is excluded, by its index. */
export interface KnnGraph {
  readonly rows: number;
  readonly k: number;
  /** rows x k row indices, nearest first, -1 if there are fewer. */
  readonly neighbors: Int32Array;
  readonly method: 'exact' | 'reduced' | 'hnsw';
  /** Share of the true neighbours found, measured for a random part of the rows; 1 for exact search. */
  readonly recall: number;
  /** How many of the rows, at the end, are queries (`addQueryRows`); none if absent. */
  readonly queryRows?: number;
}
