import { isLosslessNumber, parse } from 'lossless-json';
import { expectDefined } from '../core/errors.js';

/** When a payload field looks like labels, and how much of payloads is kept. Chosen. */
const LOOKS = {
  // A label is short: titles and texts are longer, or unique.
  charsMax: 64,
  // Keys within keys that are looked at, and fields that are kept at once.
  depthMax: 3,
  fieldsMax: 256,
  // Rows after which a field is given up if nearly each of its values is new.
  earlyRows: 1_000,
  earlyNewMax: 0.5,
  // Fewest rows, as a share of those read, that hold a value.
  filledMin: 0.5,
  // Largest share of the most frequent value: beyond it, the field is nearly constant.
  commonMax: 0.9,
  // A value counts as repeated from so many rows, and most rows must hold a repeated one.
  repeats: 5,
  repeatedMin: 0.8,
  // Fields that are measured.
  keptMax: 12,
} as const;

/** A payload field that looks like labels. */
export interface FoundLabels {
  /** The key, or the path with dots. */
  readonly field: string;
  /** A number for each row's value, -1 for none. */
  readonly labels: Int32Array;
}

interface Tally {
  readonly labels: Int32Array;
  readonly numbers: Map<string, number>;
  filled: number;
}

/**
 * Finds payload fields that look like labels: short texts, whole numbers and truth values, or lists of them, that
 * repeat and are not nearly constant. Of payloads it keeps only these values, as numbers.
 */
export class LabelFinder {
  readonly #rows: number;
  /** Null stands for a field that was given up. */
  readonly #tallies = new Map<string, Tally | null>();
  #read = 0;

  /** @param rows row numbers that `add` may get */
  constructor(rows: number) {
    this.#rows = rows;
  }

  /** Looks at the payload of a row. */
  add(row: number, payloadJson: string): void {
    this.#read++;
    for (const [field, value] of smallValues(parse(payloadJson))) this.#count(row, field, value);
  }

  #count(row: number, field: string, value: string): void {
    let tally = this.#tallies.get(field);
    if (tally === null) return;
    if (tally === undefined) {
      if (this.#tallies.size >= LOOKS.fieldsMax) return;
      tally = { labels: new Int32Array(this.#rows).fill(-1), numbers: new Map(), filled: 0 };
      this.#tallies.set(field, tally);
    }
    const number = tally.numbers.get(value) ?? tally.numbers.size;
    tally.numbers.set(value, number);
    tally.labels[row] = number;
    tally.filled++;
    const isUnique = tally.numbers.size > LOOKS.earlyNewMax * tally.filled;
    if (tally.filled >= LOOKS.earlyRows && isUnique) this.#tallies.set(field, null);
  }

  /** Returns the fields that look like labels, those with the fewest different values first, at most twelve. */
  found(): readonly FoundLabels[] {
    return [...this.#tallies]
      .flatMap(([field, tally]) =>
        tally !== null && this.#looksLikeLabels(tally) ? [{ field, ...tally }] : [],
      )
      .sort((a, b) => a.numbers.size - b.numbers.size || (a.field < b.field ? -1 : 1))
      .slice(0, LOOKS.keptMax)
      .map(({ field, labels }) => ({ field, labels }));
  }

  #looksLikeLabels({ labels, numbers, filled }: Tally): boolean {
    if (filled < LOOKS.filledMin * this.#read || numbers.size < 2) return false;
    const counts = new Int32Array(numbers.size);
    for (const label of labels) if (label >= 0) counts[label] = expectDefined(counts[label], 'a count') + 1;
    const most = counts.reduce((max, count) => Math.max(max, count), 0);
    if (most > LOOKS.commonMax * filled) return false;
    const repeated = counts.reduce((sum, count) => (count >= LOOKS.repeats ? sum + count : sum), 0);
    return repeated >= LOOKS.repeatedMin * filled;
  }
}

/** The small values of a payload, by field. Of a list, its first value. */
function smallValues(payload: unknown): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const look = (from: unknown, path: string, depth: number): void => {
    if (typeof from !== 'object' || from === null || isLosslessNumber(from) || Array.isArray(from)) return;
    const entries: [string, unknown][] = Object.entries(from);
    for (const [key, value] of entries) {
      const text = smallText(Array.isArray(value) ? value[0] : value);
      // Within an object, a key with a dot cannot be named as a path.
      const isNamed = key !== '' && (depth === 0 || !key.includes('.'));
      if (text !== null && isNamed && !values.has(path + key)) values.set(path + key, text);
    }
    if (depth + 1 >= LOOKS.depthMax) return;
    for (const [key, value] of entries)
      if (key !== '' && !key.includes('.')) look(value, `${path}${key}.`, depth + 1);
  };
  look(payload, '', 0);
  return values;
}

function smallText(value: unknown): string | null {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return value.length > 0 && value.length <= LOOKS.charsMax ? value : null;
  return isLosslessNumber(value) && /^-?\d{1,18}$/.test(value.value) ? value.value : null;
}
