import { expect } from '@jest/globals';
import { restCases, type RestCase } from '../../support/wire/stored-cases.js';
import { steady, type Answer } from '../../support/proxy-answers/stored-answers.js';
import { isServed } from '../../support/proxy-answers/compared-servers.js';
import { compareProxyWithServer } from '../../support/proxy-answers/compare-proxy-with-server.js';
import { HttpProber } from '../../support/serve/http-probe.js';

const CHANGES =
  /^(PUT|PATCH|DELETE|POST \S+(points\/(batch|delete|payload|vectors)|aliases|cluster|shards$))/;

async function ask(
  { url }: { readonly url: string },
  { request, body }: Pick<RestCase, 'request' | 'body'>,
): Promise<Answer> {
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

const aboutPoints = ({ request }: RestCase): boolean => request.includes('/points');

const { test, place } = await compareProxyWithServer({
  name: 'rest',
  cases: restCases(),
  ask,
  decided: (outcome) => {
    if (!('status' in outcome)) return { refusal: null, own: 'lookup' in outcome };
    const { status, error } = outcome;
    if (status < 400) return { refusal: null, own: true };
    const text = error === undefined ? '' : steady(JSON.stringify({ status: { error }, time: 0 }));
    return { refusal: { status, text }, own: true };
  },
  changed: ({ request }) => {
    if (!CHANGES.test(request)) return null;
    const name = /\/collections\/(\w+?)(-alias)?[/?]/.exec(`${request}/`)?.[1] ?? '';
    return isServed(name) ? name : '';
  },
  aboutPoints,
  mendedByPoints: aboutPoints,
});

test('two-stage results are those of the original exactly where the candidates hold them', async () => {
  const ids = async (url: string, collection: string, body: object): Promise<string> => {
    const request = `POST /collections/${collection}/points/query`;
    const { text } = await ask({ url }, { request, body: JSON.stringify(body) });
    return JSON.stringify([...text.matchAll(/"id":([^,]+)/g)].map(([, id]) => id));
  };
  const seen = { held: 0, missing: 0 };
  for (const oversampling of [1, 2, 3]) {
    const { url } = await place().proxy('two-stage', { oversampling });
    for (let i = 0; i < 12; i++) {
      const vector = [1, 2, 3, 4].map((j) => Math.round(9 * Math.sin(i * 5 + j * j)));
      const wanted = await ids(place().servers.original.url, 'docs', { query: vector, limit: 3 });
      const [a = 0, b = 0, c = 0, d = 0] = vector;
      const compact = { query: [a + b, c - d], using: 'compact', limit: 3 * oversampling };
      const candidates = await ids(place().servers['two-stage'].url, 'docs_t', compact);
      const held = (JSON.parse(wanted) as string[]).every((id) => candidates.includes(JSON.stringify(id)));
      seen[held ? 'held' : 'missing']++;
      const got = await ids(url, 'docs', { query: vector, limit: 3 });
      expect({ vector, held, same: got === wanted }).toEqual({ vector, held, same: held });
    }
  }
  expect(seen).toEqual({ held: expect.any(Number), missing: expect.any(Number) });
  expect(Math.min(seen.held, seen.missing)).toBeGreaterThan(0);
});

test('a body that is cut off anywhere is refused in the words of the server', async () => {
  const { url } = await place().proxy('two-stage');
  const whole = [
    '{"query":[1.5,-2e-3,0,10],"limit":3,"filter":{"must":[{"key":"a","match":{"value":"x\\u00e9"}}]},"params":null}',
    '{"prefetch":[{"query":[1,2.5,3,4] , "limit":2}],"query":{"recommend":{"positive":[1,[0.5,1,1,true]]}},"a":{"b":[',
  ];
  const bodies = whole.flatMap((text) => Array.from({ length: text.length }, (_, end) => text.slice(0, end)));
  for (const body of bodies) {
    const request = 'POST /collections/docs/points/query';
    const wanted = await ask(place().servers.original, { request, body });
    const { status, text } = await ask({ url }, { request, body });
    expect({ body, status, text }).toEqual({ body, status: wanted.status, text: wanted.text });
  }
});
