import { isLosslessNumber, parse } from 'lossless-json';
import { expectDefined } from '../core/errors.js';

/** When a payload field looks like labels, and how much of payloads is kept. Chosen. */
const LOOKS = {
  // A label is short: titles and texts are longer, or unique.
  charsMax: 64,
  // Keys within keys that are looked at, and fields that are looked at, those that were given up included.
  depthMax: 3,
  fieldsMax: 256,
  // Bytes of all fields that are held at once, by estimate.
  bytesMax: 64 * 2 ** 20,
  // Rows for which a field has room at first, and bytes of a value beside its characters.
  roomMin: 1_024,
  valueBytes: 100,
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
  /** The value of each number. */
  readonly names: readonly string[];
}

interface Tally {
  /** The number of the value of each payload read, -1 for none; longer than needed, so that it seldom grows. */
  readonly labels: Int32Array;
  readonly numbers: Map<string, number>;
  readonly filled: number;
  readonly bytes: number;
}

/**
 * Finds payload fields that look like labels: short texts, whole numbers and truth values, or lists of them, that
 * repeat and are not nearly constant. Of payloads it keeps only these values, as numbers, within a limit of bytes:
 * beyond it, fields that do not look like labels so far are given up first.
 */
export class LabelFinder {
  readonly #rows: number;
  readonly #bytesMax: number;
  /** Null stands for a field that was given up. */
  readonly #tallies = new Map<string, Tally | null>();
  /** The rows whose payloads were read, in that order. */
  readonly #readRows: number[] = [];
  #bytes = 0;
  /** So many payloads must be read before fields are given up for their looks again. */
  #nextReview: number = LOOKS.earlyRows;

  /**
   * @param rows row numbers that `add` may get
   * @param bytesMax bytes that all fields may take together, by estimate
   */
  constructor(rows: number, bytesMax: number = LOOKS.bytesMax) {
    this.#rows = rows;
    this.#bytesMax = bytesMax;
  }

  /** Looks at the payload of a row. */
  add(row: number, payloadJson: string): void {
    const at = this.#readRows.push(row) - 1;
    for (const [field, value] of smallValues(parse(payloadJson))) this.#count(at, field, value);
  }

  #count(at: number, field: string, value: string): void {
    const tally = this.#tallyWithRoom(at, field, value);
    if (tally === null) return;
    const { labels, numbers } = tally;
    const number = numbers.get(value) ?? numbers.size;
    numbers.set(value, number);
    labels[at] = number;
    const filled = tally.filled + 1;
    this.#tallies.set(field, { ...tally, filled });
    if (filled >= LOOKS.earlyRows && numbers.size > LOOKS.earlyNewMax * filled) this.#giveUp(field);
  }

  /** Returns the tally of a field with room for one more value; null if it is not looked at, or there is no room. */
  #tallyWithRoom(at: number, field: string, value: string): Tally | null {
    const existing = this.#tallies.get(field);
    if (existing === null) return null;
    if (existing === undefined && this.#tallies.size >= LOOKS.fieldsMax) return null;
    const tally = existing ?? {
      labels: new Int32Array(0),
      numbers: new Map<string, number>(),
      filled: 0,
      bytes: 0,
    };
    const room = at < tally.labels.length ? tally.labels.length : Math.max(LOOKS.roomMin, 2 * at);
    const more =
      4 * (room - tally.labels.length) + (tally.numbers.has(value) ? 0 : LOOKS.valueBytes + 2 * value.length);
    if (more === 0) return tally;
    if (!this.#hasRoom(more)) {
      this.#giveUp(field);
      return null;
    }
    if (this.#tallies.get(field) === null) return null;
    this.#bytes += more;
    return { ...tally, labels: longer(tally.labels, room), bytes: tally.bytes + more };
  }

  /** Whether so many more bytes can be held, if need be after giving up fields that do not look like labels so far. */
  #hasRoom(more: number): boolean {
    if (this.#bytes + more <= this.#bytesMax) return true;
    if (this.#readRows.length >= this.#nextReview) {
      this.#nextReview = 2 * this.#readRows.length;
      for (const [field, tally] of this.#tallies)
        if (tally !== null && !this.#looksLikeLabels(tally)) this.#giveUp(field);
    }
    return this.#bytes + more <= this.#bytesMax;
  }

  #giveUp(field: string): void {
    this.#bytes -= this.#tallies.get(field)?.bytes ?? 0;
    this.#tallies.set(field, null);
  }

  /** Returns the fields that look like labels, those with the fewest different values first, at most twelve. */
  found(): readonly FoundLabels[] {
    return [...this.#tallies]
      .flatMap(([field, tally]) =>
        tally !== null && this.#looksLikeLabels(tally) ? [{ field, ...tally }] : [],
      )
      .sort((a, b) => a.numbers.size - b.numbers.size || (a.field < b.field ? -1 : 1))
      .slice(0, LOOKS.keptMax)
      .map(({ field, labels, numbers }) => ({
        field,
        labels: this.#byRow(labels),
        names: [...numbers.keys()],
      }));
  }

  #byRow(labels: Int32Array): Int32Array {
    const byRow = new Int32Array(this.#rows).fill(-1);
    labels.subarray(0, this.#readRows.length).forEach((label, at) => {
      if (label >= 0) byRow[expectDefined(this.#readRows[at], 'the row of a payload')] = label;
    });
    return byRow;
  }

  #looksLikeLabels({ labels, numbers, filled }: Tally): boolean {
    if (filled < LOOKS.filledMin * this.#readRows.length || numbers.size < 2) return false;
    const counts = new Int32Array(numbers.size);
    for (const label of labels) if (label >= 0) counts[label] = expectDefined(counts[label], 'a count') + 1;
    const most = counts.reduce((max, count) => Math.max(max, count), 0);
    if (most > LOOKS.commonMax * filled) return false;
    const repeated = counts.reduce((sum, count) => (count >= LOOKS.repeats ? sum + count : sum), 0);
    return repeated >= LOOKS.repeatedMin * filled;
  }
}

function longer(labels: Int32Array, length: number): Int32Array {
  if (length === labels.length) return labels;
  const grown = new Int32Array(length).fill(-1);
  grown.set(labels);
  return grown;
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
