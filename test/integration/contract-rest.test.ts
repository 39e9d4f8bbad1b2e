import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { restCases, type Filed, type RestCase, type RestOutcome } from '../adapters/serve/stored-cases.js';
import {
  expectAsOriginal,
  steady,
  StoredAnswers,
  type Answer,
  type Answers,
  type Decided,
} from './contract-answers.js';
import { isServed, LAYOUTS, startContractPlace, type ContractPlace } from './contract-place.js';
import { HttpProber } from './http-probe.js';
import { testsOn } from './test-server.js';

const test = await testsOn('configured');

const cases = restCases();
const sent = cases.filter(({ notLive }) => notLive === undefined);
const stored = new StoredAnswers('rest', [...new Set(cases.map(({ file }) => file))]);

let place: ContractPlace;

beforeAll(async () => {
  place = await startContractPlace();
});

afterAll(async () => {
  stored.save();
  await place.stop();
});

/** The request as it is stored, to a server or to the proxy before it. */
async function ask(url: string, { request, body }: RestCase): Promise<Answer> {
  const [method = '', path = ''] = request.split(/ (.*)/s);
  const prober = new HttpProber(url, { keepAlive: false });
  const headers = ['content-type', 'application/json'];
  const bytes = body === undefined ? {} : { body: Buffer.from(body) };
  const answer = await prober.ask({ method, path, headers, ...bytes });
  prober.close();
  const { status } = answer;
  const text = Buffer.from(answer.body, 'latin1').toString();
  return { status, refused: status >= 400, text: steady(text), headers: answer.headers };
}

async function askAll(one: RestCase): Promise<Answers> {
  const through = async (layout: 'two-stage' | 'compact'): Promise<Answer> =>
    ask((await place.proxy(layout, one.facts)).url, one);
  const [original, twoStage, compact] = await Promise.all([
    ask(place.servers.original.url, one),
    through('two-stage'),
    through('compact'),
  ]);
  return { original, 'two-stage': twoStage, compact };
}

function decided(outcome: RestOutcome): Decided {
  if (!('status' in outcome)) return { refusal: null, own: 'lookup' in outcome };
  const { status, error } = outcome;
  if (status < 400) return { refusal: null, own: true };
  const text = error === undefined ? '' : steady(JSON.stringify({ status: { error }, time: 0 }));
  return { refusal: { status, text }, own: true };
}

const CHANGES =
  /^(PUT|PATCH|DELETE|POST \S+(points\/(batch|delete|payload|vectors)|aliases|cluster|shards$))/;

/** The collection that a request may change, '' for all; null where it only reads. */
function changed({ request }: RestCase): string | null {
  if (!CHANGES.test(request)) return null;
  const name = /\/collections\/(\w+?)(-alias)?[/?]/.exec(`${request}/`)?.[1] ?? '';
  return isServed(name) ? name : '';
}

async function restore(one: RestCase, name: string): Promise<void> {
  if (name === '') await place.tidy();
  else if (one.request.includes('/points')) await place.restorePoints(name);
  else await place.restore(name);
}

/** What the proxy refuses changes nothing; a server may have done a part of it. */
async function expectSameContent(one: RestCase, name: string): Promise<void> {
  for (const layout of LAYOUTS)
    if (one.request.includes('/points') && decided(one.expected[layout]).refusal === null)
      expect(await place.differences(name, layout)).toEqual([]);
}

async function run(one: Filed<RestCase>): Promise<void> {
  const answers = await askAll(one);
  const name = changed(one);
  try {
    stored.keep(one, answers);
    expectAsOriginal(one, answers, {
      'two-stage': decided(one.expected['two-stage']),
      compact: decided(one.expected.compact),
    });
    if (place.pinned) stored.check(one, answers);
    if (name !== null && name !== '') await expectSameContent(one, name);
  } finally {
    const refused = Object.values(answers).every((answer) => answer.refused);
    if (name !== null && (!refused || one.request.includes('/points'))) await restore(one, name);
  }
}

/** What only reads comes first, so that numbers of versions are the same in every run. */
describe.each([
  ['reads', sent.filter((one) => changed(one) === null)],
  ['writes', sent.filter((one) => changed(one) !== null)],
])('%s', (_, some) => {
  test.each(some.map((one) => [one.file, one.name, one.rows.join('; '), one] as const))(
    '%s: %s (%s)',
    (_file, _name, _rows, one) => run(one),
  );
});

describe.skip('not sent', () => {
  test.each(cases.filter(({ notLive }) => notLive !== undefined))('$file: $name: $notLive', () => undefined);
});

test('every stored answer belongs to a case, and what differs is stored', () => {
  expect(stored.leftOver(sent)).toEqual([]);
});

test('two-stage results are those of the original exactly where the candidates hold them', async () => {
  const ids = async (url: string, collection: string, body: object): Promise<string> => {
    const request = `POST /collections/${collection}/points/query`;
    const { text } = await ask(url, { ...sent[0]!, request, body: JSON.stringify(body) });
    return JSON.stringify([...text.matchAll(/"id":([^,]+)/g)].map(([, id]) => id));
  };
  const seen = { held: 0, missing: 0 };
  for (const oversampling of [1, 2, 3]) {
    const { url } = await place.proxy('two-stage', { oversampling });
    for (let i = 0; i < 12; i++) {
      const vector = [1, 2, 3, 4].map((j) => Math.round(9 * Math.sin(i * 5 + j * j)));
      const wanted = await ids(place.servers.original.url, 'docs', { query: vector, limit: 3 });
      const [a = 0, b = 0, c = 0, d = 0] = vector;
      const compact = { query: [a + b, c - d], using: 'compact', limit: 3 * oversampling };
      const candidates = await ids(place.servers['two-stage'].url, 'docs_t', compact);
      const held = (JSON.parse(wanted) as string[]).every((id) => candidates.includes(JSON.stringify(id)));
      seen[held ? 'held' : 'missing']++;
      const got = await ids(url, 'docs', { query: vector, limit: 3 });
      expect({ vector, held, same: got === wanted }).toEqual({ vector, held, same: held });
    }
  }
  expect(seen).toEqual({ held: expect.any(Number), missing: expect.any(Number) });
  expect(Math.min(seen.held, seen.missing)).toBeGreaterThan(0);
});
