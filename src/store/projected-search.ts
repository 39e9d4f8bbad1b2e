import type { Layout, SearchRequest } from './vector-store.js';

/** Where a migration's target keeps what a search needs. */
export interface ProjectedTarget {
  readonly layout: Layout;
  /** The vector that clients know; holds the full vectors in the two-stage layout. */
  readonly vector: string;
  /** The vector that holds the reduced ones. */
  readonly compact: string;
}

/** A search of a migration's target by the reduced query alone. */
export function compactSearch(
  target: ProjectedTarget,
  projected: Float32Array,
  limit: number,
): SearchRequest {
  return { vectorName: target.compact, vector: projected, limit };
}

/**
 * A two-stage search: candidates by the reduced query, rescored by the full one, in one request.
 * @param rescore candidates; never fewer than `limit`
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
