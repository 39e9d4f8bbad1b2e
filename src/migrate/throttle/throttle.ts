import { expectDefined, hintFields, messageOf } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { StoreStatus } from '../../store/vector-source.js';
import { openProbe, type Probe } from './probe.js';
import { latencyMsMax, UNTHROTTLED, type ThrottleSettings } from './settings.js';

const LOOK_INTERVAL_MS = 500;
const HELD_POLL_MS = 100;
/** Longest time for which one batch is held back, and longest rest after it. */
const HELD_MS_MAX = 30_000;
const REST_MS_MAX = 30_000;
/** The copy waits while a store has more queued updates than this. */
const QUEUE_MAX = 1_000;
/**
 * Largest addition to `nice` while a server refuses calls or optimises. It doubles at each look until then.
 */
const SLOWED_MAX = 8;
/** Looks without a refusal that halve the addition. Refused calls pause, so the next refusal comes late. */
const CALM_LOOKS = 10;
/** Pause before the baseline is measured in the middle of a run, for work under way to end. */
const SETTLE_MS = 1_000;

/** Load that a run has seen, for `migrate status`. Stored in the migration state. */
export interface LoadSeen {
  /** Latency of a search of the source at rest, and now. Null without `maxLoad`. */
  readonly baselineMs: number | null;
  readonly latencyMs: number | null;
  /** Why the copy is held back now, for people; null if it is not. */
  readonly waiting: string | null;
  /** Rest after a batch as a multiple of its duration: `nice`, and more while the servers are busy. */
  readonly resting: number;
  /**
   * Time for which the copy was slowed down so far: rests after batches, and waits while a server was busy.
   * The times of ranges that are copied at once are added up.
   */
  readonly waitedMs: number;
}

/** Slows a copy down for the servers' sake. */
export interface Throttle {
  /** Yields the same batches, each when the throttle allows it. */
  throttled<T>(batches: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T>;
  seen(): LoadSeen;
  /** Ends the throttle: from now on it holds nothing back and does not call `changed`. */
  end(): void;
}

export interface ThrottleRequest {
  readonly source: CopyTarget;
  readonly target: CopyTarget;
  readonly place: { readonly readTuning: () => Promise<ThrottleSettings> };
  readonly sourceCollection: string;
  readonly targetCollection: string;
  readonly vectorName: string;
  /** The source's hidden vector, by which its clients search; null if it has none. */
  readonly leftOut?: string | null;
  /** Lowest baseline of earlier runs, since this run may begin under load. */
  readonly baselineMs: number | null;
  /** Longest time for which one batch is held back, so that a migration always makes progress. */
  readonly heldMsMax?: number;
  /** Called when the copy starts to wait, at every look while it waits, and when it continues. */
  readonly changed: () => void;
}

/** Starts to watch source and target. With `maxLoad`, measures the baseline before it returns. */
export async function openThrottle(request: ThrottleRequest, run: RunOptions = {}): Promise<Throttle> {
  const watch = new Watch(request, run);
  await watch.look({ first: true });
  const ended = new AbortController();
  const loop = async (): Promise<void> => {
    for (;;) {
      await sleep(LOOK_INTERVAL_MS, ended.signal);
      await watch.look();
    }
  };
  // Ends by the signal; `look` itself never fails.
  loop().catch(() => undefined);
  return {
    throttled: (batches, signal) => watch.throttled(batches, signal),
    seen: () => watch.seen(),
    end: () => {
      watch.end();
      ended.abort();
    },
  };
}

class Watch {
  readonly #request: ThrottleRequest;
  readonly #run: RunOptions;
  #tuning: ThrottleSettings = UNTHROTTLED;
  #probe: Probe | null = null;
  #baselineMs: number | null;
  #waiting: string | null = null;
  #slowed = 0;
  #calmLooks = 0;
  #refusals: number;
  #waitedMs = 0;
  #warned = false;
  #ended = false;

  constructor(request: ThrottleRequest, run: RunOptions) {
    this.#request = request;
    this.#run = run;
    this.#baselineMs = request.baselineMs;
    this.#refusals = this.#refused();
  }

  end(): void {
    this.#ended = true;
  }

  seen(): LoadSeen {
    const latencyMs = this.#probe === null ? null : round(this.#probe.latencyMs());
    return {
      baselineMs: this.#baselineMs,
      latencyMs,
      waiting: this.#waiting,
      resting: this.#tuning.nice + this.#slowed,
      waitedMs: Math.round(this.#waitedMs),
    };
  }

  /** Reads settings and load once. If that fails, nothing is held back: the copy itself reports the error. */
  async look({ first = false } = {}): Promise<void> {
    let reason: string | null = null;
    try {
      this.#tuning = await this.#request.place.readTuning();
      const { maxLoad } = this.#tuning;
      const refusals = this.#refused();
      let busy = refusals > this.#refusals;
      this.#refusals = refusals;
      if (maxLoad === null) this.#probe = null;
      else {
        await this.#measureOnce(first);
        const load = await this.#load();
        busy ||= load.optimizing;
        reason = load.reason ?? this.#slowSearch(maxLoad);
      }
      this.#slow(busy);
    } catch (error) {
      if (!this.#warned)
        this.#run.log?.('warn', `cannot watch the load: ${messageOf(error)}`, hintFields(error));
      this.#warned = true;
    }
    this.#hold(reason);
  }

  async *throttled<T>(batches: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
    let begunAtMs = performance.now();
    for await (const batch of batches) {
      yield batch;
      const now = performance.now();
      await this.#rest(now - begunAtMs, signal);
      begunAtMs = performance.now();
      this.#waitedMs += begunAtMs - now;
    }
  }

  async #rest(workedMs: number, signal: AbortSignal | undefined): Promise<void> {
    const restMs = Math.min(REST_MS_MAX, workedMs * (this.#tuning.nice + this.#slowed));
    if (restMs > 0) await sleep(restMs, signal);
    const { heldMsMax = HELD_MS_MAX } = this.#request;
    for (let heldMs = 0; this.#waiting !== null && heldMs < heldMsMax; heldMs += HELD_POLL_MS)
      await sleep(HELD_POLL_MS, signal);
  }

  async #measureOnce(first: boolean): Promise<void> {
    if (this.#probe !== null) return;
    const { source, sourceCollection, vectorName, leftOut = null } = this.#request;
    if (!first) {
      this.#hold('measuring how fast the source answers at rest');
      await sleep(SETTLE_MS, this.#run.signal);
    }
    const opened = await openProbe(source, sourceCollection, leftOut ?? vectorName);
    if (opened === null) return;
    this.#probe = opened.probe;
    this.#baselineMs = Math.min(this.#baselineMs ?? Infinity, round(opened.baselineMs));
    this.#run.log?.('info', `a search of the source at rest takes ${this.#baselineMs} ms`);
  }

  async #load(): Promise<{ readonly reason: string | null; readonly optimizing: boolean }> {
    const { source, target, sourceCollection, targetCollection } = this.#request;
    let reason: string | null = null;
    let optimizing = false;
    for (const [store, name] of [
      [source, sourceCollection],
      [target, targetCollection],
    ] as const) {
      const load = await store.load?.status(name);
      if (load === undefined) continue;
      reason ??= reasonOf(name, load);
      optimizing ||= load.optimizing;
    }
    return { reason, optimizing };
  }

  #slowSearch(maxLoad: string): string | null {
    const probe = this.#probe;
    if (probe === null) return null;
    // Not awaited: if the search takes too long, the next look sees that by its age.
    void probe.search().catch(() => undefined);
    const baselineMs = expectDefined(this.#baselineMs, 'the latency at rest');
    const [latencyMs, mostMs] = [probe.latencyMs(), latencyMsMax(maxLoad, baselineMs)];
    return latencyMs > mostMs
      ? `a search of the source takes ${round(latencyMs)} ms, more than ${round(mostMs)}`
      : null;
  }

  #slow(busy: boolean): void {
    this.#calmLooks = busy ? 0 : this.#calmLooks + 1;
    if (busy) this.#slowed = Math.min(SLOWED_MAX, Math.max(1, this.#slowed * 2));
    else if (this.#calmLooks % CALM_LOOKS === 0) this.#slowed = this.#slowed <= 1 ? 0 : this.#slowed / 2;
  }

  #hold(reason: string | null): void {
    // A look that was under way at the end may still come here.
    if (this.#ended) return;
    const before = this.#waiting;
    this.#waiting = reason;
    if ((reason === null) !== (before === null))
      this.#run.log?.('info', reason === null ? 'the copy continues' : `the copy waits: ${reason}`);
    if (reason !== null || before !== null) this.#request.changed();
  }

  #refused(): number {
    const { source, target } = this.#request;
    const stores = source === target ? [source] : [source, target];
    return stores.reduce((sum, { load }) => sum + (load?.rateLimitCount() ?? 0), 0);
  }
}

function reasonOf(collection: string, { failure, queuedUpdates }: StoreStatus): string | null {
  if (failure !== null) return `the optimizer of ${collection} failed: ${failure}`;
  return queuedUpdates !== null && queuedUpdates > QUEUE_MAX
    ? `${collection} has ${queuedUpdates} queued updates`
    : null;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
