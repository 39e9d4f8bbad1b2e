import { Rng } from '../core/rng.js';
import { throwIfAborted, type RunOptions } from '../core/run-options.js';
import type { CopyTarget } from '../store/copy-target.js';
import type { SearchRequest } from '../store/search.js';

/** Searches of each configuration before latency is measured, to warm up connections and caches. */
const WARM_UP_QUERIES = 3;

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
  store: CopyTarget,
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

/** Returns the results of the first queries. */
export function firstQueries<T>(
  { of, found, latencyMs }: MeasuredSearches<T>,
  count: number,
): MeasuredSearches<T> {
  return { of, found: found.slice(0, count), latencyMs: latencyMs.slice(0, count) };
}
