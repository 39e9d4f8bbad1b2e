/** Recall of each query by one method. */
export interface PerQuery {
  readonly name: string;
  readonly values: Float64Array;
}
