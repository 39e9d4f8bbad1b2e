import type { Layout } from './collection.js';
import type { SearchRequest } from './search.js';

/** The layout and the vector names of a migration's target, as a search needs them. */
export interface ProjectedTarget {
  readonly layout: Layout;
  /** The vector name that clients know. It holds the full vectors in the two-stage layout. */
  readonly vector: string;
  /** Name of the vector that holds the compact vectors. */
  readonly compact: string;
}

/** Returns a search of a migration's target by the compact query alone. */
export function compactSearch(
  target: ProjectedTarget,
  projected: Float32Array,
  limit: number,
): SearchRequest {
  return { vectorName: target.compact, vector: projected, limit };
}

/**
 * Returns a two-stage search in one request: a prefetch by the compact query, rescored by the full query.
 * @param rescore number of first-stage results; at least `limit` are fetched
 */
export function rescoredSearch(
  target: ProjectedTarget,
  query: { readonly full: Float32Array; readonly projected: Float32Array },
  { limit, rescore }: { readonly limit: number; readonly rescore: number },
): SearchRequest {
  return {
    vectorName: target.vector,
    vector: query.full,
    limit,
    prefetch: {
      vectorName: target.compact,
      vector: query.projected,
      limit: Math.max(rescore, limit),
    },
  };
}
