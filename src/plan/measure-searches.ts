import { Rng } from '../core/rng.js';
import { percentile } from '../evaluate/ranking.js';
import { throwIfAborted, type RunOptions } from '../core/run-options.js';
import type { ScratchStore } from '../store/beside/scratch-store.js';
import type { SearchRequest } from '../store/search.js';

/** Searches of each configuration before latency is measured, to warm up connections and caches. */
const WARM_UP_QUERIES = 3;
/** Queries that are timed by the server's clock. */
const TIMED_QUERIES = 30;

/** The results of a configuration: for each query, the ids of the points in order and the latency. */
export interface MeasuredSearches<T> {
  readonly of: T;
  readonly found: readonly (readonly number[])[];
  readonly latencyMs: Float64Array;
}

/**
 * Sends every query to every configuration, one request at a time. The order of the configurations is random
 * for each query, so that slow moments of the machine affect all of them alike. Point ids must be numbers
 * below 2^53.
 */
export async function measureSearches<T>(
  store: Pick<ScratchStore, 'search'>,
  collection: string,
  work: {
    readonly configs: readonly T[];
    readonly request: (config: T, query: number) => SearchRequest;
    readonly queries: number;
    readonly seed: number;
    readonly step: string;
    /** Says after each query whether the time for searches is over; at least this many queries are sent. */
    readonly isOver?: () => boolean;
    readonly queriesMin?: number;
  },
  run: RunOptions = {},
): Promise<MeasuredSearches<T>[]> {
  const { configs, request, queries, seed, step, isOver, queriesMin = 0 } = work;
  const rng = new Rng(seed);
  const measured = configs.map((config) => ({
    of: config,
    found: Array.from({ length: queries }, (): number[] => []),
    latencyMs: new Float64Array(queries),
  }));
  for (let q = 0; q < Math.min(WARM_UP_QUERIES, queries); q++) {
    for (const config of configs) await store.search(collection, request(config, q));
  }
  for (let q = 0; q < queries; q++) {
    throwIfAborted(run.signal);
    for (const c of rng.permutation(configs.length)) {
      const one = measured[c]!;
      const asked = request(one.of, q);
      const startedAtMs = performance.now();
      const points = await store.search(collection, asked);
      one.latencyMs[q] = performance.now() - startedAtMs;
      one.found[q] = points.map(({ id }) => Number(id));
    }
    run.onProgress?.({ step, done: q + 1, total: queries, unit: 'queries' });
    if (q + 1 >= queriesMin && isOver?.() === true) return measured.map((one) => firstQueries(one, q + 1));
  }
  return measured;
}

/**
 * Returns, for each configuration, the median time of a search by the server's own clock, in milliseconds; null if the
 * store does not say it.
 */
export async function timeSearches<T>(
  store: Pick<ScratchStore, 'timeSearch'>,
  collection: string,
  work: {
    readonly configs: readonly T[];
    readonly request: (config: T, query: number) => SearchRequest;
    readonly queries: number;
    readonly isOver: () => boolean;
  },
  { signal }: RunOptions,
): Promise<(config: T) => number | null> {
  const times = new Map<T, number[]>(work.configs.map((config) => [config, []]));
  for (let q = 0; store.timeSearch !== undefined && q < Math.min(TIMED_QUERIES, work.queries); q++) {
    throwIfAborted(signal);
    if (q > 0 && work.isOver()) break;
    for (const [config, found] of times)
      found.push(await store.timeSearch(collection, work.request(config, q)));
  }
  return (config) => {
    const found = times.get(config) ?? [];
    return found.length === 0 ? null : percentile(Float64Array.from(found), 50);
  };
}

/** Returns the results of the first queries. */
export function firstQueries<T>(
  { of, found, latencyMs }: MeasuredSearches<T>,
  count: number,
): MeasuredSearches<T> {
  return { of, found: found.slice(0, count), latencyMs: latencyMs.slice(0, count) };
}
