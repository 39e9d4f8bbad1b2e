import { afterAll, beforeAll, expect } from '@jest/globals';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('any');

const MIB = 1024 ** 2;
const PIECES = 400_000;
const POLL_MS = 20;
/** Each piece by itself would take some hundred bytes. */
const GROWTH_BYTES_MAX = 60 * PIECES;

let server: TestServer;
let proxy: TestProxy;
let socket: Socket | undefined;

beforeAll(async () => {
  server = await startTestServer();
  proxy = await startTestProxy({ ...server, limits: { bytesInFlightMax: 64 * MIB } });
});

afterAll(async () => {
  socket?.destroy();
  await proxy.proxy.close();
  await server.stop();
});

async function bytesInFlight(): Promise<number> {
  const text = await proxy.proxy.metrics.registry.getSingleMetricAsString('tldr_bytes_in_flight');
  return Number(text.trim().split(/\s/).at(-1));
}

function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('the garbage collector cannot be called');
  Reflect.apply(collect, undefined, []);
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test('a held body that comes byte by byte takes little more memory than its bytes', async () => {
  const chunks = Buffer.from('1\r\n \r\n'.repeat(PIECES));
  const before = heldBytes();
  socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    'PUT /collections/served/points HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  socket.write(chunks);
  while ((await bytesInFlight()) < PIECES) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  expect(heldBytes() - before).toBeLessThan(GROWTH_BYTES_MAX);
});
