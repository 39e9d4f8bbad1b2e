/** A number exactly as the server wrote it. */
export class NumberText {
  constructor(readonly text: string) {}
}

/** JSON without loss: numbers keep their digits, and objects are maps, so that every key is only a key. */
export type ExactJson = null | boolean | string | NumberText | ExactJson[] | ExactObject;
/** An object of `ExactJson`. */
export type ExactObject = Map<string, ExactJson>;

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** Reads JSON text with code that shares nothing with the product. @throws where the text is not JSON */
export function readExactJson(text: string): ExactJson {
  const reader = new Reader(text);
  const value = reader.value();
  reader.end();
  return value;
}

/** Returns the value as text: keys sorted at every depth, numbers as they were written. */
export function textOf(value: ExactJson): string {
  if (value instanceof NumberText) return value.text;
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (!(value instanceof Map)) return JSON.stringify(value);
  const entries = [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${textOf(inner)}`).join()}}`;
}

/** Returns the value of a key. @throws where `value` is not an object with that key */
export function fieldOf(value: ExactJson, key: string): ExactJson {
  const found = value instanceof Map ? value.get(key) : undefined;
  if (found === undefined) throw new Error(`no "${key}" in ${textOf(value).slice(0, 300)}`);
  return found;
}

/** Returns the list. @throws where `value` is something else */
export function listOf(value: ExactJson): ExactJson[] {
  if (!Array.isArray(value)) throw new Error(`not a list: ${textOf(value).slice(0, 300)}`);
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): ExactJson {
    this.#take(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') return this.#object();
    if (first === '[') return this.#list();
    if (first === '"') return this.#string();
    const word = this.#take(WORD);
    if (word !== null) return word === 'null' ? null : word === 'true';
    const number = this.#take(NUMBER);
    if (number === null) throw this.#wrong('a value');
    return new NumberText(number);
  }

  end(): void {
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw this.#wrong('the end');
  }

  #object(): ExactObject {
    const found: ExactObject = new Map();
    this.#each('}', () => {
      const key = this.#string();
      this.#expect(':');
      found.set(key, this.value());
    });
    return found;
  }

  #list(): ExactJson[] {
    const found: ExactJson[] = [];
    this.#each(']', () => found.push(this.value()));
    return found;
  }

  #each(close: string, read: () => void): void {
    this.#at++;
    if (this.#next(close)) return;
    do {
      this.#take(SPACE);
      read();
    } while (this.#next(','));
    this.#expect(close);
  }

  #string(): string {
    const text = this.#take(STRING);
    if (text === null) throw this.#wrong('a string');
    return String(JSON.parse(text));
  }

  #next(sign: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }

  #expect(sign: string): void {
    if (!this.#next(sign)) throw this.#wrong(`"${sign}"`);
  }

  #take(form: RegExp): string | null {
    form.lastIndex = this.#at;
    const found = form.exec(this.#text);
    if (found === null) return null;
    this.#at = form.lastIndex;
    return found[0];
  }

  #wrong(expected: string): Error {
    return new Error(
      `expected ${expected} at ${this.#at}, found ${this.#text.slice(this.#at, this.#at + 40)}`,
    );
  }
}
