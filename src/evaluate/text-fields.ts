import { isLosslessNumber, parse } from 'lossless-json';

/** When a payload field looks like a text to read. Chosen. */
const LOOKS = {
  // Keys within keys that are looked at, and fields that are kept at once.
  depthMax: 3,
  fieldsMax: 256,
  // Fewest payloads, as a share, that hold a text, and of the texts those that differ.
  filledMin: 0.5,
  differentMin: 0.5,
  // Fewest texts, as a share, that read like words: with a blank, or in a script that has none.
  wordsMin: 0.5,
  // Shorter texts on average are names rather than sentences.
  charsMin: 12,
} as const;

interface Tally {
  readonly texts: Set<string>;
  filled: number;
  chars: number;
  words: number;
}

/**
 * Returns the payload field whose texts say best what a point is: texts that read like words and differ from point to
 * point, the shortest such field, such as a title. Null if there is none.
 */
export function textFieldOf(payloads: readonly string[]): string | null {
  const tallies = new Map<string, Tally>();
  for (const json of payloads)
    for (const [field, text] of textsOf(parse(json))) {
      const tally = tallies.get(field) ?? { texts: new Set(), filled: 0, chars: 0, words: 0 };
      if (!tallies.has(field) && tallies.size >= LOOKS.fieldsMax) continue;
      tallies.set(field, tally);
      tally.texts.add(text);
      tally.filled++;
      tally.chars += text.length;
      if (/\s|[^\p{ASCII}]/u.test(text)) tally.words++;
    }
  const readable = [...tallies].filter(
    ([, { texts, filled, words }]) =>
      filled >= LOOKS.filledMin * payloads.length &&
      texts.size >= LOOKS.differentMin * filled &&
      words >= LOOKS.wordsMin * filled,
  );
  const meanChars = ([, { chars, filled }]: [string, Tally]): number => chars / filled;
  const sorted = readable.sort((a, b) => meanChars(a) - meanChars(b) || (a[0] < b[0] ? -1 : 1));
  const chosen = sorted.find((one) => meanChars(one) >= LOOKS.charsMin) ?? sorted.at(-1);
  return chosen?.[0] ?? null;
}

/** The texts of a payload that are not empty, by field: a key, or a path with dots. */
function textsOf(payload: unknown): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const look = (from: unknown, path: string, depth: number): void => {
    if (typeof from !== 'object' || from === null || isLosslessNumber(from) || Array.isArray(from)) return;
    const entries: [string, unknown][] = Object.entries(from);
    for (const [key, value] of entries) {
      // Within an object, a key with a dot cannot be named as a path.
      if (key === '' || (depth > 0 && key.includes('.'))) continue;
      if (typeof value === 'string' && value.trim() !== '') texts.set(path + key, value);
      else if (depth + 1 < LOOKS.depthMax && !key.includes('.')) look(value, `${path}${key}.`, depth + 1);
    }
  };
  look(payload, '', 0);
  return texts;
}
