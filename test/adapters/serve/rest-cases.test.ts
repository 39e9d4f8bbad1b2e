import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServedCollection } from '../../../src/core/served-collection.js';
import type { Layout } from '../../../src/core/vector-store.js';
import type { AnswerForm, RestAnswer, RestRewrite, RestRoute } from '../../../src/core/wire.js';
import { fixtureRewriter } from './rest-fixture.js';

const FOLDER = 'test/adapters/serve/rest-cases';

/** What comes of a request: sent, forwarded, answered with an error, or asking the server for vectors first. */
type Outcome =
  | { readonly send: string; readonly body: string; readonly answer?: string; readonly projected?: number }
  | { readonly forward: string; readonly answer?: string }
  | { readonly status: number; readonly error?: string; readonly result?: string }
  | { readonly lookup: readonly string[] }
  | { readonly pass: true };

interface Case {
  readonly name: string;
  readonly facts?: Partial<ServedCollection>;
  /** Method and address. */
  readonly request: string;
  readonly body?: string;
  /** Answers to an earlier lookup. */
  readonly lookups?: readonly { readonly status: number; readonly body: string }[];
  readonly expected: Readonly<Record<Layout, Outcome>>;
}

interface AnswerCase {
  readonly name: string;
  readonly form: AnswerForm;
  readonly status: number;
  readonly body: string;
  readonly expected: Readonly<Record<Layout, string>>;
}

function load(file: string): unknown {
  return JSON.parse(readFileSync(`${FOLDER}/${file}`, 'utf8'));
}

function run({ request, body = '', lookups, facts }: Case, layout: Layout): Outcome {
  const [method = '', url = ''] = request.split(/ (.*)/s);
  const rewriter = fixtureRewriter(layout, facts);
  const head = { method, url, headers: {} };
  const route = rewriter.route(head);
  if (route.kind !== 'rewrite') return outcomeOf(route);
  const answers = lookups?.map((answer) => ({ status: answer.status, body: Buffer.from(answer.body) }));
  return outcomeOf(rewriter.rewrite(head, Buffer.from(body), answers));
}

function outcomeOf(made: Exclude<RestRoute, { kind: 'rewrite' }> | RestRewrite): Outcome {
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

function answerOf({ status, body }: RestAnswer): Outcome {
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

const files = readdirSync(FOLDER).sort();

describe.each(files.filter((file) => !file.startsWith('answers')))('%s', (file) => {
  describe.each(['two-stage', 'compact'] as const)('%s', (layout) => {
    test.each(load(file) as readonly Case[])('$name', (one) => {
      expect(run(one, layout)).toEqual(one.expected[layout]);
    });
  });
});

describe.each(['two-stage', 'compact'] as const)('answers, %s', (layout) => {
  test.each(load('answers.json') as readonly AnswerCase[])('$name', ({ form, status, body, expected }) => {
    const answer = fixtureRewriter(layout).rewriteAnswer(form, status, Buffer.from(body));
    expect(textOf(answer)).toBe(expected[layout]);
  });
});

test.each([63, 64])('a prefetch at depth %d gets one more level only where the server takes it', (depth) => {
  const leaf = '{"query":[1,2,5,3]}';
  const body = `${'{"query":{"fusion":"rrf"},"prefetch":'.repeat(depth)}${leaf}${'}'.repeat(depth)}`;
  const made = fixtureRewriter('two-stage').rewrite(
    { method: 'POST', url: '/collections/docs/points/query', headers: {} },
    Buffer.from(body),
  );
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
