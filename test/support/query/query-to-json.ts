/** The parts of REST requests that the generated cases use. The same cases go out over gRPC, by `query-grpc.ts`. */

export type PointId = number | string;
export interface SparseJson {
  readonly indices: readonly number[];
  readonly values: readonly number[];
}
/** What a query compares with: a vector or the id of a point. */
export type ExampleJson = PointId | readonly number[] | SparseJson;

export interface PairJson {
  readonly positive: ExampleJson;
  readonly negative: ExampleJson;
}

export interface RecommendJson {
  readonly positive?: readonly ExampleJson[];
  readonly negative?: readonly ExampleJson[];
  readonly strategy?: 'average_vector' | 'best_score' | 'sum_scores';
}

export type ConditionJson =
  | { readonly key: string; readonly match: { readonly value: number | string | boolean } }
  | { readonly key: string; readonly range: { readonly lt?: number; readonly gte?: number } }
  | { readonly has_id: readonly PointId[] }
  | { readonly has_vector: string }
  | { readonly is_empty: { readonly key: string } }
  | FilterJson;

export interface FilterJson {
  readonly must?: readonly ConditionJson[];
  readonly should?: readonly ConditionJson[];
  readonly must_not?: readonly ConditionJson[];
}

export type ExpressionJson =
  | number
  | string
  | ConditionJson
  | { readonly sum: readonly ExpressionJson[] }
  | { readonly mult: readonly ExpressionJson[] }
  | { readonly neg: ExpressionJson };

export type QueryJson =
  | {
      readonly nearest: ExampleJson;
      readonly mmr?: { readonly diversity?: number; readonly candidates_limit?: number };
    }
  | { readonly recommend: RecommendJson }
  | { readonly discover: { readonly target: ExampleJson; readonly context: readonly PairJson[] } }
  | { readonly context: readonly PairJson[] }
  | { readonly order_by: { readonly key: string; readonly direction?: 'asc' | 'desc' } }
  | { readonly sample: 'random' }
  | { readonly fusion: 'rrf' | 'dbsf' }
  | { readonly rrf: { readonly k?: number } }
  | { readonly formula: ExpressionJson; readonly defaults?: Readonly<Record<string, number>> };

export interface ParamsJson {
  readonly hnsw_ef?: number;
  readonly exact?: boolean;
  readonly indexed_only?: boolean;
  readonly quantization?: { readonly ignore?: boolean; readonly rescore?: boolean };
}

/** Settings that every form of search takes. */
export interface SearchJson {
  readonly using?: string;
  readonly filter?: FilterJson;
  readonly params?: ParamsJson;
  readonly score_threshold?: number;
  readonly limit?: number;
  readonly lookup_from?: { readonly collection: string; readonly vector?: string };
}

export interface StageJson extends SearchJson {
  readonly prefetch?: readonly StageJson[];
  readonly query?: QueryJson;
}

/** What a request says about its answer. */
export interface ResultJson {
  readonly offset?: number;
  readonly with_payload?: boolean | readonly string[];
  readonly with_vector?: boolean | readonly string[];
  readonly group_by?: string;
  readonly group_size?: number;
  readonly with_lookup?: { readonly collection: string };
}

export type RequestJson = StageJson & ResultJson;

/** A request of the older search calls. */
export interface LegacyJson extends SearchJson, ResultJson, RecommendJson {
  readonly vector?:
    readonly number[] | { readonly name: string; readonly vector: readonly number[] | SparseJson };
  readonly target?: ExampleJson;
  readonly context?: readonly PairJson[];
}

/** One call: the path below the collection over REST, the method over gRPC, and its requests. */
export interface QueryCase {
  readonly call: 'query' | 'search' | 'recommend' | 'discover';
  readonly form: 'one' | 'batch' | 'groups';
  /** One for each search of a batch. */
  readonly requests: readonly (RequestJson & LegacyJson)[];
  /** Whether points may share a score, so that the server may return them in any order. */
  readonly ties: boolean;
  /** What it covers, for the test that the generator leaves nothing out. */
  readonly kinds: readonly string[];
}

/** Whether a value is an id. */
export function isId(example: ExampleJson): example is PointId {
  return typeof example === 'number' || typeof example === 'string';
}

/** The path below a collection and the body of a case. */
export function restRequest({ call, form, requests }: QueryCase): {
  readonly path: string;
  readonly body: string;
} {
  const path = `/points/${call}${form === 'one' ? '' : `/${form}`}`;
  return { path, body: JSON.stringify(form === 'batch' ? { searches: requests } : requests[0]) };
}
