import { sleep, type RunOptions } from '../../core/run-options.js';
import type { VectorSource } from '../../store/vector-source.js';
import { openProbe, type Probe } from '../throttle/probe.js';
import { checkThrottleSettings, latencyMsMax, type ThrottleSettings } from '../throttle/settings.js';

const LOOK_INTERVAL_MS = 500;
const HELD_POLL_MS = 100;
/** Longest time for which one batch is held back, so that a migration always makes progress. */
const HELD_MS_MAX = 30_000;
const REST_MS_MAX = 30_000;

/** Slows the filling down for the clients' sake. */
export interface Rests {
  /** Rests after a batch that took so long, and waits while searches are slow. */
  after(workedMs: number): Promise<void>;
}

/** Watches the searches of a collection, if the settings ask for it, and returns when to rest. */
export async function openRests(
  source: VectorSource,
  { collection, vectorName }: { readonly collection: string; readonly vectorName: string },
  { settings, signal, log }: RunOptions & { readonly settings: ThrottleSettings },
): Promise<Rests> {
  const { nice, maxLoad } = settings;
  checkThrottleSettings(settings);
  const watched = maxLoad === null ? null : await openProbe(timedByClient(source), collection, vectorName);
  const isSlow = watched === null || maxLoad === null ? () => false : slowness(watched, maxLoad);
  if (watched !== null) log?.('info', `a search at rest takes ${watched.baselineMs.toFixed(1)} ms`);
  return {
    after: async (workedMs) => {
      const restMs = Math.min(REST_MS_MAX, workedMs * nice);
      if (restMs > 0) await sleep(restMs, signal);
      for (let heldMs = 0; isSlow() && heldMs < HELD_MS_MAX; heldMs += HELD_POLL_MS)
        await sleep(HELD_POLL_MS, signal);
    },
  };
}

/** Returns a function that starts a search now and then, and says whether the last ones were slow. */
function slowness(
  { probe, baselineMs }: { readonly probe: Probe; readonly baselineMs: number },
  maxLoad: string,
): () => boolean {
  const mostMs = latencyMsMax(maxLoad, baselineMs);
  let begunAtMs = -Infinity;
  return () => {
    if (performance.now() - begunAtMs > LOOK_INTERVAL_MS) {
      begunAtMs = performance.now();
      // If it fails, nothing is held back: the filling itself reports the error.
      probe.search().catch(() => undefined);
    }
    return probe.latencyMs() > mostMs;
  };
}

/** A source whose searches are timed by this process, if it does not tell their times itself. */
function timedByClient(source: VectorSource): Pick<VectorSource, 'sample' | 'load'> {
  return {
    sample: (collection, options) => source.sample(collection, options),
    load: source.load ?? {
      status: () => Promise.resolve({ optimizing: false, failure: null, queuedUpdates: null }),
      limits: () => Promise.resolve({ results: Infinity, readsPerMinute: Infinity }),
      timeSearch: async (collection, request) => {
        const begunAtMs = performance.now();
        await source.search(collection, request);
        return performance.now() - begunAtMs;
      },
      rateLimitCount: () => 0,
    },
  };
}
