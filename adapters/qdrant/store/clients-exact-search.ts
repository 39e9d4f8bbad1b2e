import type { Json } from '../transport/json.js';

/** Metadata key of a two-stage target: whether clients may search exactly (`EXACT_TEXT`). */
export const EXACT_KEY = 'tldr-search-allow-exact';
/** The setting of strict mode. */
export const ALLOW_EXACT = 'search_allow_exact';

/** Texts under `EXACT_KEY`. */
export const EXACT_TEXT = { allowed: 'true', refused: 'false' } as const;

/**
 * Returns whether clients must not search exactly, according to a target's metadata. If strict mode forbids
 * exact searches, the server also refuses a prefetch on a vector without a graph, such as the full vector of
 * the two-stage layout. If the source forbids them, the target therefore allows them, and the proxy refuses
 * those of clients.
 */
export function refusesExact(told: Json | undefined): boolean {
  return told === EXACT_TEXT.refused;
}
