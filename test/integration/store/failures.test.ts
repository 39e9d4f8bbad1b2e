import { afterAll, beforeAll, expect } from '@jest/globals';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { execFile } from 'node:child_process';
import { type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { PointId } from '../../../src/core/point-id.js';
import { contentOf, fill } from '../../support/migrate/fixtures.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startRelay } from '../../support/serve/relay.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('configured');

const KEY = 'correct-horse-battery';
const READ_ONLY_KEY = 'only-for-reading';
const QUICK = { attempts: 8, firstDelayMs: 10, longestDelayMs: 100 };

let server: TestServer;
const CHILD = fileURLToPath(new URL('../../support/server/scan-child.js', import.meta.url));
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startTestServer({
    QDRANT__SERVICE__API_KEY: KEY,
    QDRANT__SERVICE__READ_ONLY_API_KEY: READ_ONLY_KEY,
  });
  const store = await openQdrant({ ...server, apiKey: KEY });
  const params = { vectors: { size: 16, distance: 'Cosine' } };
  await store.create({
    name: 'data',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params }),
  });
  await fill(store, 'data', 3000);
  await store.close();
});

afterAll(async () => {
  for (const close of closing) await close();
  await server.stop();
});

async function listen(target: HttpServer): Promise<number> {
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  return (target.address() as AddressInfo).port;
}

/** Cuts each connection when so many bytes have come back. */
async function cuttingRelay(to: string, cutAfterBytes: number): Promise<{ url: string; cuts: () => number }> {
  let cuts = 0;
  const left = new Map<number, number>();
  const relay = await startRelay(
    () => to,
    ({ bytes, from, connection }) => {
      if (from === 'client') return 'pass';
      const rest = (left.get(connection) ?? cutAfterBytes) - bytes.length;
      left.set(connection, rest);
      if (rest > 0) return 'pass';
      cuts++;
      return 'cut';
    },
  );
  closing.push(relay.close);
  return { url: relay.url, cuts: () => cuts };
}

test('reads and writes go on over connections that are cut in the middle', async () => {
  const relay = await cuttingRelay(server.grpcUrl, 120_000);
  const retries: string[] = [];
  const store = await openQdrant({
    url: server.url,
    grpcUrl: relay.url,
    apiKey: KEY,
    retry: QUICK,
    log: (_level, message) => retries.push(message),
  });
  const direct = await openQdrant({ ...server, apiKey: KEY });
  const ids: PointId[] = [];
  for await (const batch of store.scan('data', { vectorName: '', batchSize: 200 })) {
    ids.push(...batch.ids);
    const vectors = [{ name: '', matrix: batch.vectors, has: batch.hasVector }];
    await store.upsert('data', { ids: batch.ids, vectors, extra: batch.extra });
  }
  expect(relay.cuts()).toBeGreaterThan(1);
  expect(retries.some((line) => line.startsWith('retrying'))).toBe(true);
  expect(new Set(ids).size).toBe(3000);
  expect(await contentOf(direct, 'data')).toHaveLength(3000);
  await store.close();
  await direct.close();
});

test('a connection gone silent is left behind: the next attempt opens another', async () => {
  const silent = new Set<number>();
  const relay = await startRelay(
    () => server.grpcUrl,
    ({ connection }) => (silent.has(connection) ? 'hold' : 'pass'),
  );
  closing.push(relay.close);
  const retries: string[] = [];
  const store = await openQdrant({
    url: server.url,
    grpcUrl: relay.url,
    apiKey: KEY,
    retry: QUICK,
    timeoutMs: 3_000,
    log: (_level, message) => retries.push(message),
  });
  silent.add(1);
  const found = await store.retrieve('data', [1n], { vectorName: '' });
  expect(found.ids).toEqual([1n]);
  expect(retries.some((line) => line.includes('no answer within'))).toBe(true);
  await store.close();
});

test('429 is retried after the time the server names, 503 with backoff', async () => {
  const answers = [{ status: 429, 'retry-after': '0.05' }, { status: 503 }];
  const seen: number[] = [];
  let refused = /^\/collections$/;
  const front = createHttpServer((request, response) => {
    void (async () => {
      const refusal = refused.test(request.url ?? '') ? answers.shift() : undefined;
      if (refusal !== undefined) {
        const { status, ...headers } = refusal;
        seen.push(status);
        response.writeHead(status, headers).end('{"status":{"error":"busy"}}');
        return;
      }
      const upstream = await fetchOnce(server.url + (request.url ?? ''), { headers: { 'api-key': KEY } });
      response.writeHead(upstream.status).end(await upstream.text());
    })();
  });
  const port = await listen(front);
  closing.push(() => new Promise((done) => front.close(() => done())));
  const waits: string[] = [];
  const log = (_level: string, message: string): void => void waits.push(message);
  const store = await openQdrant({
    url: `http://127.0.0.1:${port}`,
    grpcUrl: server.grpcUrl,
    apiKey: KEY,
    retry: QUICK,
    log,
  });
  expect(seen).toEqual([429, 503]);
  expect(waits[0]).toMatch(/retrying in 5\d ms/);
  // So with every kind of call, those about collections and aliases included.
  for (const [path, ask] of [
    [/exists$/, () => store.exists('data')],
    [/^\/aliases$/, () => store.names.all()],
  ] as const) {
    refused = path;
    answers.push({ status: 429, 'retry-after': '0.05' });
    waits.length = 0;
    await ask();
    expect(waits).toEqual([expect.stringMatching(/retrying in 5\d ms .* HTTP 429/)]);
  }
  expect(store.load.rateLimitCount()).toBe(4);
  await store.close();
  front.closeAllConnections();
});

test.each([
  ['no key', undefined, 'UNAUTHORIZED'],
  ['a wrong key', 'wrong-key-value', 'UNAUTHORIZED'],
  ['a key with a line break', 'wrong-key-value\n', 'INVALID_ARGUMENT'],
])('%s is told apart, and the key is never said', async (_name, apiKey, code) => {
  const error: unknown = await openQdrant({ ...server, apiKey }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'TldrError', code });
  expect(String(error)).not.toContain('wrong-key-value');
});

test('a key that may only read is told so when it writes', async () => {
  const store = await openQdrant({ ...server, apiKey: READ_ONLY_KEY });
  expect(await store.count('data')).toBe(3000);
  await expect(store.remove('data', [1n])).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await expect(store.setMetadata('data', { a: '1' })).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await store.close();
});

test('what is no Qdrant, too old, nobody, or without gRPC is named', async () => {
  const impostor = createHttpServer((request, response) => {
    response.end(
      request.headers['x-old'] === undefined
        ? JSON.stringify({ title: 'qdrant - vector search engine', version: '1.9.7' })
        : '',
    );
  });
  const old = await listen(impostor);
  closing.push(() => new Promise((done) => impostor.close(() => done())));
  await expect(openQdrant({ url: `http://127.0.0.1:${old}` })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('1.9.7'),
  });
  const website = createHttpServer((_request, response) => response.end('<html>hello</html>'));
  const other = await listen(website);
  closing.push(() => new Promise((done) => website.close(() => done())));
  await expect(openQdrant({ url: `http://127.0.0.1:${other}` })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('a web page'),
  });
  const retry = { attempts: 2, firstDelayMs: 1, longestDelayMs: 2 };
  await expect(openQdrant({ url: 'http://127.0.0.1:9', retry })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  });
  const noGrpc = openQdrant({ url: server.url, grpcUrl: 'http://127.0.0.1:9', apiKey: KEY, retry });
  await expect(noGrpc).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('no gRPC'),
  });
  await expect(openQdrant({ url: 'localhost:6333' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(openQdrant({ url: 'http://user:secret@localhost:6333' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test('a reader stopped while the next page is on its way is told so, and its process goes on', async () => {
  const plain = await startTestServer();
  closing.push(plain.stop);
  const store = await openQdrant(plain);
  await store.create({
    name: 'data',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params: { vectors: { size: 16, distance: 'Cosine' } } }),
  });
  await fill(store, 'data', 300);
  await store.close();
  const child = promisify(execFile)(process.execPath, [CHILD, plain.url, plain.grpcUrl]);
  expect((await child).stdout).toBe('worked on 32 points\nstopped before it was finished\n');
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect with ${status} is not followed: the key goes to nobody else`, async () => {
    const seen: string[] = [];
    const other = createHttpServer((request, response) => {
      seen.push(`${request.method} ${String(request.headers['api-key'])}`);
      response.end('{"result": {}}');
    });
    const to = `http://127.0.0.1:${await listen(other)}`;
    const asked: string[] = [];
    const first = createHttpServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(status, { location: `${to}${request.url}` }).end();
    });
    const url = `http://127.0.0.1:${await listen(first)}`;
    try {
      await expect(
        openQdrant({ url, grpcUrl: server.grpcUrl, apiKey: KEY, retry: QUICK }),
      ).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(to),
      });
      expect(seen).toEqual([]);
      expect(asked).toHaveLength(1);
    } finally {
      first.close();
      other.close();
    }
  });
}

test('a named vector may be called like a setting of a vector', async () => {
  const store = await openQdrant({ ...server, apiKey: KEY });
  const names = ['size', 'distance', 'multivector_config', 'constructor', 'toString'];
  const one = { size: 16, distance: 'Cosine' };
  const vectors = Object.fromEntries(names.map((name) => [name, one]));
  try {
    await store.create({
      name: 'names',
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({ params: { vectors } }),
    });
    const spec = await store.describe('names');
    expect(spec.vectors.map(({ name, dim }) => [name, dim]).sort()).toEqual(
      names.map((name) => [name, 16]).sort(),
    );
  } finally {
    await store.close();
  }
});

test('strict mode: limits that change are read again, and what never fits is not retried', async () => {
  const warned: string[] = [];
  const log = (_: string, message: string): void => void warned.push(message);
  const store = await openQdrant({ ...server, apiKey: KEY, retry: QUICK, log });
  const strict = (settings: object): Promise<Response> =>
    fetchOnce(`${server.url}/collections/data`, {
      method: 'PATCH',
      headers: { 'api-key': KEY, 'content-type': 'application/json' },
      body: JSON.stringify({ strict_mode_config: settings }),
    });
  try {
    await strict({ enabled: true, search_allow_exact: false, max_query_limit: 700 });
    expect(await store.count('data')).toBe(3000);
    await strict({ enabled: true, read_rate_limit: 5 });
    const ids = Array.from({ length: 50 }, (_, i) => BigInt(i));
    expect((await store.retrieve('data', ids, { vectorName: '' })).ids.length).toBeGreaterThan(0);
    await strict({ enabled: true, read_rate_limit: 1 });
    const bytes = Buffer.from('{"must":[{"key":"n","match":{"value":1}}]}');
    const pages = store.changes.matching('data', { form: 'json', bytes })[Symbol.asyncIterator]();
    await expect(pages.next()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /refused by read_rate_limit .* \(read_rate_limit is 1\)\. Raise read_rate_limit/,
      ),
    });
    expect(warned).toEqual([]);
  } finally {
    await strict({ enabled: false });
    await store.close();
  }
});
