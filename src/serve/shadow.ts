import { Rng } from '../core/rng.js';
import { farAmong, type SampleComparison } from './drift-meter.js';
import type { CompactVectors } from './kept-vectors.js';
import type { GrpcCall } from './protocol.js';
import type { Metrics } from './metrics.js';

/** Most sampled searches at once, to spare the database. Further ones are dropped and counted. */
const AT_ONCE_MAX = 4;
/** Larger answers are not compared with those of the full collection. */
export const SHADOWED_BYTES_MAX = 16 * 1024 ** 2;

/** The address at which a client's search is repeated, and the served collection that it was for. */
export interface ShadowPlace {
  readonly collection: string;
  readonly url: string;
}

/** A client's call in the form that is repeated, and the served collection that it was for. */
export interface ShadowCall {
  readonly collection: string;
  readonly call: GrpcCall;
}

export interface ShadowOptions {
  /** Share of searches to repeat, from 0 to 1. */
  readonly share: number;
  readonly seed: number;
  /** Returns where to repeat a search; null if the collection has no full counterpart. */
  readonly repeatAt: (url: string) => ShadowPlace | null;
  /** Returns the call to repeat; null if the collection has no full counterpart. */
  readonly repeatCall: (call: GrpcCall) => ShadowCall | null;
}

/** Result ids in order, one list per search of a request. */
export type ResultIds = readonly (readonly string[])[];

/** The answer that a client got, and a way to get that of the full collection. */
export interface Compared {
  readonly collection: string;
  /** From the request's beginning to the answer's end. */
  readonly servedSeconds: number;
  /** The projected queries, if they can be compared with the encoder's training sample. */
  readonly compact: CompactVectors | undefined;
  readonly served: () => ResultIds | Promise<ResultIds>;
  /** Repeats the search on the full collection. Rejects if it cannot. */
  readonly full: () => Promise<ResultIds>;
}

interface Comparing {
  /** By the configured names of collections. */
  readonly comparisons: ReadonlyMap<string, SampleComparison>;
}

/**
 * Repeats a share of the searches on the full collection after they were answered, and measures the overlap.
 */
export class Shadow {
  readonly #options: ShadowOptions & Comparing;
  readonly #metrics: Metrics;
  readonly #rng: Rng;
  #atOnce = 0;

  constructor(options: ShadowOptions & Comparing, metrics: Metrics) {
    this.#options = options;
    this.#metrics = metrics;
    this.#rng = new Rng(options.seed);
  }

  /** Returns where to repeat a search at this address; null if it is not sampled. */
  pick(url: string): ShadowPlace | null {
    return this.#isPicked() ? this.#orDropped(this.#options.repeatAt(url)) : null;
  }

  /** Returns the call to repeat; null if it is not sampled. */
  pickCall(call: GrpcCall): ShadowCall | null {
    return this.#isPicked() ? this.#orDropped(this.#options.repeatCall(call)) : null;
  }

  /** Measures the overlap of one sampled search. */
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

  async #compare({ collection, servedSeconds, compact, served, full }: Compared): Promise<void> {
    const startedAtMs = performance.now();
    const wanted = await full();
    const fullSeconds = (performance.now() - startedAtMs) / 1000;
    const given = await served();
    // In a batch, nothing says which vector belongs to which search.
    const isFar = wanted.length === 1 && compact?.seen === 1 ? this.#isFar(compact) : null;
    wanted.forEach((ids, i) => {
      if (ids.length === 0) return;
      const got = new Set(given[i]);
      const overlap = ids.filter((id) => got.has(id)).length / ids.length;
      this.#metrics.shadow(collection, { overlap, servedSeconds, fullSeconds, isFar });
    });
  }

  #isFar({ collection, encoder, as, rows }: CompactVectors): boolean | null {
    const comparison = this.#options.comparisons.get(collection);
    return comparison?.encoder === encoder ? farAmong({ comparison, as }, rows) > 0 : null;
  }
}
