import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { once } from 'node:events';
import { request } from 'node:http';
import { constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { startLocalQdrant, type LocalQdrant } from '../../../../adapters/qdrant/local/start.js';
import type { ProxyLimits } from '../../../../src/serve/proxy-options.js';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { HttpProber } from '../../../support/serve/http-probe.js';
import { keptBytes } from '../../../support/store/memory-in-use.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { startRelay, type Chunk, type Fate, type Relay } from '../../../support/serve/relay.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('a process');

const POINTS = 400;
const IDLE = 1_000;
/** What may stay in memory when they are gone: less than 10 kB of each. */
const IDLE_BYTES_MAX = 10_000 * IDLE;
const SHORT_MS = 300;
const HEALTH = { path: '/qdrant.Qdrant/HealthCheck', body: framed(Buffer.alloc(0)) };
const JSON_TYPE = ['Content-Type', 'application/json'];

let server: LocalQdrant;
let decide: (chunk: Chunk) => Fate;
let restRelay: Relay;
let grpcRelay: Relay;
let proxy: TestProxy;
const closing: (() => void)[] = [];

/** A proxy whose way to the server may be disturbed, with limits of its own. */
async function restart(limits: Partial<ProxyLimits> = {}): Promise<void> {
  await proxy.proxy.close();
  proxy = await startTestProxy({ url: restRelay.url, grpcUrl: grpcRelay.url, limits });
}

beforeAll(async () => {
  server = await startLocalQdrant();
  await fillServer();
});

beforeEach(async () => {
  decide = () => 'pass';
  restRelay = await startRelay(
    () => server.url,
    (chunk) => decide(chunk),
  );
  grpcRelay = await startRelay(
    () => server.grpcUrl,
    (chunk) => decide(chunk),
  );
  proxy = await startTestProxy({ url: restRelay.url, grpcUrl: grpcRelay.url });
});

afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await proxy.proxy.close();
  await Promise.all([restRelay.close(), grpcRelay.close()]);
});

afterAll(() => server.stop());

function prober(): HttpProber {
  const one = new HttpProber(proxy.url);
  closing.push(() => one.close());
  return one;
}

function grpcProber(): GrpcProber {
  const one = new GrpcProber(proxy.grpcUrl);
  closing.push(() => one.close());
  return one;
}

async function openSocket(url: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  if (text !== '') socket.write(text);
  return socket;
}

/** A metric's value, summed over its labels. */
async function metric(name: string): Promise<number> {
  const text = await proxy.proxy.metrics.registry.getSingleMetricAsString(name);
  const values = text.split('\n').filter((line) => line.startsWith(name));
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Waits, a bounded time, until something is so. */
async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 300_000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`it never came to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const scroll = { method: 'POST', path: '/collections/data/points/scroll', headers: JSON_TYPE };
const everything = { ...scroll, body: Buffer.from(JSON.stringify({ limit: POINTS })) };
const little = { ...scroll, body: Buffer.from(JSON.stringify({ limit: 1 })) };
const nothingUnderWay = (): Promise<boolean> =>
  metric('tldr_requests_in_flight').then((inFlight) => inFlight === 0);

describe('a server that is lost', () => {
  test('in the middle of an answer breaks that answer off, and no other', async () => {
    let bytes = 0;
    decide = ({ from, bytes: { length } }) =>
      from === 'server' && (bytes += length) > 100_000 && bytes < 8_000_000 ? 'cut' : 'pass';
    const asked = prober();
    await expect(asked.ask(everything)).rejects.toThrow(/aborted|hang up|reset/i);
    bytes = 8_000_000;
    expect(await asked.ask(little)).toMatchObject({ status: 200 });
    await until(nothingUnderWay, 'no request under way');
  });

  test('in the middle of a gRPC answer breaks that call off, and no other', async () => {
    const message = encodeRequest('Points/Scroll', {
      collectionName: 'data',
      limit: POINTS,
      withPayload: { enable: true },
    });
    const call = { path: '/qdrant.Points/Scroll', body: framed(message) };
    let bytes = 0;
    decide = ({ from, bytes: { length } }) =>
      from === 'server' && (bytes += length) > 100_000 ? 'cut' : 'pass';
    const asked = grpcProber();
    const broken = await asked.call(call);
    expect(broken.trailers['grpc-status']).not.toBe('0');
    expect(broken.resetCode === 0 ? broken.headers['grpc-status'] : 'reset').not.toBe('0');
    decide = () => 'pass';
    const whole = await asked.call(call);
    expect(whole).toMatchObject({ trailers: { 'grpc-status': '0' } });
    expect(whole.body.length).toBeGreaterThan(POINTS * 20_000);
  });

  test('is said to be unavailable in its own form, and used again once it is back', async () => {
    const [asked, called] = [prober(), grpcProber()];
    expect(await asked.ask(little)).toMatchObject({ status: 200 });
    await server.kill();
    const [answer, end] = await Promise.all([asked.ask(little), called.call(HEALTH)]);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ status: { error: expect.stringContaining('answer') } });
    expect(end.headers).toMatchObject({ 'grpc-status': '14' });
    expect(await metric('tldr_upstream_errors_total')).toBeGreaterThanOrEqual(2);
    expect(await proxy.proxy.ready()).toBe(false);
    const before = server;
    server = await startLocalQdrant();
    await before.stop();
    await until(() => proxy.proxy.ready(), 'ready');
    expect(await asked.ask({ method: 'GET', path: '/' })).toMatchObject({ status: 200 });
    expect(await called.call(HEALTH)).toMatchObject({ trailers: { 'grpc-status': '0' } });
    await fillServer();
  });

  test('that says nothing for too long is given up, and its connection with it', async () => {
    await restart({ upstreamTimeoutMs: 3_000, probeIntervalMs: 500, probeTimeoutMs: 3_000 });
    let held = true;
    decide = ({ from }) => (held && from === 'server' ? 'hold' : 'pass');
    const [asked, called] = [prober(), grpcProber()];
    const [answer, end] = await Promise.all([asked.ask(little), called.call(HEALTH)]);
    expect(answer.status).toBe(408);
    // The line is dead: questions get no answer, and what waits on it is told so.
    expect(end.headers).toMatchObject({ 'grpc-status': '14' });
    held = false;
    expect(await asked.ask(little)).toMatchObject({ status: 200 });
    expect(await called.call(HEALTH)).toMatchObject({ trailers: { 'grpc-status': '0' } });
  });
});

describe('a client that is lost', () => {
  test('takes its requests along: the server is not asked for what nobody waits for', async () => {
    await restart({ probeIntervalMs: 60_000 });
    decide = ({ from }) => (from === 'server' ? 'hold' : 'pass');
    const sockets = await Promise.all(
      Array.from({ length: 50 }, () =>
        openSocket(proxy.url, 'GET /collections/data HTTP/1.1\r\nHost: x\r\n\r\n'),
      ),
    );
    await until(() => restRelay.open() === 100, 'fifty requests at the server');
    for (const socket of sockets) socket.destroy();
    await until(nothingUnderWay, 'no request under way');
    decide = () => 'pass';
    expect(await prober().ask(little)).toMatchObject({ status: 200 });
    // Connections whose client side is gone; what the relay holds towards the server stays open there.
    await until(() => restRelay.open() <= 52, 'the connections of the given-up requests gone');
  });

  test('takes all its pipelined requests along', async () => {
    decide = ({ from }) => (from === 'server' ? 'hold' : 'pass');
    const get = 'GET /collections/data HTTP/1.1\r\nHost: x\r\n\r\n';
    const socket = await openSocket(proxy.url, get.repeat(3));
    await until(async () => (await metric('tldr_requests_in_flight')) === 3, 'three requests under way');
    socket.destroy();
    await until(nothingUnderWay, 'no request under way');
  });

  test('cancels its calls at the server', async () => {
    decide = ({ from, bytes }) => (from === 'server' && bytes.length > 60 ? 'hold' : 'pass');
    const called = grpcProber();
    const stream = called.session.request({
      ':method': 'POST',
      ':path': HEALTH.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.write(HEALTH.body);
    await until(async () => (await metric('tldr_requests_in_flight')) === 1, 'one call under way');
    stream.close(constants.NGHTTP2_CANCEL);
    await until(nothingUnderWay, 'no call under way');
  });

  test('in the middle of a body, or of taking an answer, is cut off after a while', async () => {
    await restart({ clientTimeoutMs: SHORT_MS });
    const sending = await openSocket(
      proxy.url,
      'PUT /collections/data/points HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{',
    );
    const taking = await openSocket(
      proxy.url,
      `POST /collections/data/points/scroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${everything.body.length}\r\n\r\n${everything.body.toString()}`,
    );
    taking.pause();
    await until(nothingUnderWay, 'no request under way');
    sending.destroy();
    expect(await prober().ask(little)).toMatchObject({ status: 200 });
  });
});

describe('more than there is room for', () => {
  test('of idle connections is room enough, and nothing stays of them', async () => {
    const tcp = (): number => process.getActiveResourcesInfo().filter((one) => one.startsWith('TCP')).length;
    const [before, bytesBefore] = [tcp(), keptBytes()];
    const sockets = await Promise.all(Array.from({ length: IDLE }, () => openSocket(proxy.url, '')));
    const called = Array.from({ length: 20 }, () => new GrpcProber(proxy.grpcUrl));
    const asked = prober();
    expect(await asked.ask(little)).toMatchObject({ status: 200 });
    for (const one of called) expect((await one.call(HEALTH)).trailers).toMatchObject({ 'grpc-status': '0' });
    for (const socket of sockets) socket.destroy();
    for (const one of called) one.close();
    asked.close();
    // The proxy's own connections to the server, both ends of them in this process, may stay a while.
    await until(() => tcp() <= before + 30, 'the connections gone');
    await until(() => keptBytes() - bytesBefore < IDLE_BYTES_MAX, 'their memory free');
  });

  test('of requests is refused with a clear word', async () => {
    await restart({ requestsMax: 2 });
    decide = ({ from }) => (from === 'server' ? 'hold' : 'pass');
    const waiting = 'GET /collections/data HTTP/1.1\r\nHost: x\r\n\r\n';
    await Promise.all([openSocket(proxy.url, waiting), openSocket(proxy.url, waiting)]);
    await until(async () => (await metric('tldr_requests_in_flight')) === 2, 'two requests under way');
    const answer = await prober().ask(little);
    expect(answer.status).toBe(429);
    expect(answer.body).toContain('too many requests');
  });

  test.each([
    ['announced', false, 'JSON payload (5000 bytes) is larger than allowed (limit: 1000 bytes).'],
    ['not announced', true, 'JSON payload has exceeded limit (1000 bytes).'],
  ])('of a body whose length is %s is refused in the words of the server', async (_what, chunked, text) => {
    await restart({ restBodyBytesMax: 1_000 });
    const answer = await prober().ask({
      method: 'POST',
      path: '/collections/served/points/query',
      headers: JSON_TYPE,
      chunked,
      body: Buffer.alloc(5_000, ' '),
    });
    expect(answer).toMatchObject({ status: 400 });
    expect(answer.body).toBe(`{"status":{"error":"Payload error: ${text}"},"time":0}`);
  });

  test('of a message is refused, also where it only grows so large', async () => {
    await restart({ grpcMessageBytesMax: 1_000 });
    const path = '/qdrant.Points/Query';
    const called = grpcProber();
    for (const call of [
      { path, body: framed(Buffer.alloc(5_000)) },
      { path, body: framed(gzipSync(Buffer.alloc(5_000)), 1), metadata: { 'grpc-encoding': 'gzip' } },
    ])
      expect((await called.call(call)).headers).toMatchObject({ 'grpc-status': '8' });
    const two = Buffer.concat([framed(Buffer.alloc(3)), framed(Buffer.alloc(3))]);
    expect((await called.call({ path, body: two })).headers).toMatchObject({ 'grpc-status': '13' });
  });
});

test('requests under way are ended before the proxy is, and no others begun', async () => {
  let waiting = true;
  const slow = request(`${proxy.url}/collections/data/points/scroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': everything.body.length },
  });
  slow.write(everything.body.subarray(0, 3));
  await until(async () => (await metric('tldr_requests_in_flight')) === 1, 'one request under way');
  const drained = proxy.proxy.drain(5_000).then((inTime) => {
    waiting = false;
    return inTime;
  });
  await until(async () => !(await proxy.proxy.ready()), 'not ready');
  expect(waiting).toBe(true);
  const refused = connect(Number(new URL(proxy.url).port), '127.0.0.1');
  await expect(once(refused, 'connect')).rejects.toThrow(/REFUSED/);
  slow.end(everything.body.subarray(3));
  const [response] = (await once(slow, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
  let size = 0;
  for await (const chunk of response) size += (chunk as Buffer).length;
  expect(response.statusCode).toBe(200);
  expect(size).toBeGreaterThan(POINTS * 20_000);
  expect(await drained).toBe(true);
});

async function fillServer(): Promise<void> {
  const direct = new HttpProber(server.url, { keepAlive: false });
  const put = (path: string, value: unknown): Promise<unknown> =>
    direct.ask({ method: 'PUT', path, headers: JSON_TYPE, body: Buffer.from(JSON.stringify(value)) });
  await put('/collections/data', { vectors: { size: 2, distance: 'Dot' } });
  const payload = { text: 'x'.repeat(20_000) };
  const points = Array.from({ length: POINTS }, (_, id) => ({ id, vector: [id, 1], payload }));
  await put('/collections/data/points?wait=true', { points });
  direct.close();
}
