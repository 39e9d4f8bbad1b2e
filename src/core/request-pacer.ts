import { sleep } from './run-options.js';

const MINUTE_MS = 60_000;

/** A store's limits on the requests to a collection; Infinity if it sets no limit. */
export interface RequestLimits {
  /** Largest number of points, and of first-stage results, that a search may request. */
  readonly results: number;
  readonly readsPerMinute: number;
}

/**
 * Delays requests so that a store with a rate limit refuses few of them. It models the store's token bucket:
 * full at the start (the requests of one minute), then refilled evenly. It does not see the requests of other
 * clients: call `useUp` if the store refused a request.
 */
export class RequestPacer {
  readonly #perMinute: number;
  #left: number;
  #atMs = performance.now();

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
    this.#left = perMinute;
  }

  /** Resolves when one more request may be sent. @throws ABORTED when the signal fires before that */
  async next(signal?: AbortSignal): Promise<void> {
    if (this.#perMinute === Infinity) return;
    for (;;) {
      const now = performance.now();
      this.#left = Math.min(this.#perMinute, this.#left + ((now - this.#atMs) * this.#perMinute) / MINUTE_MS);
      this.#atMs = now;
      if (this.#left >= 1) break;
      await sleep(((1 - this.#left) * MINUTE_MS) / this.#perMinute, signal);
    }
    this.#left -= 1;
  }

  /** Empties the bucket: the next request waits until the store allows one again. */
  useUp(): void {
    this.#left = 0;
    this.#atMs = performance.now();
  }
}

/** A time for people: minutes, or hours from two hours on. */
export function roughTime(minutes: number): string {
  const hours = minutes / 60;
  return hours >= 2 ? `${Math.round(hours)} hours` : `${Math.max(1, Math.ceil(minutes))} minutes`;
}
