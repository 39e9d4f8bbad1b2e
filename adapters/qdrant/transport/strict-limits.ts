import type { CollectionSpec } from '../../../src/store/vector-store.js';
import { numberAt, objectAt, parseJson, stringifyJson, valueAt, type Json, type JsonObject } from './json.js';
import { StrictRefusal } from './strict-refusal.js';

/** What a collection's strict mode allows; Infinity where it sets no limit. */
export interface StrictLimits {
  /** The settings as the collection has them; empty where strict mode is off. */
  readonly settings: JsonObject;
  /** Most points that a query or a page may ask for. */
  readonly queryPoints: number;
  /** Tokens for reading in a minute: a page takes one. */
  readonly readTokens: number;
  /** Tokens for writing in a minute: a request takes one for each of its points. */
  readonly writeTokens: number;
  /** Most points that one request may write. */
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

const NO_LIMITS: StrictLimits = {
  settings: {},
  queryPoints: Infinity,
  readTokens: Infinity,
  writeTokens: Infinity,
  upsertPoints: Infinity,
  deletePoints: Infinity,
  reads: { ids: Infinity, byCondition: false, conditionIds: Infinity },
};

/** The setting of a collection of the product's own: the server may have limits for every new collection. */
export const UNLIMITED: JsonObject = { strict_mode_config: { enabled: false } };

/** A page with a condition on ids takes this many tokens of the read rate. */
export const CONDITION_TOKENS = 2;
/** Times that limits may change under a single request. */
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

/** What strict mode allows in one collection, read again where a request is refused that it should let through. */
export class KnownLimits {
  /** Of a collection without limits, or of one that sets them for nobody but its maker. */
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
   * Calls `request` with the limits. If strict mode refuses it and the limits are others by now, it is called again.
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
        // Another request may have read them meanwhile.
        if (this.#now === limits) this.#now = await this.#server.read();
        const same = stringifyJson(this.#now.settings) === stringifyJson(limits.settings);
        if (same || changes >= CHANGES_MAX) throw explained(error, limits);
      }
    }
  }

  /** A rate limit may be new: the same points can be read in requests that it counts less. */
  async #lookAfterRefusals(): Promise<void> {
    const refusals = this.#server.refusals();
    if (refusals === this.#refusals) return;
    this.#refusals = refusals;
    this.#now = await this.#server.read();
  }
}

/** Where limits come from. */
interface LimitingServer {
  readonly read: () => Promise<StrictLimits>;
  /** Calls turned away so far as too many. */
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
