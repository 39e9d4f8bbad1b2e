import { decodeMessage } from '../wire/grpc-schemas.js';

/** One call of a program and what it got: an answer, or an error that the program expected. */
export interface FlowLine {
  readonly call: string;
  readonly answer: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/** Fields that tell how often or how fast a server did something, not what. */
const UNCOMPARED = /^(time|usage|version|operation_?id|metadata|segments_?count|indexed_?vectors_?count)$/i;
const TOLERANCE = 1e-3;

/** A line as it is printed: an answer, or the bytes of a message of gRPC in hexadecimal digits. */
type PrintedLine = FlowLine | { readonly call: string; readonly message: string; readonly bytes: string };

/** Returns the lines that a program printed, with NAME in place of its collection's name. */
export function flowLines(printed: string, collection: string): FlowLine[] {
  const lines = printed.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((text) => {
    const line = JSON.parse(text) as PrintedLine;
    const answer =
      'bytes' in line ? decodeMessage(line.message, Buffer.from(line.bytes, 'hex')) : line.answer;
    return JSON.parse(JSON.stringify({ call: line.call, answer }).replaceAll(collection, 'NAME')) as FlowLine;
  });
}

/** Returns a line for every call whose answers are not the same. Scores and vectors may differ in their last digits. */
export function flowDifferences(wanted: readonly FlowLine[], found: readonly FlowLine[]): string[] {
  return pairs(wanted, found, (one, other) => firstDifference(one, other, ''));
}

/**
 * Returns a line for every call whose answers differ in more than a compact space allows: searches may find other points
 * with other scores, and stored vectors are shorter.
 */
export function flowShapeDifferences(wanted: readonly FlowLine[], found: readonly FlowLine[]): string[] {
  return pairs(wanted, found, (one, other) => {
    const shown = hasScores(one) ? shapeOf : withoutVectors;
    return firstDifference(shown(one), shown(other), '');
  });
}

function pairs(
  wanted: readonly FlowLine[],
  found: readonly FlowLine[],
  compare: (wanted: unknown, found: unknown) => string | null,
): string[] {
  const calls = [wanted, found].map((lines) => lines.map(({ call }) => call).join(', '));
  if (calls[0] !== calls[1]) return [`the calls are ${calls[1]}, expected ${calls[0]}`];
  return wanted.flatMap(({ call, answer }, i) => {
    const difference = compare(answer, found[i]?.answer);
    return difference === null ? [] : [`${call}: ${difference}`];
  });
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isNumbers = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number');

const comparedFields = (value: Fields): [string, unknown][] =>
  Object.entries(value)
    .filter(([key]) => !UNCOMPARED.test(key))
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** Where two answers differ, and how; null if they are the same. */
function firstDifference(wanted: unknown, found: unknown, at: string): string | null {
  if (typeof wanted === 'number' && typeof found === 'number') {
    if (Math.abs(wanted - found) <= (Number.isInteger(wanted) ? 1e-6 : TOLERANCE)) return null;
  } else if (Array.isArray(wanted) && Array.isArray(found)) return listDifference(wanted, found, at);
  else if (isFields(wanted) && isFields(found)) {
    const [a, b] = [comparedFields(wanted), comparedFields(found)];
    const [keysA, keysB] = [a, b].map((fields) => fields.map(([key]) => key).join());
    if (keysA !== keysB) return `${at} has the fields ${keysB}, expected ${keysA}`;
    for (const [i, [key, value]] of a.entries()) {
      const difference = firstDifference(value, b[i]?.[1], `${at}.${key}`);
      if (difference !== null) return difference;
    }
    return null;
  } else if (wanted === found) return null;
  return `${at} is ${shown(found)}, expected ${shown(wanted)}`;
}

const shown = (value: unknown): string => JSON.stringify(value ?? null).slice(0, 200);

function listDifference(wanted: readonly unknown[], found: readonly unknown[], at: string): string | null {
  if (wanted.length !== found.length) return `${at} has ${found.length} items, expected ${wanted.length}`;
  const ordered = rankedByScore(wanted) && rankedByScore(found) ? sameOrder(wanted, found) : found;
  for (const [i, one] of wanted.entries()) {
    const difference = firstDifference(one, ordered[i], `${at}[${i}]`);
    if (difference !== null) return difference;
  }
  return null;
}

interface Hit {
  readonly id: unknown;
  readonly score: number;
}

/** Whether these are results whose order their scores decide. */
function rankedByScore(items: readonly unknown[]): items is Hit[] {
  return items.every(
    (item) =>
      isFields(item) &&
      'id' in item &&
      typeof item['score'] === 'number' &&
      item['order_value'] === undefined,
  );
}

/** Puts results whose scores are as good as equal into the order of the others. */
function sameOrder(wanted: readonly Hit[], found: readonly Hit[]): readonly Hit[] {
  const keyOf = ({ id }: Hit): string => JSON.stringify(id);
  const inOrder = wanted.map((hit) => found.find((other) => keyOf(other) === keyOf(hit)));
  const moved = inOrder.every((hit, i) => hit && Math.abs(hit.score - (found[i]?.score ?? NaN)) <= TOLERANCE);
  return moved ? inOrder.flatMap((hit) => hit ?? []) : found;
}

function hasScores(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasScores);
  return isFields(value) && ('score' in value || Object.values(value).some(hasScores));
}

/** The answer with a word in place of each value. */
function shapeOf(value: unknown): unknown {
  if (isNumbers(value)) return 'numbers';
  if (Array.isArray(value)) return value.map(shapeOf);
  if (isFields(value))
    return Object.fromEntries(comparedFields(value).map(([key, item]) => [key, shapeOf(item)]));
  return typeof value;
}

/** The answer with a word in place of each vector. */
function withoutVectors(value: unknown): unknown {
  if (isNumbers(value)) return 'numbers';
  if (Array.isArray(value)) return value.map(withoutVectors);
  if (isFields(value))
    return Object.fromEntries(comparedFields(value).map(([key, item]) => [key, withoutVectors(item)]));
  return value;
}
