import { row, type Matrix } from '../../core/matrix.js';
import type { VectorStore } from '../../store/vector-store.js';

const QUERIES = 8;
const LIMIT = 10;
const MINUTE_MS = 60_000;
/** Share of the reads that a rate limit lets through which searches for the latency may take. */
const READS_SHARE = 0.1;
/** Latencies of which the median counts: one slow search is no load. */
const WINDOW = 3;
/** A search not answered for so long counts as slow whatever its own time will be; less may be this process. */
const LATE_MS = 1_000;

/** Searches of the source by some of its own vectors, timed by the store where it can: this process is busy too. */
export interface Probe {
  /** Median of the last searches in milliseconds; or for how long one has been under way, where that is late. */
  readonly latencyMs: () => number;
  /** One search, unless the one before is still under way. */
  readonly search: () => Promise<void>;
}

/** A probe, and the latency of a source at rest: the median of searches one after another, the first round left out. */
export async function openProbe(
  source: VectorStore,
  collection: string,
  vectorName: string,
): Promise<{ readonly probe: Probe; readonly baselineMs: number } | null> {
  const { vectors } = await source.sample(collection, { vectorName, size: QUERIES });
  if (vectors.rows === 0) return null;
  const { results, readsPerMinute } = await source.requestLimits(collection);
  const limit = Math.min(LIMIT, results);
  const probe = probeOf(source, { collection, vectorName, vectors, limit });
  const times: number[] = [];
  for (let i = 0; i < 2 * vectors.rows; i++) {
    await probe.search();
    if (i >= vectors.rows) times.push(probe.last());
  }
  const everyMs = MINUTE_MS / (READS_SHARE * readsPerMinute);
  return { probe: { ...probe, search: atMostEvery(everyMs, probe.search) }, baselineMs: median(times) };
}

/** The same search, left out where the one before began less than `ms` ago. */
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
  source: VectorStore,
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
    last: () => recent.at(-1) ?? 0,
    latencyMs: () => {
      const ageMs = begunAtMs === null ? 0 : performance.now() - begunAtMs;
      return Math.max(median(recent), ageMs > LATE_MS ? ageMs : 0);
    },
    search: async () => {
      if (begunAtMs !== null) return;
      const vector = Float32Array.from(row(vectors, next++ % vectors.rows));
      begunAtMs = performance.now();
      try {
        recent.push(await source.timeSearch(collection, { vectorName, vector, limit }));
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
