import type { Aliases } from '../core/followed.js';

/**
 * The database's aliases as they were read last, for everything in this process that goes by names: which writes are
 * followed, and what is served under which name.
 */
export class CurrentAliases {
  readonly #readAll: () => Promise<Aliases>;
  #latest: Aliases | null = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<Aliases> | null = null;
  #changed: () => void = () => undefined;

  constructor(readAll: () => Promise<Aliases>) {
    this.#readAll = readAll;
  }

  /** As they were read last; null where they never were. */
  get latest(): Aliases | null {
    return this.#latest;
  }

  /** When the last reading of them began. */
  get readAtMs(): number {
    return this.#readAtMs;
  }

  /** @param changed called whenever they were read and differ from before, ahead of everybody who waits for them */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  /**
   * The aliases at a moment after this was called. All that ask while they are being read share the next reading.
   * @throws what reading throws
   */
  read(): Promise<Aliases> {
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      const reading = this.#take();
      this.#running = reading.catch(() => undefined);
      return reading;
    });
    return this.#next;
  }

  async #take(): Promise<Aliases> {
    const startedAtMs = performance.now();
    const read = await this.#readAll();
    const before = this.#latest;
    [this.#latest, this.#readAtMs] = [read, startedAtMs];
    if (before === null || !isEqual(before, read)) this.#changed();
    return read;
  }
}

function isEqual(a: Aliases, b: Aliases): boolean {
  return a.size === b.size && [...a].every(([alias, collection]) => b.get(alias) === collection);
}
