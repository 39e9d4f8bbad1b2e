import { Rng } from '../core/rng.js';
import type { RestHead } from '../core/wire.js';
import type { Metrics } from './metrics.js';
import type { RestUpstream } from './rest-upstream.js';

/** More sampled searches than this at once would load the database: the rest are dropped and counted. */
const AT_ONCE_MAX = 4;

export interface ShadowPlace {
  readonly collection: string;
  readonly url: string;
}

export interface ShadowOptions {
  /** From 0 to 1. */
  readonly share: number;
  readonly seed: number;
  /** Where a client's search is repeated, and the served collection it was for; null for one without a full one. */
  readonly repeatAt: (url: string) => ShadowPlace | null;
  readonly answerBytesMax: number;
}

/** What the client asked, as it came. */
export interface ShadowedRequest {
  readonly head: RestHead;
  readonly body: Uint8Array;
  readonly headers: readonly string[];
}

export interface ServedAnswer {
  readonly served: Uint8Array;
  readonly seconds: number;
  readonly resultIds: (body: Uint8Array) => readonly (readonly string[])[];
}

/** One search that was sampled. */
export interface ShadowPick {
  repeat(request: ShadowedRequest, answer: ServedAnswer): void;
}

/** Repeats a share of the searches on the full collection, after their answers went out, and measures the overlap. */
export class Shadow {
  readonly #options: ShadowOptions;
  readonly #upstream: RestUpstream;
  readonly #metrics: Metrics;
  readonly #rng: Rng;
  #atOnce = 0;

  constructor(options: ShadowOptions, upstream: RestUpstream, metrics: Metrics) {
    this.#options = options;
    this.#upstream = upstream;
    this.#metrics = metrics;
    this.#rng = new Rng(options.seed);
  }

  /** Decides whether a search at this address is one of the share; null where not. */
  pick(url: string): ShadowPick | null {
    const place = this.#options.repeatAt(url);
    if (place === null || this.#rng.uniform() >= this.#options.share) return null;
    if (this.#atOnce >= AT_ONCE_MAX) {
      this.#metrics.shadowDropped();
      return null;
    }
    return {
      repeat: (request, answer) => {
        this.#atOnce++;
        this.#compare(place, request, answer)
          .catch(() => this.#metrics.shadowDropped())
          .finally(() => this.#atOnce--);
      },
    };
  }

  async #compare(
    { collection, url }: ShadowPlace,
    { head, body, headers }: ShadowedRequest,
    { served, seconds, resultIds }: ServedAnswer,
  ): Promise<void> {
    const startedAtMs = performance.now();
    const { status, body: answer } = await this.#upstream.exchange(
      { method: head.method, url, body },
      {
        headers: [...headers, 'content-type', 'application/json', 'accept-encoding', 'identity'],
        limitBytes: this.#options.answerBytesMax,
      },
    );
    if (status !== 200) throw new Error(`status ${status}`);
    const fullSeconds = (performance.now() - startedAtMs) / 1000;
    const [given, wanted] = [resultIds(served), resultIds(answer)];
    wanted.forEach((ids, i) => {
      if (ids.length === 0) return;
      const got = new Set(given[i]);
      const overlap = ids.filter((id) => got.has(id)).length / ids.length;
      this.#metrics.shadow(collection, { overlap, servedSeconds: seconds, fullSeconds });
    });
  }
}
