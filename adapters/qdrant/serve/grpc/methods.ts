/** Field numbers of a query message. Fields that the message does not have are absent. */
export interface StageFields {
  readonly collection?: number;
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
  params: 5,
  scoreThreshold: 6,
  limit: 7,
  lookupFrom: 8,
} as const satisfies StageFields;

/** QueryPoints. */
const QUERY = {
  collection: 1,
  prefetch: 2,
  query: 3,
  using: 4,
  params: 6,
  scoreThreshold: 7,
  limit: 8,
  offset: 9,
  withVectors: 10,
  lookupFrom: 14,
} as const satisfies StageFields;

/** QueryPointGroups. */
const QUERY_GROUPS = {
  collection: 1,
  prefetch: 2,
  query: 3,
  using: 4,
  params: 6,
  scoreThreshold: 7,
  withVectors: 9,
  lookupFrom: 10,
  limit: 11,
  groupSize: 12,
  withLookup: 15,
} as const satisfies StageFields;

/**
 * Field numbers of a search, recommendation or discovery of the older interfaces, and of the equivalent
 * query.
 */
export interface LegacyFields {
  readonly kind: 'search' | 'recommend' | 'discover';
  readonly collection: number;
  readonly using: number;
  readonly params: number;
  readonly limit: number;
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
const SEARCH: LegacyFields = {
  kind: 'search',
  collection: 1,
  inputs: [2, 15],
  limit: 4,
  params: 7,
  scoreThreshold: 8,
  using: 10,
  withVectors: 11,
  moved: { 1: 1, 3: 5, 4: 8, 6: 11, 7: 6, 8: 7, 9: 9, 10: 4, 11: 10, 12: 12, 13: 15, 14: 13 },
  query: QUERY,
};

/** SearchPointGroups. */
const SEARCH_GROUPS: LegacyFields = {
  kind: 'search',
  collection: 1,
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
const RECOMMEND: LegacyFields = {
  kind: 'recommend',
  collection: 1,
  inputs: [2, 3, 17, 18, 16],
  limit: 5,
  params: 8,
  scoreThreshold: 9,
  using: 11,
  withVectors: 12,
  lookupFrom: 13,
  moved: { 1: 1, 4: 5, 5: 8, 7: 11, 8: 6, 9: 7, 10: 9, 11: 4, 12: 10, 13: 14, 14: 12, 19: 15, 20: 13 },
  query: QUERY,
};

/** RecommendPointGroups. */
const RECOMMEND_GROUPS: LegacyFields = {
  kind: 'recommend',
  collection: 1,
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
const DISCOVER: LegacyFields = {
  kind: 'discover',
  collection: 1,
  inputs: [2, 3],
  limit: 5,
  params: 7,
  using: 9,
  withVectors: 10,
  lookupFrom: 11,
  moved: { 1: 1, 4: 5, 5: 8, 6: 11, 7: 6, 8: 9, 9: 4, 10: 10, 11: 14, 12: 12, 13: 15, 14: 13 },
  query: QUERY,
};

/** The parts of a method's request that the proxy reads. */
export type MethodRule =
  /**
   * The name of a collection, and perhaps a selector of returned vectors, a vector's name, or a way to count.
   */
  | {
      readonly kind: 'points';
      readonly withVectors?: number;
      readonly using?: number;
      /** The field for an exact count, and its default. */
      readonly exact?: { readonly field: number; readonly otherwise: boolean };
    }
  | { readonly kind: 'query'; readonly fields: StageFields; readonly batch?: true }
  | {
      readonly kind: 'legacy';
      readonly fields: LegacyFields;
      readonly batch?: true;
      /** The method that the query form is sent to. */
      readonly becomes: string;
    }
  /** Points (PointStruct or PointVectors) in a repeated field, with Vectors in `vectors`. */
  | { readonly kind: 'write'; readonly points: number; readonly vectors: number }
  | { readonly kind: 'deleteVectors'; readonly selector: number }
  | { readonly kind: 'updateBatch'; readonly operations: number }
  | { readonly kind: 'vectorName'; readonly name: number }
  | { readonly kind: CollectionRule }
  | { readonly kind: 'pass' };

/** Kinds of requests of the Collections service. */
export type CollectionRule =
  'info' | 'list' | 'create' | 'update' | 'delete' | 'exists' | 'aliases' | 'changeAliases';

const NAMED = { kind: 'points' } as const;
const QUERY_PATH = '/qdrant.Points/Query';
const QUERY_BATCH_PATH = '/qdrant.Points/QueryBatch';
const QUERY_GROUPS_PATH = '/qdrant.Points/QueryGroups';

/** All known methods by path. The collection's name is field 1 of each request that has one. */
export const METHODS: Readonly<Record<string, MethodRule>> = {
  '/qdrant.Points/Upsert': { kind: 'write', points: 3, vectors: 4 },
  '/qdrant.Points/Delete': NAMED,
  '/qdrant.Points/Get': { kind: 'points', withVectors: 5 },
  '/qdrant.Points/UpdateVectors': { kind: 'write', points: 3, vectors: 2 },
  '/qdrant.Points/DeleteVectors': { kind: 'deleteVectors', selector: 4 },
  '/qdrant.Points/SetPayload': NAMED,
  '/qdrant.Points/OverwritePayload': NAMED,
  '/qdrant.Points/DeletePayload': NAMED,
  '/qdrant.Points/ClearPayload': NAMED,
  '/qdrant.Points/CreateFieldIndex': NAMED,
  '/qdrant.Points/DeleteFieldIndex': NAMED,
  '/qdrant.Points/CreateVectorName': { kind: 'vectorName', name: 3 },
  '/qdrant.Points/DeleteVectorName': { kind: 'vectorName', name: 3 },
  '/qdrant.Points/Search': { kind: 'legacy', fields: SEARCH, becomes: QUERY_PATH },
  '/qdrant.Points/SearchBatch': { kind: 'legacy', fields: SEARCH, batch: true, becomes: QUERY_BATCH_PATH },
  '/qdrant.Points/SearchGroups': { kind: 'legacy', fields: SEARCH_GROUPS, becomes: QUERY_GROUPS_PATH },
  '/qdrant.Points/Scroll': { kind: 'points', withVectors: 7 },
  '/qdrant.Points/Recommend': { kind: 'legacy', fields: RECOMMEND, becomes: QUERY_PATH },
  '/qdrant.Points/RecommendBatch': {
    kind: 'legacy',
    fields: RECOMMEND,
    batch: true,
    becomes: QUERY_BATCH_PATH,
  },
  '/qdrant.Points/RecommendGroups': { kind: 'legacy', fields: RECOMMEND_GROUPS, becomes: QUERY_GROUPS_PATH },
  '/qdrant.Points/Discover': { kind: 'legacy', fields: DISCOVER, becomes: QUERY_PATH },
  '/qdrant.Points/DiscoverBatch': {
    kind: 'legacy',
    fields: DISCOVER,
    batch: true,
    becomes: QUERY_BATCH_PATH,
  },
  '/qdrant.Points/Count': { kind: 'points', exact: { field: 3, otherwise: true } },
  '/qdrant.Points/UpdateBatch': { kind: 'updateBatch', operations: 3 },
  '/qdrant.Points/Query': { kind: 'query', fields: QUERY },
  '/qdrant.Points/QueryBatch': { kind: 'query', fields: QUERY, batch: true },
  '/qdrant.Points/QueryGroups': { kind: 'query', fields: QUERY_GROUPS },
  '/qdrant.Points/Facet': NAMED,
  '/qdrant.Points/SearchMatrixPairs': { kind: 'points', using: 5 },
  '/qdrant.Points/SearchMatrixOffsets': { kind: 'points', using: 5 },
  '/qdrant.Collections/Get': { kind: 'info' },
  '/qdrant.Collections/List': { kind: 'list' },
  '/qdrant.Collections/Create': { kind: 'create' },
  '/qdrant.Collections/Update': { kind: 'update' },
  '/qdrant.Collections/Delete': { kind: 'delete' },
  '/qdrant.Collections/UpdateAliases': { kind: 'changeAliases' },
  '/qdrant.Collections/ListCollectionAliases': { kind: 'aliases' },
  '/qdrant.Collections/ListAliases': { kind: 'list' },
  '/qdrant.Collections/CollectionExists': { kind: 'exists' },
  '/qdrant.Collections/CollectionClusterInfo': NAMED,
  '/qdrant.Collections/UpdateCollectionClusterSetup': NAMED,
  '/qdrant.Collections/CreateShardKey': NAMED,
  '/qdrant.Collections/DeleteShardKey': NAMED,
  '/qdrant.Collections/ListShardKeys': NAMED,
  '/qdrant.Snapshots/Create': NAMED,
  '/qdrant.Snapshots/List': NAMED,
  '/qdrant.Snapshots/Delete': NAMED,
  '/qdrant.Snapshots/CreateFull': { kind: 'pass' },
  '/qdrant.Snapshots/ListFull': { kind: 'pass' },
  '/qdrant.Snapshots/DeleteFull': { kind: 'pass' },
  '/qdrant.Qdrant/HealthCheck': { kind: 'pass' },
};
