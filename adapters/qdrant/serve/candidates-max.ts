import type { CollectionSpec } from '../../../src/core/vector-store.js';
import { numberAt, parseJson } from '../json.js';
import { isStrict } from '../strict-limits.js';

/** Most candidates one request may fetch: a prefetch counts against strict mode's `max_query_limit`. */
export function candidatesMax(spec: CollectionSpec): number {
  const native = parseJson(spec.native);
  if (!isStrict(native)) return Number.POSITIVE_INFINITY;
  return numberAt(native, 'strict_mode_config', 'max_query_limit') ?? Number.POSITIVE_INFINITY;
}
