import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import type { Layout } from '../../../../src/store/collection.js';
import {
  finished,
  type AnswerForm,
  type GrpcCall,
  type GrpcRewrite,
} from '../../../../src/serve/protocol.js';
import { fixtureRewriter } from '../../../support/wire/grpc-fixture.js';
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  METHOD_NAMES,
  pathOf,
} from '../../../support/wire/grpc-schemas.js';
import {
  answerCases,
  bytesOf,
  grpcCases,
  hexOf,
  type GrpcCase,
  type GrpcOutcome,
  type Message,
} from '../../../support/wire/stored-cases.js';

interface AnswerCase {
  readonly name: string;
  readonly form: AnswerForm;
  readonly method: string;
  readonly answer: Message;
  readonly expected: Readonly<Record<Layout, Message>>;
}

function run({ method, request, lookups, facts }: GrpcCase, layout: Layout): GrpcOutcome {
  const rewriter = fixtureRewriter(layout, facts);
  const path = pathOf(method);
  const route = rewriter.route(path);
  if (route.kind === 'pass') return { pass: true };
  if (route.kind === 'status') return { status: route.code, message: route.message };
  const message = bytesOf(request, (json) => encodeRequest(method, json));
  const asked = lookups === undefined ? null : finished<GrpcRewrite>(rewriter.begin(path, message));
  const calls = asked?.kind === 'lookup' ? asked.calls : [];
  const answers = lookups?.map((answer, i) => encodeAnswer(methodOf(calls[i]), answer));
  return outcomeOf(finished<GrpcRewrite>(rewriter.begin(path, message, answers)), {
    method,
    asHex: hexOf(request) !== null,
  });
}

function methodOf(call: GrpcCall | undefined): string {
  return call?.path.slice('/qdrant.'.length) ?? 'Points/Get';
}

function outcomeOf(made: GrpcRewrite, { method, asHex }: { method: string; asHex: boolean }): GrpcOutcome {
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

const cases = grpcCases();

describe.each([...new Set(cases.map(({ file }) => file))])('%s', (file) => {
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

test('every method has a case', () => {
  expect(METHOD_NAMES.filter((method) => !cases.some((one) => one.method === method))).toEqual([]);
});

describe('answers.json', () => {
  test.each(answerCases('grpc') as readonly AnswerCase[])('$name', ({ form, method, answer, expected }) => {
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
    const status = { code: 5, message: text };
    expect(fixtureRewriter('two-stage').rewriteStatus(form, status)).toEqual({
      ...status,
      message: expected,
    });
  });

  test('a failed lookup reads as if the server had looked up', () => {
    const form = { form: 'lookup', collection: 'docs', errorsOnly: true };
    const status = { code: 5, message: "Not found: Collection `x` doesn't exist!" };
    expect(fixtureRewriter('compact').rewriteStatus(form, status)).toEqual({
      code: 5,
      message: 'Not found: Collection x not found',
    });
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
  expect(finished<GrpcRewrite>(rewriter.begin('/qdrant.Points/SomethingNew', naming('elsewhere')))).toEqual({
    kind: 'pass',
  });
  for (const name of ['docs', 'docs-alias', 'docs_t'])
    expect(finished<GrpcRewrite>(rewriter.begin('/qdrant.Points/SomethingNew', naming(name)))).toEqual({
      kind: 'status',
      code: 12,
      message: '',
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
