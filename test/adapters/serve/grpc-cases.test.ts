import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServedCollection } from '../../../src/core/served-collection.js';
import type { Layout } from '../../../src/core/vector-store.js';
import type { AnswerForm, GrpcCall, GrpcRewrite } from '../../../src/core/wire.js';
import { fixtureRewriter } from './grpc-fixture.js';
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  METHOD_NAMES,
  pathOf,
} from './grpc-schemas.js';

const FOLDER = 'test/adapters/serve/grpc-cases';

/** A message as the official client writes it in JSON, or its bytes where JSON cannot say it. */
type Message = JsonValue | { readonly hex: string };

/** What comes of a request: sent, passed, answered, or points of another collection asked for first. */
type Outcome =
  | {
      readonly send: Message;
      /** Where it is not the method of the request. */
      readonly method?: string;
      readonly projected?: number;
      readonly answer?: string;
    }
  | { readonly status: number; readonly message: string }
  | { readonly lookup: readonly Message[] }
  | { readonly reply: Message }
  | { readonly pass: true };

interface Case {
  readonly name: string;
  readonly facts?: Partial<ServedCollection>;
  readonly method: string;
  readonly request: Message;
  /** Answers to an earlier lookup, of Points/Get. */
  readonly lookups?: readonly JsonValue[];
  readonly expected: Readonly<Record<Layout, Outcome>>;
}

interface AnswerCase {
  readonly name: string;
  readonly form: AnswerForm;
  readonly method: string;
  readonly answer: Message;
  readonly expected: Readonly<Record<Layout, Message>>;
}

function hexOf(message: Message): string | null {
  return typeof message === 'object' &&
    message !== null &&
    'hex' in message &&
    typeof message.hex === 'string'
    ? message.hex.replace(/\s/g, '')
    : null;
}

function bytesOf(message: Message, encode: (json: JsonValue) => Uint8Array): Uint8Array {
  const hex = hexOf(message);
  return hex === null ? encode(message) : Buffer.from(hex, 'hex');
}

function run({ method, request, lookups, facts }: Case, layout: Layout): Outcome {
  const rewriter = fixtureRewriter(layout, facts);
  const path = pathOf(method);
  const route = rewriter.route(path);
  if (route.kind === 'pass') return { pass: true };
  if (route.kind === 'status') return { status: route.code, message: route.message };
  const message = bytesOf(request, (json) => encodeRequest(method, json));
  const answers = lookups?.map((answer) => encodeAnswer('Points/Get', answer));
  return outcomeOf(rewriter.rewrite(path, message, answers), { method, asHex: hexOf(request) !== null });
}

function outcomeOf(made: GrpcRewrite, { method, asHex }: { method: string; asHex: boolean }): Outcome {
  const decoded = ({ path, message }: GrpcCall): Message =>
    asHex
      ? { hex: Buffer.from(message).toString('hex') }
      : decodeRequest(path.slice('/qdrant.'.length), message);
  switch (made.kind) {
    case 'pass':
      return { pass: true };
    case 'status':
      return { status: made.code, message: made.message };
    case 'reply':
      return { reply: decodeAnswer(method, made.message) };
    case 'lookup':
      return { lookup: made.calls.map(decoded) };
    case 'send': {
      const to = made.call.path.slice('/qdrant.'.length);
      return {
        send: decoded(made.call),
        ...(to === method ? {} : { method: to }),
        ...(made.projected === 0 ? {} : { projected: made.projected }),
        ...(made.answer === null || made.answer.form === 'error' ? {} : { answer: made.answer.form }),
      };
    }
  }
}

/** Bytes are written in groups, to be read. */
function plainHex(outcome: unknown): unknown {
  return JSON.parse(JSON.stringify(outcome), (key, value: unknown) =>
    key === 'hex' && typeof value === 'string' ? value.replace(/\s/g, '') : value,
  );
}

function load(file: string): unknown {
  return JSON.parse(readFileSync(`${FOLDER}/${file}`, 'utf8'));
}

const files = readdirSync(FOLDER);
const requestFiles = files.filter((file) => file !== 'answers.json');
const cases = requestFiles.flatMap((file) => (load(file) as Case[]).map((one) => ({ ...one, file })));

describe.each(requestFiles)('%s', (file) => {
  const own = cases.filter((one) => one.file === file);
  test.each(own.map(({ name }) => name))('%s', (name) => {
    const one = own.find((candidate) => candidate.name === name)!;
    for (const layout of ['two-stage', 'compact'] as const)
      expect({ layout, ...run(one, layout) }).toEqual({
        layout,
        ...(plainHex(one.expected[layout]) as object),
      });
  });
});

test('names of cases are unique within their file, and every method has one', () => {
  const named = cases.map(({ file, name }) => `${file}: ${name}`);
  expect(new Set(named).size).toBe(named.length);
  expect(METHOD_NAMES.filter((method) => !cases.some((one) => one.method === method))).toEqual([]);
});

describe('answers.json', () => {
  test.each(load('answers.json') as AnswerCase[])('$name', ({ form, method, answer, expected }) => {
    for (const layout of ['two-stage', 'compact'] as const) {
      const message = bytesOf(answer, (json) => encodeAnswer(method, json));
      const shown = fixtureRewriter(layout).rewriteAnswer(form, message);
      const decoded =
        hexOf(answer) === null ? decodeAnswer(method, shown) : { hex: Buffer.from(shown).toString('hex') };
      expect({ layout, answer: decoded }).toEqual({ layout, answer: plainHex(expected[layout]) });
    }
  });

  test.each([
    [
      'a collection',
      "Not found: Collection `docs_t` doesn't exist!",
      "Not found: Collection `docs` doesn't exist!",
    ],
    [
      'a vector',
      'Not found: Vector with name "compact" for point not found',
      'Not found: Vector with name "" for point not found',
    ],
    ['neither', 'Wrong input: something', 'Wrong input: something'],
  ])('an error that names %s', (_, text, expected) => {
    const form = { form: 'error', collection: 'docs', errorsOnly: true };
    expect(fixtureRewriter('two-stage').rewriteStatus(form, text)).toBe(expected);
  });

  test('a failed lookup reads as if the server had looked up', () => {
    const form = { form: 'lookup', collection: 'docs', errorsOnly: true };
    expect(fixtureRewriter('compact').rewriteStatus(form, "Not found: Collection `x` doesn't exist!")).toBe(
      'Not found: Collection x not found',
    );
  });
});

test('calls that are not the database’s own pass, its raw files and inner calls never do', () => {
  const rewriter = fixtureRewriter('two-stage');
  for (const path of [
    '/grpc.health.v1.Health/Check',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/qdrant.Qdrant/HealthCheck',
    '/qdrant.Snapshots/CreateFull',
  ])
    expect(rewriter.route(path)).toEqual({ kind: 'pass' });
  expect(rewriter.route('/qdrant.StorageRead/ReadFile')).toMatchObject({ kind: 'status', code: 7 });
  expect(rewriter.route('/qdrant.PointsInternal/Upsert')).toMatchObject({ kind: 'status', code: 12 });
  expect(rewriter.route('/qdrant.Points/Query')).toEqual({ kind: 'rewrite' });
  expect(rewriter.route('/qdrant.Points/SomethingNew')).toEqual({ kind: 'rewrite' });
});

test('a method that is not known passes unless it names a collection of ours', () => {
  const rewriter = fixtureRewriter('two-stage');
  const naming = (name: string): Uint8Array =>
    Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
  expect(rewriter.rewrite('/qdrant.Points/SomethingNew', naming('elsewhere'))).toEqual({ kind: 'pass' });
  for (const name of ['docs', 'docs-alias', 'docs_t'])
    expect(rewriter.rewrite('/qdrant.Points/SomethingNew', naming(name))).toMatchObject({
      kind: 'status',
      code: 3,
    });
});

test('ids of results are found in every envelope', () => {
  const rewriter = fixtureRewriter('compact');
  const ids = (method: string, answer: JsonValue): readonly (readonly string[])[] =>
    rewriter.resultIds(pathOf(method), encodeAnswer(method, answer));
  const big = { id: { num: '18446744073709551615' }, score: 1 };
  const named = { id: { uuid: '00000000-0000-4000-8000-00000000000a' } };
  const both = ['18446744073709551615', '00000000-0000-4000-8000-00000000000a'];
  for (const method of ['Points/Query', 'Points/Search', 'Points/Recommend', 'Points/Discover'])
    expect(ids(method, { result: [big, named] })).toEqual([both]);
  expect(ids('Points/Query', { result: [] })).toEqual([[]]);
  for (const method of ['Points/QueryBatch', 'Points/SearchBatch'])
    expect(ids(method, { result: [{ result: [named, big] }, {}] })).toEqual([[...both].reverse(), []]);
  const groups = [{ id: { stringValue: 'g' }, hits: [big] }, { hits: [named] }];
  for (const method of ['Points/QueryGroups', 'Points/RecommendGroups'])
    expect(ids(method, { result: { groups } })).toEqual([both]);
  expect(ids('Points/Scroll', { result: [] })).toEqual([]);
  expect(rewriter.resultIds(pathOf('Points/Query'), Buffer.from('ff', 'hex'))).toEqual([]);
});
