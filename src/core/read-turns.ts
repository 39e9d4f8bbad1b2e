import { sleep } from './run.js';

const MINUTE_MS = 60_000;

/** What a store lets through of a collection; Infinity where it sets no limit. */
export interface RequestLimits {
  /** Most points that one search may ask for, and most first-stage results. */
  readonly results: number;
  readonly readsPerMinute: number;
}

/**
 * Lets requests go as fast as a store with a rate limit takes them, so that few are refused. The store starts with the
 * requests of one minute and gets new ones evenly. Requests that are made past this class are not known here: call
 * `useUp` if the store refused one.
 */
export class ReadTurns {
  readonly #perMinute: number;
  #left: number;
  #atMs = performance.now();

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
    this.#left = perMinute;
  }

  /** Resolves when one more request may go. @throws ABORTED */
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

  /** Counts all requests as made that the store lets through by now. */
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
