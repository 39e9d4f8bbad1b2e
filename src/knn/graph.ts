/** The k nearest neighbours of every row of a matrix, the row itself left out by its index. */
export interface KnnGraph {
  readonly rows: number;
  readonly k: number;
  /** rows x k row indices, nearest first, -1 where there are fewer. */
  readonly neighbors: Int32Array;
  readonly method: 'exact' | 'reduced' | 'hnsw';
  /** Share of the true neighbours found, measured on a subsample; 1 for exact search. */
  readonly recall: number;
}
