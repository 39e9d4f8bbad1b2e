/** The collection in every request. */
export const COLLECTION = 1;
/** The searches in every batch of searches. */
export const BATCHED_SEARCHES = 2;

/** Field numbers of a query message. Fields that the message does not have are absent. */
export interface StageFields {
  readonly collection?: number;
  readonly filter: number;
  readonly prefetch: number;
  readonly query: number;
  readonly using: number;
  readonly params: number;
  readonly scoreThreshold: number;
  readonly lookupFrom: number;
  readonly limit: number;
  readonly offset?: number;
  readonly groupSize?: number;
  readonly withVectors?: number;
  readonly withLookup?: number;
}

/** PrefetchQuery. */
export const PREFETCH = {
  prefetch: 1,
  query: 2,
  using: 3,
  filter: 4,
  params: 5,
  scoreThreshold: 6,
  limit: 7,
  lookupFrom: 8,
} as const satisfies StageFields;

/** QueryPoints. */
export const QUERY = {
  collection: 1,
  prefetch: 2,
  query: 3,
  using: 4,
  filter: 5,
  params: 6,
  scoreThreshold: 7,
  limit: 8,
  offset: 9,
  withVectors: 10,
  lookupFrom: 14,
} as const satisfies StageFields;

/** QueryPointGroups. */
export const QUERY_GROUPS = {
  collection: 1,
  prefetch: 2,
  query: 3,
  using: 4,
  filter: 5,
  params: 6,
  scoreThreshold: 7,
  withVectors: 9,
  lookupFrom: 10,
  limit: 11,
  groupSize: 12,
  withLookup: 15,
} as const satisfies StageFields;

/** The older interfaces for searches. */
export type LegacyCall = 'search' | 'recommend' | 'discover';

/**
 * Field numbers of a search, recommendation or discovery of the older interfaces, and of the equivalent
 * query.
 */
export interface LegacyFields {
  readonly call: LegacyCall;
  readonly collection: number;
  readonly filter: number;
  readonly using: number;
  readonly params: number;
  readonly limit: number;
  readonly offset?: number;
  readonly groupSize?: number;
  readonly scoreThreshold?: number;
  readonly lookupFrom?: number;
  readonly shardKeys?: number;
  readonly withVectors: number;
  readonly withLookup?: number;
  /**
   * search: floats and sparse_indices; recommend: ids and vectors, positive and negative, and strategy; discover:
   * target and context.
   */
  readonly inputs: readonly number[];
  /** Fields with the same meaning in the query: their number here and there. */
  readonly moved: Readonly<Record<number, number>>;
  readonly query: StageFields;
}

/** SearchPoints. */
export const SEARCH: LegacyFields = {
  call: 'search',
  collection: 1,
  filter: 3,
  inputs: [2, 15],
  limit: 4,
  params: 7,
  scoreThreshold: 8,
  offset: 9,
  using: 10,
  withVectors: 11,
  moved: { 1: 1, 3: 5, 4: 8, 6: 11, 7: 6, 8: 7, 9: 9, 10: 4, 11: 10, 12: 12, 13: 15, 14: 13 },
  query: QUERY,
};

/** SearchPointGroups. */
export const SEARCH_GROUPS: LegacyFields = {
  call: 'search',
  collection: 1,
  filter: 3,
  inputs: [2, 16],
  limit: 4,
  params: 6,
  scoreThreshold: 7,
  using: 8,
  withVectors: 9,
  groupSize: 11,
  withLookup: 13,
  moved: { 1: 1, 3: 5, 4: 11, 5: 8, 6: 6, 7: 7, 8: 4, 9: 9, 10: 13, 11: 12, 12: 14, 13: 15, 14: 16, 15: 17 },
  query: QUERY_GROUPS,
};

/** RecommendPoints. */
export const RECOMMEND: LegacyFields = {
  call: 'recommend',
  collection: 1,
  filter: 4,
  inputs: [2, 3, 17, 18, 16],
  limit: 5,
  params: 8,
  scoreThreshold: 9,
  offset: 10,
  using: 11,
  withVectors: 12,
  lookupFrom: 13,
  moved: { 1: 1, 4: 5, 5: 8, 7: 11, 8: 6, 9: 7, 10: 9, 11: 4, 12: 10, 13: 14, 14: 12, 19: 15, 20: 13 },
  query: QUERY,
};

/** RecommendPointGroups. */
export const RECOMMEND_GROUPS: LegacyFields = {
  call: 'recommend',
  collection: 1,
  filter: 4,
  inputs: [2, 3, 18, 19, 17],
  limit: 5,
  params: 7,
  scoreThreshold: 8,
  using: 9,
  withVectors: 10,
  lookupFrom: 11,
  groupSize: 13,
  withLookup: 15,
  shardKeys: 21,
  moved: {
    1: 1,
    4: 5,
    5: 11,
    6: 8,
    7: 6,
    8: 7,
    9: 4,
    10: 9,
    11: 10,
    12: 13,
    13: 12,
    14: 14,
    15: 15,
    20: 16,
    21: 17,
  },
  query: QUERY_GROUPS,
};

/** DiscoverPoints. */
export const DISCOVER: LegacyFields = {
  call: 'discover',
  collection: 1,
  filter: 4,
  inputs: [2, 3],
  limit: 5,
  params: 7,
  offset: 8,
  using: 9,
  withVectors: 10,
  lookupFrom: 11,
  moved: { 1: 1, 4: 5, 5: 8, 6: 11, 7: 6, 8: 9, 9: 4, 10: 10, 11: 14, 12: 12, 13: 15, 14: 13 },
  query: QUERY,
};
