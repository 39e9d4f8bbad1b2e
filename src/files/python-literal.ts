/** A value of a Python literal, of the kinds that headers of .npy files hold. */
export type PythonValue = string | bigint | boolean | null | readonly PythonValue[] | PythonDict;
export type PythonDict = ReadonlyMap<string, PythonValue>;

export function isDict(value: PythonValue): value is PythonDict {
  return value instanceof Map;
}

/** True for a tuple too. */
export function isList(value: PythonValue): value is readonly PythonValue[] {
  return Array.isArray(value);
}

/** Deeper than the nesting of any header. */
const DEPTH_MAX = 20;
const WORDS = new Map<string, PythonValue>([
  ['True', true],
  ['False', false],
  ['None', null],
]);
const ESCAPES = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
]);

/**
 * Reads a Python literal of strings, whole numbers, `True`, `False`, `None`, tuples, lists and dictionaries whose keys
 * are strings. Long numbers of Python 2 (`3L`) and strings with a prefix (`u'x'`) are read too.
 * @throws Error that says what was expected, and at which character
 */
export function parsePythonLiteral(text: string): PythonValue {
  const reader = new LiteralReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class LiteralReader {
  #at = 0;

  constructor(private readonly text: string) {}

  value(depth: number): PythonValue {
    if (depth > DEPTH_MAX) throw this.#wrong('less nesting');
    const word = this.#take(/(?:True|False|None)\b/y);
    if (word !== null) return WORDS.get(word) ?? null;
    const number = this.#take(/[+-]?\d+L?(?![\w.])/y);
    if (number !== null) return BigInt(number.replace(/[+L]/g, ''));
    const quote = this.#take(/[uUbB]?['"]/y);
    if (quote !== null) return this.#string(quote.slice(-1));
    if (this.#take(/\[/y) !== null) return this.#items(/\]/y, depth).values;
    if (this.#take(/\{/y) !== null) return this.#dict(depth);
    if (this.#take(/\(/y) === null) throw this.#wrong('a value');
    const { values, commas } = this.#items(/\)/y, depth);
    const [only] = values;
    // In Python, `(1)` is a number and `(1,)` is a tuple.
    return values.length === 1 && commas === 0 && only !== undefined ? only : values;
  }

  end(): void {
    this.#take(/(?=$)/y);
    if (this.#at < this.text.length) throw this.#wrong('the end');
  }

  #items(close: RegExp, depth: number): { values: PythonValue[]; commas: number } {
    const values: PythonValue[] = [];
    let commas = 0;
    while (this.#take(close) === null) {
      if (values.length > commas) throw this.#wrong('a comma');
      values.push(this.value(depth + 1));
      if (this.#take(/,/y) !== null) commas++;
    }
    return { values, commas };
  }

  #dict(depth: number): PythonDict {
    const dict = new Map<string, PythonValue>();
    for (let separated = true; this.#take(/\}/y) === null; separated = this.#take(/,/y) !== null) {
      if (!separated) throw this.#wrong('a comma');
      const key = this.value(depth + 1);
      if (typeof key !== 'string' || dict.has(key)) throw this.#wrong('a key that is a new string');
      if (this.#take(/:/y) === null) throw this.#wrong('a colon');
      dict.set(key, this.value(depth + 1));
    }
    return dict;
  }

  #string(quote: string): string {
    let value = '';
    for (; ; this.#at++) {
      let char = this.text[this.#at];
      if (char === undefined || char === '\n') throw this.#wrong(`a closing ${quote}`);
      if (char === quote) break;
      if (char === '\\') {
        char = this.text[++this.#at] ?? '';
        char = ESCAPES.get(char) ?? char;
      }
      value += char;
    }
    this.#at++;
    return value;
  }

  /** Skips blanks, then takes and returns the next token if it is of this kind, else null. */
  #take(kind: RegExp): string | null {
    while (/\s/.test(this.text[this.#at] ?? '')) this.#at++;
    kind.lastIndex = this.#at;
    const found = kind.exec(this.text)?.[0];
    this.#at += found?.length ?? 0;
    return found ?? null;
  }

  #wrong(expected: string): Error {
    const found = this.text.slice(this.#at, this.#at + 20);
    return new Error(`expected ${expected} at character ${this.#at}, got ${JSON.stringify(found)}`);
  }
}
