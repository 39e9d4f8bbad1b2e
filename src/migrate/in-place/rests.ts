import { sleep, type RunOptions } from '../../core/run-options.js';
import type { VectorSource } from '../../store/vector-source.js';
import { openProbe, type Probe } from '../throttle/probe.js';
import { latencyMsMax, type ThrottleSettings } from '../throttle/settings.js';

/** How often settings are read and a search is timed. */
const LOOK_INTERVAL_MS = 500;
const POLL_MS = 100;
/** Longest time for which one batch is held back, so that a migration always makes progress. */
const HELD_MS_MAX = 30_000;
const REST_MS_MAX = 30_000;

/** A search that is timed, to compare with its time at rest. */
interface Watched {
  readonly probe: Probe;
  readonly baselineMs: number;
}

/** Slows the filling down for the clients' sake, by settings that may change at any time. */
export class Rests {
  readonly #source: VectorSource;
  readonly #place: { readonly collection: string; readonly vectorName: string };
  readonly #read: () => Promise<ThrottleSettings>;
  readonly #run: RunOptions;
  #settings: ThrottleSettings;
  #watched: Watched | null = null;
  #lookedAtMs = performance.now();

  private constructor(
    source: VectorSource,
    {
      place,
      settings,
      read,
      run,
    }: {
      readonly place: { readonly collection: string; readonly vectorName: string };
      readonly settings: ThrottleSettings;
      readonly read: () => Promise<ThrottleSettings>;
      readonly run: RunOptions;
    },
  ) {
    this.#source = source;
    this.#place = place;
    this.#settings = settings;
    this.#read = read;
    this.#run = run;
  }

  /** Reads the settings and, if they ask for it, measures how long a search takes at rest. */
  static async open(
    source: VectorSource,
    place: { readonly collection: string; readonly vectorName: string },
    { read, ...run }: RunOptions & { readonly read: () => Promise<ThrottleSettings> },
  ): Promise<Rests> {
    const rests = new Rests(source, { place, settings: await read(), read, run });
    await rests.#watch();
    return rests;
  }

  /** Rests after a batch that took so long, and waits while searches are slow. */
  async after(workedMs: number): Promise<void> {
    const begunAtMs = performance.now();
    const passedMs = (): number => performance.now() - begunAtMs;
    await this.#look();
    while (passedMs() < Math.min(REST_MS_MAX, workedMs * this.#settings.nice)) {
      await sleep(Math.min(POLL_MS, workedMs * this.#settings.nice), this.#run.signal);
      await this.#look();
    }
    const restedMs = passedMs();
    while (this.#isSlow() && passedMs() - restedMs < HELD_MS_MAX) {
      await sleep(POLL_MS, this.#run.signal);
      await this.#look();
    }
  }

  /** Reads the settings again, and times a search. */
  async #look(): Promise<void> {
    if (performance.now() - this.#lookedAtMs < LOOK_INTERVAL_MS) return;
    this.#settings = await this.#read();
    await this.#watch();
    // If it fails, nothing is held back: the filling itself reports the error.
    this.#watched?.probe.search().catch(() => undefined);
    this.#lookedAtMs = performance.now();
  }

  async #watch(): Promise<void> {
    if (this.#settings.maxLoad === null) {
      this.#watched = null;
      return;
    }
    if (this.#watched !== null) return;
    const { collection, vectorName } = this.#place;
    this.#watched = await openProbe(timedByClient(this.#source), collection, vectorName);
    if (this.#watched !== null)
      this.#run.log?.('info', `a search at rest takes ${this.#watched.baselineMs.toFixed(1)} ms`);
  }

  #isSlow(): boolean {
    const { maxLoad } = this.#settings;
    if (this.#watched === null || maxLoad === null) return false;
    return this.#watched.probe.latencyMs() > latencyMsMax(maxLoad, this.#watched.baselineMs);
  }
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
