/** Each limit of the server's strict mode, so small that requests of the usual size are refused. */
export const STRICT_LIMITS: readonly (readonly [string, object])[] = [
  ['max_query_limit', { max_query_limit: 30 }],
  ['max_timeout', { max_timeout: 1 }],
  ['unindexed_filtering_retrieve', { unindexed_filtering_retrieve: false }],
  ['unindexed_filtering_update', { unindexed_filtering_update: false }],
  ['search_max_hnsw_ef', { search_max_hnsw_ef: 1 }],
  ['search_allow_exact', { search_allow_exact: false }],
  ['search_max_oversampling', { search_max_oversampling: 1 }],
  ['upsert_max_batchsize', { upsert_max_batchsize: 7 }],
  ['search_max_batchsize', { search_max_batchsize: 1 }],
  ['max_collection_vector_size_bytes', { max_collection_vector_size_bytes: 1000 }],
  ['read_rate_limit', { read_rate_limit: 200 }],
  ['write_rate_limit', { write_rate_limit: 100 }],
  ['max_collection_payload_size_bytes', { max_collection_payload_size_bytes: 100 }],
  ['max_points_count', { max_points_count: 10 }],
  ['filter_max_conditions', { filter_max_conditions: 0 }],
  ['condition_max_size', { condition_max_size: 0 }],
  ['max_payload_index_count', { max_payload_index_count: 0 }],
  ['multivector_config', { multivector_config: { many: { max_vectors: 1 } } }],
  ['sparse_config', { sparse_config: { words: { max_length: 1 } } }],
];

/** All of them in one collection. */
export const ALL_LIMITS: Readonly<Record<string, unknown>> = Object.fromEntries(
  STRICT_LIMITS.flatMap(([, settings]) => Object.entries(settings)),
);
