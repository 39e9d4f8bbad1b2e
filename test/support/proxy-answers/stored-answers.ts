import type { JsonValue } from '@bufbuild/protobuf';
import { expect } from '@jest/globals';
import { isLosslessNumber, LosslessNumber, parse, stringify } from 'lossless-json';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Layout } from '../../../src/store/collection.js';
import type { Filed, StoredCase } from '../wire/stored-cases.js';
import { LAYOUTS, type Side } from './compared-servers.js';
import { inOrder } from '../serve/http-probe.js';

const FOLDER = 'test/adapters/qdrant/serve';
/** Set to write the answers that came instead of comparing them with the stored ones: read what changes. */
const STORING = (process.env['STORE_ANSWERS'] ?? '') !== '';

/** What came back to a client. */
export interface Answer {
  /** Of REST, or of gRPC. */
  readonly status: number;
  readonly refused: boolean;
  /** The body, or what a gRPC status says; made steady. */
  readonly text: string;
  readonly headers: readonly string[];
}

export type Answers = Readonly<Record<Side, Answer>>;

/** What the rewriter says of a request, by the stored case. */
export interface Decided {
  /** The refusal that it gives by itself, if it does. */
  readonly refusal: Pick<Answer, 'status' | 'text'> | null;
  /** Whether the answer is written by the proxy, with fewer headers than one that is passed on. */
  readonly own: boolean;
}

/** The answers of the pinned server, one text file for every file of cases. */
export class StoredAnswers {
  readonly #folder: string;
  readonly #files = new Map<string, Map<string, string>>();

  constructor(transport: 'rest' | 'grpc', files: readonly string[]) {
    this.#folder = `${FOLDER}/${transport}-answers`;
    for (const file of files)
      this.#files.set(file, STORING ? new Map<string, string>() : readAnswers(`${this.#folder}/${file}.txt`));
  }

  /** Stores the answers in place of those before, where that is asked for: the original's, and others than it. */
  keep({ file, name }: Filed<StoredCase>, answers: Answers): void {
    if (STORING) this.#files.get(file)?.set(name, linesOf(answers));
  }

  /** Compares answers with the stored ones. */
  check({ file, name }: Filed<StoredCase>, answers: Answers): void {
    expect(linesOf(answers)).toBe(this.#files.get(file)?.get(name));
  }

  /** What is stored for no case, and what cases say to differ that does not. */
  leftOver(cases: readonly Filed<StoredCase>[]): string[] {
    const known = new Set(cases.map(({ file, name }) => `${file}: ${name}`));
    const stored = [...this.#files].flatMap(([file, answers]) =>
      [...answers.keys()].map((name) => `${file}: ${name}`),
    );
    const alike = cases.flatMap(({ file, name, differs = {} }) => {
      const lines = this.#files.get(file)?.get(name)?.split('\n') ?? [];
      return Object.keys(differs)
        .filter((layout) => !lines.some((line) => line.startsWith(`${layout}: `)))
        .map((layout) => `${file}: ${name}: ${layout}`);
    });
    return [...stored.filter((name) => !known.has(name)), ...alike];
  }

  save(): void {
    if (!STORING) return;
    for (const [file, answers] of this.#files) {
      const text = [...answers].map(([name, lines]) => `# ${name}\n${lines}\n`).join('\n');
      writeFileSync(`${this.#folder}/${file}.txt`, text);
    }
  }
}

function readAnswers(path: string): Map<string, string> {
  const blocks = readFileSync(path, 'utf8').split(/^# /m).slice(1);
  return new Map(
    blocks.map((block) => {
      const end = block.indexOf('\n');
      return [block.slice(0, end), block.slice(end + 1).trimEnd()];
    }),
  );
}

function linesOf(answers: Answers): string {
  const original = lineOf(answers.original);
  const others = LAYOUTS.map((layout) => [layout, lineOf(answers[layout])] as const);
  return [['original', original] as const, ...others.filter(([, line]) => line !== original)]
    .map(([side, line]) => `${side}: ${line}`)
    .join('\n');
}

function lineOf({ status, text }: Pick<Answer, 'status' | 'text'>): string {
  return `${status} ${text}`.trimEnd();
}

/**
 * In the two-stage layout clients get what the original collection answers, in the compact one the same status and
 * shape; where the proxy refuses by itself, what is stored, and in the words of the server where it refuses as well.
 * A case may say why not; then what is stored holds alone.
 */
export function expectAsOriginal(
  one: StoredCase,
  answers: Answers,
  decided: Readonly<Record<Layout, Decided>>,
): void {
  for (const layout of LAYOUTS) {
    const [answer, { refusal, own }] = [answers[layout], decided[layout]];
    if (refusal !== null)
      expect({ layout, answer: lineOf(answer) }).toEqual({ layout, answer: lineOf(refusal) });
    if (refusal !== null && !answers.original.refused) continue;
    const shown = layout === 'compact' && refusal === null ? shapeOf : own ? said : whole;
    const [got, wanted] = [
      { layout, ...shown(answer) },
      { layout, ...shown(answers.original) },
    ];
    if (one.differs?.[layout] === undefined) expect(got).toEqual(wanted);
  }
}

function whole(answer: Answer): object {
  return { ...said(answer), headers: answer.headers };
}

function said({ status, text }: Answer): object {
  return { status, text: text.replace(POSITION, '') };
}

/** Status, and kinds of values by their names; an id is one whether it is a number or not. */
function shapeOf(answer: Answer): object {
  return answer.refused ? said(answer) : { status: answer.status, shape: shape(jsonOf(answer.text)) };
}

function shape(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((inner) => JSON.stringify(shape(inner))))].sort();
  if (isLosslessNumber(value) || typeof value !== 'object' || value === null)
    return value === null ? 'null' : isLosslessNumber(value) ? 'number' : typeof value;
  const entries = Object.entries(value).map(
    ([key, inner]) => [key, key === 'id' ? 'id' : shape(inner)] as const,
  );
  // A score of 0 is not written in messages of gRPC.
  return { ...Object.fromEntries(entries), ...('version' in value ? { score: 'number' } : {}) };
}

function jsonOf(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** Of the moment, of the server asked, or of how much was written before. */
const CHANGING = new Set(['time', 'peer_id', 'peerId', 'operation_id', 'operationId']);
/** Objects whose keys the server writes in any order. */
const UNORDERED = new Set(['vector', 'vectors', 'payload_schema']);
/** Where in a body something is wrong: another place where the proxy has changed the body. */
const POSITION = / at line \d+ column \d+/;

/**
 * An answer's text without what differs from one asking to the next: times, and the order of what the server leaves to
 * chance. Numbers stay as they are written.
 */
export function steady(text: string): string {
  const value = jsonOf(text);
  return typeof value === 'string' ? inOrder(text) : (stringify(steadyValue(value, '')) ?? '');
}

/** The same for a message of gRPC as JSON: its maps have no order, and it holds a time or none. */
export function steadyMessage(message: JsonValue): string {
  const sorted = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).filter(([key]) => key !== 'time');
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
  };
  return steady(JSON.stringify(sorted(message)));
}

function steadyValue(value: unknown, key: string): unknown {
  if (CHANGING.has(key)) return new LosslessNumber('0');
  if (Array.isArray(value))
    return ordered(
      value.map((inner) => steadyValue(inner, '')),
      key,
    );
  if (isLosslessNumber(value) || typeof value !== 'object' || value === null) return value;
  if ('checksum' in value) return steadySnapshot(value);
  const entries = Object.entries(value).map(([name, inner]) => [name, steadyValue(inner, name)] as const);
  return Object.fromEntries(UNORDERED.has(key) ? entries.sort(([a], [b]) => (a < b ? -1 : 1)) : entries);
}

function steadySnapshot(value: object): object {
  const name = 'name' in value ? String(value.name).replace(/\d+/g, '0') : '';
  return { ...Object.fromEntries(Object.keys(value).map((key) => [key, null])), name };
}

/** Lists without an order by their text; points of one score by their ids, and those of the last score by it alone. */
function ordered(list: readonly unknown[], key: string): readonly unknown[] {
  const text = (value: unknown): string => stringify(value) ?? '';
  const byText = (a: unknown, b: unknown): number => (text(a) < text(b) ? -1 : 1);
  if (/collections|aliases|pairs|snapshots/.test(key)) return [...list].sort(byText);
  if (!list.every(isScored)) return list;
  const last = text(list.at(-1)?.score);
  const tied = list.filter(({ score }) => text(score) === last).length > 1;
  const shown = list.map((hit) => (tied && text(hit.score) === last ? { score: hit.score } : hit));
  return shown.sort((a, b) => (text(a.score) === text(b.score) ? byText(a, b) : 0));
}

function isScored(value: unknown): value is { readonly score?: unknown } {
  // A score of 0 is not written in messages of gRPC, the version is.
  return (
    typeof value === 'object' && value !== null && 'id' in value && ('score' in value || 'version' in value)
  );
}
