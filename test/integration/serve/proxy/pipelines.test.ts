import { afterAll, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { connect } from 'node:net';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('configured');

let server: TestServer;
let proxy: TestProxy;

beforeAll(async () => {
  server = await startTestServer();
  proxy = await startTestProxy(server);
});

beforeEach(async () => {
  await fetchOnce(`${server.url}/collections/written`, { method: 'DELETE' });
  const body = JSON.stringify({ vectors: { size: 2, distance: 'Dot' } });
  const headers = { 'content-type': 'application/json' };
  expect((await fetchOnce(`${server.url}/collections/written`, { method: 'PUT', body, headers })).ok).toBe(
    true,
  );
});

afterAll(async () => {
  await proxy.proxy.close();
  await server.stop();
});

const WRITE = 'PUT /collections/written/points?wait=true HTTP/1.1\r\nHost: x\r\n';

const LAST_EXPECTING = 'GET / HTTP/1.1\r\nHost: x\r\nExpect: something\r\nConnection: close\r\n\r\n';

function write(id: number, header = ''): string {
  const body = JSON.stringify({ points: [{ id, vector: [id, 1] }] });
  const fields = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n${header}`;
  return `${WRITE}${fields}\r\n${body}`;
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

async function writtenIds(): Promise<number[]> {
  const answer = await fetchOnce(`${server.url}/collections/written/points/scroll`, {
    ...{ method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
  });
  const { result } = (await answer.json()) as { result: { points: { id: number }[] } };
  return result.points.map(({ id }) => id);
}

describe('a request that was sent to the server gets its own answer', () => {
  test.each([
    ['another request after the last one', write(1, 'Connection: close\r\n') + write(2), [200], [1]],
    ['a request that asks for an expectation', write(1) + LAST_EXPECTING, [200, 200], [1]],
    ['bytes that are no request', `${write(1)}no request\r\n\r\n`, [200, 400], [1]],
    ['two requests before such bytes', `${write(1)}${write(2)}no request\r\n\r\n`, [200, 200, 400], [1, 2]],
    ['a tunnel', `${write(1)}CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n`, [200, 404], [1]],
    ['headers that are too large', `${write(1)}GET / HTTP/1.1\r\nx: ${'x'.repeat(2 ** 20)}`, [200, 431], [1]],
    [
      'a request whose body cannot be read',
      `${write(1)}${WRITE}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      ...[[200, 400], [1]],
    ],
  ] as const)('before %s', async (_, bytes, statuses, ids) => {
    expect(await statusesOf(proxy.url, bytes)).toEqual(statuses);
    expect(await writtenIds()).toEqual(ids);
  });

  test.each(['websocket', 'h2c'])('before others, if it asks for the protocol %s', async (protocol) => {
    const upgrade = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    const bytes = write(1) + write(2, upgrade) + write(3) + write(4, `${upgrade}Connection: close\r\n`);
    expect(await statusesOf(proxy.url, bytes)).toEqual([200, 200, 200, 200]);
    expect(await writtenIds()).toEqual([1, 2, 3, 4]);
  });

  test('before a request that breaks off with the connection', async () => {
    const bytes = `${write(1)}PUT /collections/written/points HTTP/1.1\r\nHost:`;
    const [first] = await statusesOf(proxy.url, bytes, { halfClose: true });
    expect(first).toBe(200);
    expect(await writtenIds()).toEqual([1]);
  });
});
