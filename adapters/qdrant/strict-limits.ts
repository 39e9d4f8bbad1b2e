import type { CollectionSpec } from '../../src/core/vector-store.js';
import { numberAt, objectAt, parseJson, type JsonObject } from './json.js';

/** What a collection's strict mode allows; Infinity where it sets no limit. */
export interface StrictLimits {
  /** Most points that a query or a page may ask for. */
  readonly queryPoints: number;
  /** Most points that one request may write. A request takes one token of the write rate for each of its points. */
  readonly upsertPoints: number;
  /** Most points that one request may delete. */
  readonly deletePoints: number;
  readonly reads: IdReads;
}

/**
 * How points are read by id. `Points/Get` takes a token of the read rate for every id. A page of a scroll takes one,
 * and one more for a condition on ids, so that it is used where reads are limited.
 */
export interface IdReads {
  /** Most ids in one request. */
  readonly ids: number;
  readonly byCondition: boolean;
  /** Most ids in a condition; 0 where no condition on ids is allowed. */
  readonly conditionIds: number;
}

export const NO_LIMITS: StrictLimits = {
  queryPoints: Infinity,
  upsertPoints: Infinity,
  deletePoints: Infinity,
  reads: { ids: Infinity, byCondition: false, conditionIds: Infinity },
};

/** The setting of a collection of the product's own: the server may have limits for every new collection. */
export const UNLIMITED: JsonObject = { strict_mode_config: { enabled: false } };

/** A page with a condition on ids takes this many tokens of the read rate. */
const CONDITION_TOKENS = 2;

/** Returns what a collection's strict mode allows. */
export function strictLimits(spec: CollectionSpec): StrictLimits {
  const strict = objectAt(parseJson(spec.native), 'strict_mode_config');
  if (strict['enabled'] !== true) return NO_LIMITS;
  const limit = (name: string): number => numberAt(strict, name) ?? Infinity;
  const [queryPoints, readTokens, writeTokens] = [
    Math.max(1, limit('max_query_limit')),
    Math.max(1, limit('read_rate_limit')),
    Math.max(1, limit('write_rate_limit')),
  ];
  const allowed = limit('filter_max_conditions') >= 1 && readTokens >= CONDITION_TOKENS;
  const conditionIds = allowed ? Math.min(queryPoints, limit('condition_max_size')) : 0;
  const byCondition = readTokens !== Infinity && conditionIds >= 1;
  return {
    queryPoints,
    upsertPoints: Math.max(1, Math.min(limit('upsert_max_batchsize'), writeTokens)),
    deletePoints: writeTokens,
    reads: { ids: byCondition ? conditionIds : readTokens, byCondition, conditionIds },
  };
}
