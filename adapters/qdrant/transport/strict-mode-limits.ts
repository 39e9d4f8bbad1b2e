import type { CollectionSpec } from '../../../src/store/collection.js';
import { numberAt, objectAt, parseJson, stringifyJson, valueAt, type Json, type JsonObject } from './json.js';
import { StrictRefusal } from './strict-mode-refusal.js';

/** The limits of a collection's strict mode; Infinity for no limit. */
export interface StrictLimits {
  /** The collection's settings of strict mode; empty if it is off. */
  readonly settings: JsonObject;
  /** Most points in a query or a page. */
  readonly queryPoints: number;
  /** Read tokens per minute. A page takes one. */
  readonly readTokens: number;
  /** Write tokens per minute. A request takes one for each of its points. */
  readonly writeTokens: number;
  /** Most points that one request may write. */
  readonly upsertPoints: number;
  /** Most points that one request may delete. */
  readonly deletePoints: number;
  readonly reads: IdReads;
}

/**
 * The way in which points are read by id. `Points/Get` takes one read token for each id. A page of a scroll
 * takes one, and one more for a condition on ids. The scroll is therefore used if reads are limited.
 */
export interface IdReads {
  /** Most ids in one request. */
  readonly ids: number;
  readonly byCondition: boolean;
  /** Most ids in a condition; 0 if no condition on ids is allowed. */
  readonly conditionIds: number;
}

const NO_LIMITS: StrictLimits = {
  settings: {},
  queryPoints: Infinity,
  readTokens: Infinity,
  writeTokens: Infinity,
  upsertPoints: Infinity,
  deletePoints: Infinity,
  reads: { ids: Infinity, byCondition: false, conditionIds: Infinity },
};

/** The setting for the product's own collections, since the server may have default limits for new ones. */
export const UNLIMITED: JsonObject = { strict_mode_config: { enabled: false } };

/** Read tokens of a page with a condition on ids. */
export const CONDITION_TOKENS = 2;
/** Most changes of the limits during a single request. */
const CHANGES_MAX = 5;

/** Returns whether a collection's settings, in the server's form, switch strict mode on. */
export function isStrict(native: Json): boolean {
  return valueAt(native, 'strict_mode_config', 'enabled') === true;
}

/** Returns whether a collection's settings, in the server's form, have rate limits, be strict mode on or off. */
export function hasRateLimits(native: Json): boolean {
  return ['read_rate_limit', 'write_rate_limit'].some(
    (name) => numberAt(native, 'strict_mode_config', name) !== undefined,
  );
}

/** Returns what a collection's strict mode allows. */
export function strictLimits(spec: CollectionSpec): StrictLimits {
  const native = parseJson(spec.native);
  if (!isStrict(native)) return NO_LIMITS;
  const settings = objectAt(native, 'strict_mode_config');
  const limit = (name: string): number => numberAt(settings, name) ?? Infinity;
  const [queryPoints, readTokens, writeTokens] = [
    Math.max(1, limit('max_query_limit')),
    Math.max(1, limit('read_rate_limit')),
    Math.max(1, limit('write_rate_limit')),
  ];
  const allowed = limit('filter_max_conditions') >= 1 && readTokens >= CONDITION_TOKENS;
  const conditionIds = allowed ? Math.min(queryPoints, limit('condition_max_size')) : 0;
  const byCondition = readTokens !== Infinity && conditionIds >= 1;
  return {
    settings,
    queryPoints,
    readTokens,
    writeTokens,
    upsertPoints: Math.max(1, Math.min(limit('upsert_max_batchsize'), writeTokens)),
    deletePoints: writeTokens,
    reads: { ids: byCondition ? conditionIds : readTokens, byCondition, conditionIds },
  };
}

/**
 * The known limits of one collection. They are read again if the server refuses a request that keeps them.
 */
export class KnownLimits {
  /** No limits: for collections without strict mode, or for writes while it is switched off. */
  static readonly none = new KnownLimits(NO_LIMITS, {
    read: () => Promise.resolve(NO_LIMITS),
    refusals: () => 0,
  });

  #now: StrictLimits;
  #refusals: number;
  readonly #server: LimitingServer;

  constructor(first: StrictLimits, server: LimitingServer) {
    this.#now = first;
    this.#server = server;
    this.#refusals = server.refusals();
  }

  get now(): StrictLimits {
    return this.#now;
  }

  /**
   * Calls `request` with the limits and returns its result. If strict mode refuses the request and the limits
   * have changed, it is called again.
   * @throws StrictRefusal with the limit's value and what to do
   */
  async keeping<T>(request: (limits: StrictLimits) => Promise<T>): Promise<T> {
    for (let changes = 0; ; changes++) {
      await this.#lookAfterRefusals();
      const limits = this.#now;
      try {
        return await request(limits);
      } catch (error) {
        if (!(error instanceof StrictRefusal)) throw error;
        // Another request may have read them in the meantime.
        if (this.#now === limits) this.#now = await this.#server.read();
        const same = stringifyJson(this.#now.settings) === stringifyJson(limits.settings);
        if (same || changes >= CHANGES_MAX) throw explained(error, limits);
      }
    }
  }

  /** Reads the limits again after a refusal. Under a new rate limit, other requests may need fewer tokens. */
  async #lookAfterRefusals(): Promise<void> {
    const refusals = this.#server.refusals();
    if (refusals === this.#refusals) return;
    this.#refusals = refusals;
    this.#now = await this.#server.read();
  }
}

/** The source of limits. */
interface LimitingServer {
  readonly read: () => Promise<StrictLimits>;
  /** Returns the number of calls that rate limits have refused so far. */
  readonly refusals: () => number;
}

function explained({ message, limit }: StrictRefusal, { settings }: StrictLimits): StrictRefusal {
  const value = settings[limit];
  const now = value === undefined || value === null ? '' : ` (${limit} is ${stringifyJson(value)})`;
  return new StrictRefusal(
    `${message}${now}. Raise ${limit}, or switch strict mode off meanwhile: PATCH the collection with {"strict_mode_config": {"enabled": false}}`,
    limit,
  );
}
