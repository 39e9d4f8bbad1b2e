import { Rng } from '../core/rng.js';
import type { RestHead } from '../core/wire.js';
import type { Metrics } from './metrics.js';
import type { RestUpstream } from './rest-upstream.js';

/** More sampled searches than this at once would load the database: the rest are dropped and counted. */
const AT_ONCE_MAX = 4;

export interface ShadowOptions {
  /** From 0 to 1. */
  readonly share: number;
  readonly seed: number;
  /** By served collection: the full one to compare with. */
  readonly full: ReadonlyMap<string, string>;
  /** The address of a client's search on another collection. */
  readonly urlOn: (url: string, collection: string) => string;
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

  /** Decides whether this search is one of the share; null where not. */
  pick(collection: string): ShadowPick | null {
    const full = this.#options.full.get(collection);
    if (full === undefined || this.#rng.uniform() >= this.#options.share) return null;
    if (this.#atOnce >= AT_ONCE_MAX) {
      this.#metrics.shadowDropped();
      return null;
    }
    return {
      repeat: (request, answer) => {
        this.#atOnce++;
        this.#compare({ collection, full }, request, answer)
          .catch(() => this.#metrics.shadowDropped())
          .finally(() => this.#atOnce--);
      },
    };
  }

  async #compare(
    { collection, full }: { readonly collection: string; readonly full: string },
    { head, body, headers }: ShadowedRequest,
    { served, seconds, resultIds }: ServedAnswer,
  ): Promise<void> {
    const startedAtMs = performance.now();
    const { status, body: answer } = await this.#upstream.exchange(
      { method: head.method, url: this.#options.urlOn(head.url, full), body },
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
