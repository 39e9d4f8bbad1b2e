import type { Json } from './json.js';

/** Metadata key of a two-stage target that says whether clients may search exactly: `EXACT_TEXT`. */
export const EXACT_KEY = 'tldr-search-allow-exact';
/** The setting of strict mode. */
export const ALLOW_EXACT = 'search_allow_exact';

/** Texts under `EXACT_KEY`. */
export const EXACT_TEXT = { allowed: 'true', refused: 'false' } as const;

/**
 * Whether clients may search exactly as far as the metadata of a target says. Strict mode without exact searches also
 * refuses every prefetch on a vector without a graph, as the full vector of the two-stage layout. So a target whose
 * source refuses exact searches allows them, and the proxy refuses those of clients.
 */
export function refusesExact(told: Json | undefined): boolean {
  return told === EXACT_TEXT.refused;
}
