import { roughTime } from '../../../src/core/request-pacer.js';
import type { Log } from '../../../src/core/run-options.js';
import { targetDescription } from '../../../src/store/target-description.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import { numberAt, parseJson } from '../transport/json.js';
import { isLifted, isRefusedByLimit, LiftedLimits } from './lifted-limits.js';
import { COUNTED_BATCH_POINTS } from '../points/read-and-write-points.js';
import type { Rest } from '../transport/rest.js';
import { pathOf } from '../points/ids-over-rest.js';
import { KnownLimits, strictLimits, type StrictLimits } from '../transport/strict-mode-limits.js';

/** Expected time of reading a whole collection above which a warning is logged. */
const LONG_MINUTES = 10;

interface Server {
  readonly rest: Rest;
  readonly log: Log | undefined;
  /** Returns the number of calls that rate limits have refused so far. */
  readonly refusals: () => number;
}

export interface CachedCollection {
  readonly spec: CollectionSpec;
  readonly limits: KnownLimits;
}

/**
 * The descriptions of collections. Each is read once, since only strict mode can change during a run. A collection may
 * also be made anew, as after an aborted migration: the caller that describes it then passes the description to `renew`.
 */
export class CollectionCache {
  readonly #describe: (collection: string) => Promise<CollectionSpec>;
  readonly #rest: Rest;
  readonly #log: Log | undefined;
  readonly #refusals: () => number;
  readonly #lifted: LiftedLimits;
  readonly #known = new Map<string, CachedCollection>();

  constructor(describe: (collection: string) => Promise<CollectionSpec>, { rest, log, refusals }: Server) {
    this.#refusals = refusals;
    this.#rest = rest;
    this.#log = log;
    this.#describe = describe;
    this.#lifted = new LiftedLimits(rest);
  }

  async get(collection: string): Promise<CachedCollection> {
    const known = this.#known.get(collection);
    if (known !== undefined) return known;
    const spec = await this.#describe(collection);
    const readAgain = async (): Promise<StrictLimits> => strictLimits(await this.#describe(collection));
    const limits = new KnownLimits(strictLimits(spec), { read: readAgain, refusals: this.#refusals });
    const fresh = { spec, limits };
    if (isLifted(parseJson(spec.native))) this.#lifted.owe(collection);
    this.#known.set(collection, fresh);
    await this.#sayIfSlow(collection, fresh.limits.now);
    return fresh;
  }

  /** Logs a warning if a rate limit makes reading the whole collection slow. */
  async #sayIfSlow(collection: string, { readTokens, queryPoints }: StrictLimits): Promise<void> {
    if (readTokens === Infinity) return;
    const points = numberAt(await this.#rest.call('GET', pathOf(collection)), 'points_count');
    if (points === undefined) return;
    const minutes = points / Math.min(COUNTED_BATCH_POINTS, queryPoints) / readTokens;
    if (minutes <= LONG_MINUTES) return;
    this.#log?.(
      'warn',
      `strict mode of ${collection} lets ${readTokens} reads a minute through: reading its ${points} points once takes at least ${roughTime(minutes)}. Raise read_rate_limit to make that shorter`,
    );
  }

  async limits(collection: string): Promise<KnownLimits> {
    return (await this.get(collection)).limits;
  }

  /** Replaces a known description by one that was just read. */
  renew(spec: CollectionSpec): void {
    const known = this.#known.get(spec.name);
    if (known !== undefined) this.#known.set(spec.name, { ...known, spec });
  }

  forget(collection: string): void {
    this.#known.delete(collection);
  }

  /**
   * Runs a write within the limits of a collection. In a migration's target, the write may exceed them. Every
   * write, even an empty one, switches strict mode on again if an interrupted write left it off.
   */
  async write(collection: string, write: (limits: KnownLimits) => Promise<void>): Promise<void> {
    const { spec, limits } = await this.get(collection);
    const isTarget = targetDescription(spec) !== null;
    const lifted = (): Promise<void> => this.#lifted.during(collection, () => write(KnownLimits.none));
    // A rate limit would hold back what clients wrote to the source.
    if (isTarget && (limits.now.writeTokens !== Infinity || this.#lifted.isOwed(collection))) return lifted();
    try {
      await limits.keeping(() => write(limits));
    } catch (error) {
      if (!isTarget || !isRefusedByLimit(error)) throw error;
      await lifted();
    }
  }
}
