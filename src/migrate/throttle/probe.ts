import { expectDefined } from '../../core/errors.js';
import { row, type Matrix } from '../../core/matrix.js';
import type { Load, VectorSource } from '../../store/vector-source.js';

const QUERIES = 8;
const LIMIT = 10;
const MINUTE_MS = 60_000;
/** Share of a rate limit's reads that the probe's searches may use. */
const READS_SHARE = 0.1;
/** Number of latencies in the median, so that one slow search does not count as load. */
const WINDOW = 3;
/** A search without an answer after this time counts as slow. A shorter delay may be this process's own. */
const LATE_MS = 1_000;

/** Searches of the source by its own vectors, timed by the store if possible, since this process is busy. */
export interface Probe {
  /** Median of the last searches in milliseconds or, if a search is late, the time since it began. */
  readonly latencyMs: () => number;
  /** Makes one search, unless the previous one is still under way. */
  readonly search: () => Promise<void>;
}

/**
 * Returns a probe and the source's latency at rest: the median of sequential searches without the first
 * round. Returns null if the source has no vectors, or its store does not tell its load.
 */
export async function openProbe(
  source: Pick<VectorSource, 'sample' | 'load'>,
  collection: string,
  vectorName: string,
): Promise<{ readonly probe: Probe; readonly baselineMs: number } | null> {
  const { load } = source;
  if (load === undefined) return null;
  const { vectors } = await source.sample(collection, { vectorName, size: QUERIES });
  if (vectors.rows === 0) return null;
  const { results, readsPerMinute } = await load.limits(collection);
  const limit = Math.min(LIMIT, results);
  const probe = probeOf(load, { collection, vectorName, vectors, limit });
  const times: number[] = [];
  for (let i = 0; i < 2 * vectors.rows; i++) {
    await probe.search();
    if (i >= vectors.rows) times.push(probe.last());
  }
  const everyMs = MINUTE_MS / (READS_SHARE * readsPerMinute);
  return { probe: { ...probe, search: atMostEvery(everyMs, probe.search) }, baselineMs: median(times) };
}

/** Returns the search, which does nothing if the previous one began less than `ms` ago. */
function atMostEvery(ms: number, search: () => Promise<void>): () => Promise<void> {
  let begunAtMs = -Infinity;
  return async () => {
    const now = performance.now();
    if (now - begunAtMs < ms) return;
    begunAtMs = now;
    await search();
  };
}

function probeOf(
  load: Load,
  {
    collection,
    vectorName,
    vectors,
    limit,
  }: { collection: string; vectorName: string; vectors: Matrix; limit: number },
): Probe & { readonly last: () => number } {
  const recent: number[] = [];
  let next = 0;
  let begunAtMs: number | null = null;
  return {
    last: () => expectDefined(recent.at(-1), 'the time of the last search'),
    latencyMs: () => {
      const ageMs = begunAtMs === null ? 0 : performance.now() - begunAtMs;
      return Math.max(median(recent), ageMs > LATE_MS ? ageMs : 0);
    },
    search: async () => {
      if (begunAtMs !== null) return;
      const vector = Float32Array.from(row(vectors, next++ % vectors.rows));
      begunAtMs = performance.now();
      try {
        recent.push(await load.timeSearch(collection, { vectorName, vector, limit }));
        if (recent.length > WINDOW) recent.shift();
      } finally {
        begunAtMs = null;
      }
    },
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
