import { describe, expect, test } from '@jest/globals';
import type { Layout } from '../../../../src/store/collection.js';
import {
  finished,
  type AnswerForm,
  type RestAnswer,
  type RestRewrite,
  type RestRoute,
} from '../../../../src/serve/protocol.js';
import { fixtureRewriter } from '../../../support/wire/rest-fixture.js';
import {
  answerCases,
  restCases,
  type RestCase,
  type RestOutcome,
} from '../../../support/wire/stored-cases.js';

interface AnswerCase {
  readonly name: string;
  readonly form: AnswerForm;
  readonly status: number;
  readonly body: string;
  readonly expected: Readonly<Record<Layout, string>>;
}

function run({ request, body = '', lookups, facts }: RestCase, layout: Layout): RestOutcome {
  const [method = '', url = ''] = request.split(/ (.*)/s);
  const rewriter = fixtureRewriter(layout, facts);
  const head = rewriter.read({ method, url, headers: {} });
  const route = rewriter.route(head);
  if (route.kind !== 'rewrite') return outcomeOf(route);
  const answers = lookups?.map(({ status, body: text }) => ({
    status,
    body: Buffer.from(text),
    contentType: 'application/json',
    retryAfter: undefined,
  }));
  return outcomeOf(finished<RestRewrite>(rewriter.begin(head, Buffer.from(body), answers)));
}

function outcomeOf(made: Exclude<RestRoute, { kind: 'rewrite' }> | RestRewrite): RestOutcome {
  switch (made.kind) {
    case 'pass':
      return { pass: true };
    case 'forward':
      return { forward: made.url, ...formOf(made.answer) };
    case 'lookup':
      return { lookup: made.requests.map(({ method, url, body }) => `${method} ${url} ${textOf(body)}`) };
    case 'send':
      return {
        send: `${made.request.method} ${made.request.url}`,
        body: textOf(made.request.body),
        ...formOf(made.answer),
        ...(made.projected === 0 ? {} : { projected: made.projected }),
      };
    case 'answer':
      return answerOf(made);
  }
}

function answerOf({ status, body }: RestAnswer): RestOutcome {
  if (status < 400) return { status, result: body };
  if (body === '') return { status };
  const { status: said } = JSON.parse(body) as { status: { error: string } };
  return { status, error: said.error };
}

/** Errors alone are the usual thing, and left out. */
function formOf(answer: AnswerForm | null): { answer?: string } {
  return answer === null || answer.form === 'errors' ? {} : { answer: answer.form };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

const cases = restCases();

describe.each([...new Set(cases.map(({ file }) => file))])('%s', (file) => {
  describe.each(['two-stage', 'compact'] as const)('%s', (layout) => {
    test.each(cases.filter((one) => one.file === file))('$name', (one) => {
      expect(run(one, layout)).toEqual(one.expected[layout]);
    });
  });
});

describe.each(['two-stage', 'compact'] as const)('answers, %s', (layout) => {
  test.each(answerCases('rest') as readonly AnswerCase[])('$name', ({ form, status, body, expected }) => {
    const answer = fixtureRewriter(layout).rewriteAnswer(form, status, Buffer.from(body));
    expect(textOf(answer)).toBe(expected[layout]);
  });
});

test.each([63, 64])('a prefetch at depth %d gets one more level only where the server takes it', (depth) => {
  const leaf = '{"query":[1,2,5,3]}';
  const body = `${'{"query":{"fusion":"rrf"},"prefetch":'.repeat(depth)}${leaf}${'}'.repeat(depth)}`;
  const rewriter = fixtureRewriter('two-stage');
  const head = rewriter.read({ method: 'POST', url: '/collections/docs/points/query', headers: {} });
  const made = finished<RestRewrite>(rewriter.begin(head, Buffer.from(body)));
  const sent = made.kind === 'send' ? textOf(made.request.body) : '';
  const wrapped = '{"query":[1,2,5,3],"prefetch":{"query":[30,20],"using":"compact","limit":100}}';
  expect(sent).toBe(depth === 64 ? body : body.replace(leaf, wrapped));
});

test('ids of results are found in every envelope', () => {
  const rewriter = fixtureRewriter('compact');
  const ids = (json: string): readonly (readonly string[])[] => rewriter.resultIds(Buffer.from(json));
  expect(ids('{"result":[{"id":18446744073709551615,"score":1},{"id":"a-b"}]}')).toEqual([
    ['18446744073709551615', 'a-b'],
  ]);
  expect(ids('{"result":{"points":[{"id":1},{"id":2}]}}')).toEqual([['1', '2']]);
  expect(ids('{"result":{"groups":[{"hits":[{"id":1},{"id":2}],"id":"g"},{"hits":[{"id":3}]}]}}')).toEqual([
    ['1', '2', '3'],
  ]);
  expect(ids('{"result":[[{"id":1}],[]]}')).toEqual([['1'], []]);
  expect(ids('{"result":[{"points":[{"id":1}]},{"points":[]}]}')).toEqual([['1'], []]);
  expect(ids('{"result":[]}')).toEqual([[]]);
  expect(ids('{"status":{"error":"x"}}')).toEqual([]);
  expect(ids('no json')).toEqual([]);
});
