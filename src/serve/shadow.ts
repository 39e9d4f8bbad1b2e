import { Rng } from '../core/rng.js';
import type { GrpcCall } from './protocol.js';
import type { Metrics } from './metrics.js';

/** More sampled searches than this at once would load the database: the rest are dropped and counted. */
const AT_ONCE_MAX = 4;
/** Larger answers are not compared with the full collection's. */
export const SHADOWED_BYTES_MAX = 16 * 1024 ** 2;

/** Where a client's search is repeated, and the served collection it was for. */
export interface ShadowPlace {
  readonly collection: string;
  readonly url: string;
}

/** A client's call as it is repeated, and the served collection it was for. */
export interface ShadowCall {
  readonly collection: string;
  readonly call: GrpcCall;
}

export interface ShadowOptions {
  /** From 0 to 1. */
  readonly share: number;
  readonly seed: number;
  /** Null for the address of a collection without a full one. */
  readonly repeatAt: (url: string) => ShadowPlace | null;
  /** Null for a call to a collection without a full one. */
  readonly repeatCall: (call: GrpcCall) => ShadowCall | null;
}

/** Result ids in order, one list per search of a request. */
export type ResultIds = readonly (readonly string[])[];

/** The answer that a client was given, and how the full collection's is had. */
export interface Compared {
  readonly collection: string;
  /** From the request's beginning to the answer's end. */
  readonly servedSeconds: number;
  readonly served: () => ResultIds | Promise<ResultIds>;
  /** Rejects where the search cannot be repeated. */
  readonly full: () => Promise<ResultIds>;
}

/** Repeats a share of the searches on the full collection, after their answers went out, and measures the overlap. */
export class Shadow {
  readonly #options: ShadowOptions;
  readonly #metrics: Metrics;
  readonly #rng: Rng;
  #atOnce = 0;

  constructor(options: ShadowOptions, metrics: Metrics) {
    this.#options = options;
    this.#metrics = metrics;
    this.#rng = new Rng(options.seed);
  }

  /** Decides whether a search at this address is one of the share; null where not. */
  pick(url: string): ShadowPlace | null {
    return this.#isPicked() ? this.#orDropped(this.#options.repeatAt(url)) : null;
  }

  /** The same for a call. */
  pickCall(call: GrpcCall): ShadowCall | null {
    return this.#isPicked() ? this.#orDropped(this.#options.repeatCall(call)) : null;
  }

  /** Measures one search that was picked. */
  compare(compared: Compared): void {
    this.#atOnce++;
    this.#compare(compared)
      .catch(() => this.#metrics.shadowDropped())
      .finally(() => this.#atOnce--);
  }

  #isPicked(): boolean {
    return this.#rng.uniform() < this.#options.share;
  }

  #orDropped<Place>(place: Place | null): Place | null {
    if (place === null || this.#atOnce < AT_ONCE_MAX) return place;
    this.#metrics.shadowDropped();
    return null;
  }

  async #compare({ collection, servedSeconds, served, full }: Compared): Promise<void> {
    const startedAtMs = performance.now();
    const wanted = await full();
    const fullSeconds = (performance.now() - startedAtMs) / 1000;
    const given = await served();
    wanted.forEach((ids, i) => {
      if (ids.length === 0) return;
      const got = new Set(given[i]);
      const overlap = ids.filter((id) => got.has(id)).length / ids.length;
      this.#metrics.shadow(collection, { overlap, servedSeconds, fullSeconds });
    });
  }
}
