import type { ServedFacts } from '../../../src/store/served.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import { EXACT_KEY, refusesExact } from '../store/clients-exact-search.js';
import { numberAt, parseJson, valueAt } from '../transport/json.js';
import { isLifted } from '../store/lifted-limits.js';
import { isStrict } from '../transport/strict-mode-limits.js';

/**
 * Returns the limits of a target's strict mode for clients: the most first-stage results of one request,
 * since a prefetch counts against `max_query_limit`, and whether a search may be exact.
 */
export function strictModeSearchLimits({
  native: text,
}: CollectionSpec): Pick<ServedFacts, 'candidatesMax' | 'allowsExact'> {
  const native = parseJson(text);
  // If strict mode is off for a write of the migration, it will soon be on again.
  const isOn = isStrict(native) || isLifted(native);
  const limit = isOn ? numberAt(native, 'strict_mode_config', 'max_query_limit') : undefined;
  const isRefused = isOn && refusesExact(valueAt(native, 'metadata', EXACT_KEY));
  return { candidatesMax: limit ?? Number.POSITIVE_INFINITY, allowsExact: !isRefused };
}
