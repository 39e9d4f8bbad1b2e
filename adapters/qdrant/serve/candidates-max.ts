import type { CollectionSpec } from '../../../src/core/vector-store.js';
import { numberAt, objectAt, parseJson, valueAt } from '../json.js';

/** Most candidates one request may fetch: a prefetch counts against strict mode's `max_query_limit`. */
export function candidatesMax(spec: CollectionSpec): number {
  const strict = objectAt(parseJson(spec.native), 'strict_mode_config');
  if (valueAt(strict, 'enabled') !== true) return Number.POSITIVE_INFINITY;
  return numberAt(strict, 'max_query_limit') ?? Number.POSITIVE_INFINITY;
}
