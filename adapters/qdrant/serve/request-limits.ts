import type { ServedFacts } from '../../../src/store/served.js';
import type { CollectionSpec } from '../../../src/store/vector-store.js';
import { EXACT_KEY, refusesExact } from '../transport/exact-search.js';
import { numberAt, parseJson, valueAt } from '../transport/json.js';
import { isLifted } from '../store/lifted-limits.js';
import { isStrict } from '../transport/strict-limits.js';

/**
 * What strict mode of a target lets clients ask for: most candidates of one request, since a prefetch counts against
 * `max_query_limit`, and whether a search may be exact.
 */
export function requestLimits({
  native: text,
}: CollectionSpec): Pick<ServedFacts, 'candidatesMax' | 'allowsExact'> {
  const native = parseJson(text);
  // Strict mode that is off for a write of the migration is on again a moment later.
  const isOn = isStrict(native) || isLifted(native);
  const limit = isOn ? numberAt(native, 'strict_mode_config', 'max_query_limit') : undefined;
  const isRefused = isOn && refusesExact(valueAt(native, 'metadata', EXACT_KEY));
  return { candidatesMax: limit ?? Number.POSITIVE_INFINITY, allowsExact: !isRefused };
}
