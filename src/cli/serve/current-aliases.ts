import { turns } from '../../core/turns.js';
import type { Aliases } from '../../store/write-guard.js';

/**
 * The database's aliases as they were read last, for everything in this process that goes by names: which writes are
 * followed, and what is served under which name.
 */
export class CurrentAliases {
  #readAll: () => Promise<Aliases>;
  #latest: Aliases | null = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  readonly #inTurn = turns();
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
    this.#next ??= this.#inTurn(() => {
      this.#next = null;
      return this.#take(this.#readAll);
    });
    return this.#next;
  }

  /**
   * Reads the aliases in another way, and keeps to that way if it works.
   * @throws what reading throws; then they are read as before
   */
  readBy(readAll: () => Promise<Aliases>): Promise<Aliases> {
    return this.#inTurn(async () => {
      const read = await this.#take(readAll);
      this.#readAll = readAll;
      return read;
    });
  }

  async #take(readAll: () => Promise<Aliases>): Promise<Aliases> {
    const startedAtMs = performance.now();
    const read = await readAll();
    const before = this.#latest;
    [this.#latest, this.#readAtMs] = [read, startedAtMs];
    if (before === null || !isEqual(before, read)) this.#changed();
    return read;
  }
}

function isEqual(a: Aliases, b: Aliases): boolean {
  return a.size === b.size && [...a].every(([alias, collection]) => b.get(alias) === collection);
}
