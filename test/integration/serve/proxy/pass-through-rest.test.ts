import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { HttpProber, rawStatus, sendRaw, type Probe } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

/** Two servers of their own: one asked through the proxy, the other without, the same in the same order. */
const test = await testsOn('configured');

const RUNS = 60;
const STEPS_MAX = 12;

let proxied: TestServer;
let plain: TestServer;
let proxy: TestProxy;
let through: HttpProber;
let direct: HttpProber;

beforeAll(async () => {
  [proxied, plain] = await Promise.all([startTestServer(), startTestServer()]);
  proxy = await startTestProxy(proxied);
  through = new HttpProber(proxy.url);
  direct = new HttpProber(plain.url, { keepAlive: false });
});

afterAll(async () => {
  through.close();
  direct.close();
  await proxy.proxy.close();
  await Promise.all([proxied.stop(), plain.stop()]);
});

const collection = fc.constantFrom('a', 'b', 'missing', 'with%20space', '%C3%BC', 'A%2Fb');
const vector = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 5 });
const id = fc.oneof(
  fc.integer({ min: 0, max: 9 }),
  fc.constant(2 ** 53),
  fc.constantFrom('00000000-0000-4000-8000-000000000001', 'x', -1, 1.5),
);
const point = fc.record({ id, vector, payload: fc.jsonValue({ maxDepth: 2 }) });
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Calls whose bodies are mostly what the server expects. */
const meant: fc.Arbitrary<Probe> = fc.oneof(
  fc.tuple(collection, fc.constantFrom(4, 4, 4, 0, 'x')).map(([name, size]) => ({
    method: 'PUT',
    path: `/collections/${name}`,
    body: json({ vectors: { size, distance: 'Dot' } }),
  })),
  collection.map((name) => ({ method: 'DELETE', path: `/collections/${name}` })),
  fc.tuple(collection, fc.array(point, { maxLength: 4 })).map(([name, points]) => ({
    method: 'PUT',
    path: `/collections/${name}/points?wait=true`,
    body: json({ points }),
  })),
  fc.tuple(collection, fc.oneof(vector, id), fc.integer({ min: -1, max: 5 })).map(([name, query, limit]) => ({
    method: 'POST',
    path: `/collections/${name}/points/query`,
    body: json({ query, limit }),
  })),
  fc.tuple(collection, vector).map(([name, one]) => ({
    method: 'POST',
    path: `/collections/${name}/points/search`,
    body: json({ vector: one, limit: 3 }),
  })),
  fc.tuple(collection, fc.boolean()).map(([name, all]) => ({
    method: 'POST',
    path: `/collections/${name}/points/scroll`,
    body: json({ with_vector: all, with_payload: all }),
  })),
  fc.tuple(collection, id).map(([name, one]) => ({
    method: 'GET',
    path: `/collections/${name}/points/${one}`,
  })),
  fc.tuple(collection, fc.array(id, { maxLength: 3 })).map(([name, points]) => ({
    method: 'POST',
    path: `/collections/${name}/points/delete?wait=true`,
    body: json({ points }),
  })),
  fc.tuple(collection, fc.constantFrom('GET', 'HEAD')).map(([name, method]) => ({
    method,
    path: `/collections/${name}/exists`,
  })),
);

const word = fc.string({ unit: fc.constantFrom(...'aZ09-._~!$&()*+,;=:@%?/'.split('')), maxLength: 12 });
const escape = fc.constantFrom('%00', '%2F', '%25', '%zz', '%E4', '..', '.', '//', '#x', '?wait=true');

/** Calls that no client means. */
const odd: fc.Arbitrary<Probe> = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD'),
    path: fc.oneof(
      fc.array(fc.oneof(word, escape), { maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
      fc.array(fc.oneof(word, escape), { maxLength: 3 }).map((parts) => `/collections/a/${parts.join('')}`),
      fc.constantFrom(
        '//collections/a/',
        '/collections/a/points/query/',
        'http://any.where/collections/a/exists',
      ),
    ),
    body: fc.option(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      { nil: undefined },
    ),
  })
  .map(({ body, ...probe }) => (body === undefined ? probe : { ...probe, body }));

/** The same calls, with damaged, compressed or cut bodies and other headers. */
const dressed = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: meant }, { weight: 1, arbitrary: odd }),
    fc.constantFrom('whole', 'whole', 'whole', 'cut', 'gzip', 'damaged gzip', 'not gzip'),
    fc.subarray([
      ['Accept-Encoding', 'gzip'],
      ['X-Request-Id', 'aBc'],
      ['X-Twice', '1'],
      ['X-Twice', '2'],
      ['Cookie', 'a=b; c=d'],
      ['TE', 'trailers'],
    ] as const),
    fc.tuple(fc.constantFrom('application/json', 'text/plain', ''), fc.boolean()),
  )
  .map(([probe, form, more, [type, chunked]]): Probe => {
    const headers = more.flat() as string[];
    if (type !== '') headers.push('Content-Type', type);
    if (probe.body === undefined) return { ...probe, headers };
    let { body } = probe;
    if (form === 'cut') body = body.subarray(0, body.length >> 1);
    if (form.includes('gzip')) headers.push('Content-Encoding', 'gzip');
    if (form.endsWith('gzip') && form !== 'not gzip') body = gzipSync(body);
    if (form === 'damaged gzip') body = body.subarray(0, body.length - 6);
    return { ...probe, headers, body, chunked };
  });

/** Answers that list what is served, say how a process feels, or write files named by the clock. */
const UNSTEADY =
  /^\/*(collections|aliases|telemetry|metrics|cluster|issues)?\/*(\?.*|#.*)?$|snapshots|dashboard/;

describe('what is not served', () => {
  test('is answered over REST as if there were no proxy, whatever is asked', async () => {
    const step = dressed.filter(({ path }) => !UNSTEADY.test(path));
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: STEPS_MAX }), async (probes) => {
        for (const probe of probes) {
          const [answer, expected] = await Promise.all([through.ask(probe), direct.ask(probe)]);
          expect({ probe, answer }).toEqual({ probe, answer: expected });
          statuses.add(expected.status);
        }
      }),
      { numRuns: RUNS, seed: 11, endOnFailure: true },
    );
    // What was asked was neither all nonsense nor all sense.
    expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 404]));
  });

  const get = 'GET / HTTP/1.1\r\nHost: x\r\n';
  const post = 'POST /collections/a/points/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  const raw: readonly (readonly [string, string])[] = [
    ['a request', `${get}\r\n`],
    ['two at once', `${get}\r\n${get}\r\n`],
    ['one that ends the connection', `${get}Connection: close\r\n\r\n`],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['two hosts', `${get}Host: y\r\n\r\n`],
    ['an unknown version', 'GET / HTTP/9.1\r\nHost: x\r\n\r\n'],
    ['no HTTP', '\x00\x01\x02\r\n\r\n'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost x\r\n\r\n'],
    ['a length that is no number', `${post}Content-Length: abc\r\n\r\n`],
    ['an empty body', `${post}Content-Length: 0\r\n\r\n`],
    ['no body', `${post}\r\n`],
    ['a body in chunks', `${post}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
    ['a large header', `${get}X-Large: ${'a'.repeat(100_000)}\r\n\r\n`],
    ['an asked-for go-ahead', `${post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}`],
    ['a body where none belongs', `${get}Content-Length: 2\r\n\r\n{}`],
  ];
  test.each(raw)('%s, byte for byte, has the status it has without a proxy', async (_what, bytes) => {
    const [answer, expected] = await Promise.all([sendRaw(proxy.url, bytes), sendRaw(plain.url, bytes)]);
    expect(answer).toEqual(expected);
  });

  const line = (text: string): string => `${text} HTTP/1.1\r\nHost: x\r\n\r\n`;
  test.each([
    ['BREW /', '404'],
    ['get /', '404'],
    ['DESCRIBE /collections/a', '404'],
    ['PRI /', '404'],
    ['TRACE /collections/served', '404'],
    ['POST /collections/served', '404'],
    ['OPTIONS *', '404'],
    ['GET *', '404'],
    ['CONNECT any.where:80', '404'],
    ['B(W /', '400'],
    ['BREW a b', '400'],
  ])('"%s" is answered with the status that it has without a proxy', async (text, status) => {
    const [answer, expected] = await Promise.all([
      rawStatus(proxy.url, line(text)),
      rawStatus(plain.url, line(text)),
    ]);
    expect(answer).toBe(expected);
    expect(answer).toContain(` ${status} `);
  });

  test('an offer of another protocol is answered in this one', async () => {
    const offer = `${get}Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`;
    expect(await rawStatus(proxy.url, offer)).toBe(await rawStatus(plain.url, offer));
  });

  test('a request whose length two headers tell differently is not passed on', async () => {
    const both = `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`;
    expect(await sendRaw(proxy.url, both)).toEqual({ status: 'HTTP/1.1 400 Bad Request', closed: true });
  });

  test('a large body and a large answer pass in both directions', async () => {
    const size = 30_000;
    const ids = Array.from({ length: 400 }, (_, i) => i);
    const text = 'x'.repeat(size);
    const points = ids.map((one) => ({ id: one, vector: [one, 1], payload: { text } }));
    const ask = async (prober: HttpProber): Promise<unknown> => {
      await prober.ask({
        method: 'PUT',
        path: '/collections/large',
        headers: ['Content-Type', 'application/json'],
        body: json({ vectors: { size: 2, distance: 'Dot' } }),
      });
      const written = await prober.ask({
        method: 'PUT',
        path: '/collections/large/points?wait=true',
        body: json({ points }),
        headers: ['Content-Type', 'application/json'],
      });
      const read = await prober.ask({
        method: 'POST',
        path: '/collections/large/points/scroll',
        body: json({ limit: 400 }),
        headers: ['Content-Type', 'application/json', 'Accept-Encoding', 'gzip'],
      });
      return { written, headers: read.headers, status: read.status, length: read.body.length };
    };
    expect(await ask(through)).toEqual(await ask(direct));
  });
});
