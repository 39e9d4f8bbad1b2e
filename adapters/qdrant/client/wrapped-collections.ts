import type { ServedCollection } from '../../../src/store/served.js';
import { parseJson, valueAt } from '../transport/json.js';
import { strictModeSearchLimits } from '../serve/strict-mode-search-limits.js';
import { restRewriter } from '../serve/rewriters/rest.js';
import { specFromInfo } from '../store/collection-settings.js';
import { toText } from './json-text.js';
import type { ApiResponse } from './without-redirects.js';

/** Returns a collection's description by its own name. Throws the client's errors. */
export type ReadsCollection = (target: string) => Promise<ApiResponse>;

/** The collections that a wrapped client serves at the moment, with the rewriter for them. */
export class WrappedCollections {
  #served: readonly ServedCollection[];
  #rewriter: ReturnType<typeof restRewriter>;
  /** Targets whose settings changed after their limits were read. */
  readonly #outdated = new Set<string>();
  #lastReading: Promise<void> = Promise.resolve();

  constructor(served: readonly ServedCollection[]) {
    this.#served = served;
    this.#rewriter = restRewriter(served);
  }

  get rewriter(): ReturnType<typeof restRewriter> {
    return this.#rewriter;
  }

  /** Stops serving a collection that was deleted. */
  drop(name: string): void {
    this.#use(this.#served.filter(({ names }) => !names.includes(name)));
  }

  /** Notes that a collection's settings were changed: `readLimits` reads its limits again. */
  noteChange(name: string): void {
    const changed = this.#served.find(({ names }) => names.includes(name));
    if (changed !== undefined) this.#outdated.add(changed.target);
  }

  /**
   * Reads the limits of noted collections again. Never rejects: a failed read is repeated with the next
   * request.
   */
  async readLimits(reads: ReadsCollection): Promise<void> {
    if (this.#outdated.size === 0) return;
    // Reads run one after another, so that an older answer never replaces a newer one.
    this.#lastReading = this.#lastReading.then(async () => {
      for (const target of [...this.#outdated]) await this.#readLimitsOf(target, reads);
    });
    await this.#lastReading;
  }

  async #readLimitsOf(target: string, reads: ReadsCollection): Promise<void> {
    // Deleted before reading, since another change may be noted in the meantime.
    this.#outdated.delete(target);
    try {
      const { data } = await reads(target);
      const info = valueAt(parseJson(toText(data)), 'result');
      if (info === undefined) throw new TypeError('an answer without a result');
      const limits = strictModeSearchLimits(specFromInfo(target, info, []));
      this.#use(this.#served.map((one) => (one.target === target ? { ...one, ...limits } : one)));
    } catch {
      this.#outdated.add(target);
    }
  }

  #use(served: readonly ServedCollection[]): void {
    this.#served = served;
    this.#rewriter = restRewriter(served);
  }
}
