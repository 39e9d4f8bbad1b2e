import type { TldrError } from '../core/errors.js';
import { unusableParquet } from './parquet-error.js';
import type { ParquetPage } from './parquet-pages.js';

/**
 * Follows how the values of a column's pages divide into rows. A repetition level of 0 begins a row. The definition
 * level says whether there is a value.
 */
export class RowLengths {
  readonly #path: string;
  readonly #levels: { readonly list: number; readonly value: number };
  readonly #cols: number | null;
  readonly #firstRow: number;
  #rows = 0;
  /** Values of the row under way. */
  #length = 0;

  /**
   * @param levels definition levels: `list` of a list with at least one entry, `value` of an entry that is not null
   * @param expected the length of each row, and the number of the first row; null takes the length of the first row
   */
  constructor(
    path: string,
    levels: { readonly list: number; readonly value: number },
    expected: { readonly cols: number; readonly row: number } | null,
  ) {
    this.#path = path;
    this.#levels = levels;
    this.#cols = expected?.cols ?? null;
    this.#firstRow = expected?.row ?? 0;
  }

  /** Rows begun so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds the values of one page. Returns the length of the first row as soon as it is known, if no length is expected.
   * @throws INVALID_DATA when a row is null, empty or of another length, or holds a null
   */
  add({ repetitionLevels, definitionLevels, values }: ParquetPage): number | null {
    const count = repetitionLevels.length;
    if (definitionLevels.length === 0 && values.length !== count)
      throw this.#bad(`a page has ${values.length} values, expected ${count}`);
    for (let i = 0; i < count; i++) {
      if (repetitionLevels[i] === 0) {
        if (this.#rows > 0) {
          if (this.#cols === null) return this.#length;
          this.#checkLength();
        }
        this.#rows++;
        this.#length = 0;
      } else if (this.#rows === 0) throw this.#bad('a row group begins inside a row');
      const level = definitionLevels[i];
      if (level !== undefined && level !== this.#levels.value)
        throw this.#bad(`${this.#name()} ${this.#fault(level)}`);
      this.#length++;
    }
    return null;
  }

  /** Ends the last row. Returns its length. @throws INVALID_DATA when it has another length than expected */
  end(): number {
    if (this.#rows === 0) throw this.#bad('a row group has no values');
    if (this.#cols !== null) this.#checkLength();
    return this.#length;
  }

  #checkLength(): void {
    if (this.#length === this.#cols) return;
    throw this.#bad(
      `${this.#name()} holds ${this.#length} numbers, the first row ${this.#cols}: all vectors must have the same length`,
    );
  }

  #fault(level: number): string {
    if (level >= this.#levels.list) return 'holds a null, expected numbers only';
    return level === this.#levels.list - 1
      ? 'is empty or null, expected a vector'
      : 'is null, expected a vector';
  }

  #name(): string {
    return `row ${this.#firstRow + this.#rows - 1}`;
  }

  #bad(why: string): TldrError {
    return unusableParquet(this.#path, why);
  }
}
