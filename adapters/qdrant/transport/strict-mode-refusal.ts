import { CallError } from './call-error.js';

/**
 * Thrown for a request that a collection's strict mode never allows in this form, however long the client
 * waits.
 */
export class StrictRefusal extends CallError {
  constructor(
    message: string,
    /** The setting of `strict_mode_config`. */
    readonly limit: string,
  ) {
    super('UNSUPPORTED', message, { safe: false });
  }
}

/** The server's name of an exceeded quantity, and the setting that limits it. */
const EXCEEDED: Readonly<Record<string, string>> = {
  limit: 'max_query_limit',
  timeout: 'max_timeout',
  hnsw_ef: 'search_max_hnsw_ef',
  oversampling: 'search_max_oversampling',
  'upsert limit': 'upsert_max_batchsize',
};

const REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/Exact search disabled/, 'search_allow_exact'],
  [/global vector indexing is disabled/, 'search_allow_exact'],
  [/Filter condition limit reached/, 'filter_max_conditions'],
  [/Condition size limit reached/, 'condition_max_size'],
  [/Max vector storage size limit/, 'max_collection_vector_size_bytes'],
  [/Max payload storage size limit/, 'max_collection_payload_size_bytes'],
  [/Max points count limit/, 'max_points_count'],
  [/maximum number of payload indices/, 'max_payload_index_count'],
  [/Sparse vector .* has a limit of/, 'sparse_config'],
  [/Multivector .* has a limit of/, 'multivector_config'],
  [/Read rate limit exceeded, request larger than rate limiter capacity/, 'read_rate_limit'],
  [/Write rate limit exceeded, request larger than rate limiter capacity/, 'write_rate_limit'],
];
const READING = /\/(scroll|query|search|count|facet|groups|batch|Scroll|Query|Search|Count|Facet)\b/;

/** Returns the error of a call that strict mode refused; null if something else refused it. */
export function strictRefusal(text: string, call: string): StrictRefusal | null {
  const limit = limitOf(text, call);
  if (limit === null) return null;
  return new StrictRefusal(`${call}: refused by ${limit} of the collection's strict mode: ${text}`, limit);
}

function limitOf(text: string, call: string): string | null {
  const exceeded = /Limit exceeded \S+ > \S+ for "([a-z_ ]+)"/.exec(text)?.[1];
  if (exceeded !== undefined && Object.hasOwn(EXCEEDED, exceeded)) return EXCEEDED[exceeded] ?? null;
  if (text.includes('Index required but not found'))
    return READING.test(call) ? 'unindexed_filtering_retrieve' : 'unindexed_filtering_update';
  return REFUSALS.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
