import { turns } from '../../core/run-in-turn.js';
import type { Aliases } from '../../store/write-interceptor.js';

/**
 * The database's aliases as they were last read. Everything in this process that depends on names uses them:
 * which writes are brought over, and which collection is served under which name.
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

  /** The aliases as last read; null before the first reading. */
  get latest(): Aliases | null {
    return this.#latest;
  }

  /** When the last reading began. */
  get readAtMs(): number {
    return this.#readAtMs;
  }

  /** @param changed called after each reading that differs from the one before, before `read` resolves */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  /**
   * Returns the aliases at a moment after the call. All calls during a reading share the next one.
   * @throws the error of reading
   */
  read(): Promise<Aliases> {
    this.#next ??= this.#inTurn(() => {
      this.#next = null;
      return this.#take(this.#readAll);
    });
    return this.#next;
  }

  /**
   * Reads the aliases in another way, and keeps using that way if it works.
   * @throws the error of reading; then the way before stays in use
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
