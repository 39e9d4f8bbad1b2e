import { afterAll, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { openQdrant } from '../../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../../adapters/qdrant/index.js';
import { COMPACT_DIM, DIM } from '../../../support/migrate/fixtures.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('configured');

let server: TestServer;
let proxy: TestProxy;
let store: QdrantStore;
/** A collection that is migrated, with its copy made and its proxy running. */
let migrating: Scenario;
const running = new Set<ChildProcess>();

/** Where clients write to, and the collections at the server that must then hold the points. */
interface Written {
  readonly url: string;
  readonly name: string;
  readonly stored: readonly string[];
}

const PLACES: Readonly<Record<string, () => Written>> = {
  'a collection that the proxy passes': () => ({ url: proxy.url, name: 'written', stored: ['written'] }),
  'a served collection': () => ({ url: proxy.url, name: 'served', stored: ['served_c4'] }),
  'a collection that is migrated': () => ({
    url: migrating.rest,
    name: migrating.source,
    stored: [migrating.source, migrating.target],
  }),
};

async function send(url: string, method: string, path: string, body: object): Promise<unknown> {
  const response = await fetchOnce(`${url}/collections/${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (JSON.parse(text) as { result: unknown }).result;
}

beforeAll(async () => {
  server = await startTestServer();
  proxy = await startTestProxy(server);
  store = await openQdrant(server);
  const sizes = { written: DIM, served_c4: COMPACT_DIM };
  for (const [name, size] of Object.entries(sizes))
    await send(server.url, 'PUT', name, { vectors: { size, distance: 'Cosine' } });
  const place = { ...server, directUrl: server.url, store, running };
  migrating = await Scenario.make(place, 'migrated', { faults: false, points: 0 });
  await migrating.copy();
  await migrating.serve();
  await migrating.want({ state: 'copied', side: 'source' }, (report) => report.caughtUp);
});

afterAll(async () => {
  await migrating.end();
  for (const child of running) child.kill('SIGKILL');
  await rm(migrating.folder, { recursive: true });
  await proxy.proxy.close();
  await store.close();
  await server.stop();
});

const LAST_EXPECTING = 'GET / HTTP/1.1\r\nHost: x\r\nExpect: something\r\nConnection: close\r\n\r\n';
const CONTENT = 'Content-Type: application/json\r\n';

/** The head of a write to a collection, without its end. */
const head = (name: string): string =>
  `PUT /collections/${name}/points?wait=true HTTP/1.1\r\nHost: x\r\n${CONTENT}`;

/** Makes writes of one point each. */
function writesTo(name: string): (id: number, header?: string) => string {
  return (id, header = '') => {
    const vector = Array.from({ length: DIM }, (_, i) => id + i);
    const body = JSON.stringify({ points: [{ id, vector }] });
    return `${head(name)}Content-Length: ${body.length}\r\n${header}\r\n${body}`;
  };
}

/** Sends bytes over one connection until the server closes it; the statuses of all answers, in order. */
function statusesOf(url: string, bytes: string, { halfClose = false } = {}): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () =>
      resolve([...received.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))),
    );
    if (halfClose) socket.end(bytes, 'latin1');
    else socket.write(bytes, 'latin1');
  });
}

async function idsIn(collection: string): Promise<number[]> {
  const result = await send(server.url, 'POST', `${collection}/points/scroll`, {});
  return (result as { points: { id: number }[] }).points.map(({ id }) => id);
}

type Write = ReturnType<typeof writesTo>;
/** What is behind a write in the same packet, the statuses of all answers, and the points that are then there. */
type Case = readonly [string, (write: Write, name: string) => string, readonly number[], readonly number[]];

const CASES: readonly Case[] = [
  ['another request after the last one', (write) => write(1, 'Connection: close\r\n') + write(2), [200], [1]],
  ['bytes after the last request', (write) => `${write(1, 'Connection: close\r\n')}no request`, [200], [1]],
  ['a request that asks for an expectation', (write) => write(1) + LAST_EXPECTING, [200, 200], [1]],
  ['bytes that are no request', (write) => `${write(1)}no request\r\n\r\n`, [200, 400], [1]],
  [
    'two requests before such bytes',
    (write) => `${write(1)}${write(2)}no request\r\n\r\n`,
    [200, 200, 400],
    [1, 2],
  ],
  ['a tunnel', (write) => `${write(1)}CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n`, [200, 404], [1]],
  [
    'headers that are too large',
    (write) => `${write(1)}GET / HTTP/1.1\r\nx: ${'x'.repeat(2 ** 20)}`,
    [200, 431],
    [1],
  ],
  [
    'a request whose body cannot be read',
    (write, name) => `${write(1)}${head(name)}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    [200, 400],
    [1],
  ],
];

describe.each(Object.entries(PLACES))('a request to %s gets its own answer', (_place, placed) => {
  beforeEach(async () => {
    const { url, name } = placed();
    await send(url, 'POST', `${name}/points/delete?wait=true`, { filter: {} });
  });

  async function expectWritten(ids: readonly number[]): Promise<void> {
    for (const collection of placed().stored)
      expect([collection, await idsIn(collection)]).toEqual([collection, ids]);
  }

  test.each(CASES)('before %s', async (_case, bytesOf, statuses, ids) => {
    const { url, name } = placed();
    expect(await statusesOf(url, bytesOf(writesTo(name), name))).toEqual(statuses);
    await expectWritten(ids);
  });

  test.each(['websocket', 'h2c'])('before others, if it asks for the protocol %s', async (protocol) => {
    const { url, name } = placed();
    const write = writesTo(name);
    const upgrade = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    const bytes = write(1) + write(2, upgrade) + write(3) + write(4, `${upgrade}Connection: close\r\n`);
    expect(await statusesOf(url, bytes)).toEqual([200, 200, 200, 200]);
    await expectWritten([1, 2, 3, 4]);
  });

  test('before a request that breaks off with the connection', async () => {
    const { url, name } = placed();
    const bytes = `${writesTo(name)(1)}PUT /collections/${name}/points HTTP/1.1\r\nHost:`;
    const [first] = await statusesOf(url, bytes, { halfClose: true });
    expect(first).toBe(200);
    await expectWritten([1]);
  });
});
