import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, constants, type ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { openQdrant } from '../../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../../src/migrate/run/migrate-collection.js';
import type { ProxyLimits } from '../../../../src/serve/proxy-options.js';
import { encodeRequest } from '../../../support/wire/grpc-schemas.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../../support/migrate/fixtures.js';
import { fetchGranted, fetchOnce } from '../../../support/server/fetch-once.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { HttpProber, type Probed } from '../../../support/serve/http-probe.js';
import { startTestProxy, type TestProxy } from '../../../support/serve/proxy-fixture.js';
import { endServing, startServe } from '../../../support/serve/serve-child.js';
import { startTestServer, testsOn, type TestServer } from '../../../support/server/test-server.js';

const test = await testsOn('any');
/** Where the system tells the memory of a process. */
const testProc = existsSync('/proc/self/status') ? test : it.skip;

const MIB = 1024 ** 2;
const LIMIT_BYTES = 4 * MIB;
/** More than half of the limit: two of these do not fit. */
const LARGE_BYTES = 3 * MIB;
const TARGET = 'served_c4';
const SCROLL = '/collections/served/points/scroll';
const UPSERT_CALL = '/qdrant.Points/Upsert';

let server: TestServer;
let proxy: TestProxy;
const closing: (() => void)[] = [];

async function start(limits: Partial<ProxyLimits> = {}): Promise<void> {
  proxy = await startTestProxy({ ...server, limits: { bytesInFlightMax: LIMIT_BYTES, ...limits } });
}

beforeAll(async () => {
  server = await startTestServer();
  const made = await fetchOnce(`${server.url}/collections/${TARGET}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      vectors: { size: COMPACT_DIM, distance: 'Cosine' },
      metadata: { text: 'x'.repeat(LARGE_BYTES) },
    }),
  });
  expect(made.status).toBe(200);
});

afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await proxy.proxy.close();
});

afterAll(async () => {
  endServing();
  await fetchOnce(`${server.url}/collections/${TARGET}`, { method: 'DELETE' });
  await server.stop();
});

/** A request for one point in a body of so many bytes. */
function body(bytes: number): Buffer {
  return Buffer.from(`{"limit":1${' '.repeat(bytes - 11)}}`);
}

/** A point whose payload has so many bytes. */
function message(bytes: number): Buffer {
  const payload = { text: { stringValue: 'x'.repeat(bytes) } };
  const vectors = { vector: { data: Array<number>(DIM).fill(1) } };
  const point = { id: { num: '1' }, vectors, payload };
  return Buffer.from(encodeRequest('Points/Upsert', { collectionName: 'served', points: [point] }));
}

async function metric(name: string): Promise<number> {
  const text = await proxy.proxy.metrics.registry.getSingleMetricAsString(name);
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 300_000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`it never came to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const held = async (bytes: number): Promise<void> =>
  until(async () => (await metric('tldr_bytes_in_flight')) >= bytes, `${bytes} bytes held`);
const nothingHeld = (): Promise<void> =>
  until(async () => (await metric('tldr_bytes_in_flight')) === 0, 'nothing held');

/** A request whose last bytes are to come. */
async function sendMostOfBody(): Promise<{ readonly socket: Socket; readonly end: () => void }> {
  const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  const sent = body(LARGE_BYTES);
  socket.write(
    `POST ${SCROLL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`,
  );
  socket.write(sent.subarray(0, -1));
  return { socket, end: () => void socket.write(sent.subarray(-1)) };
}

/** The same once the proxy has all of it but the last byte. */
async function holdBody(): ReturnType<typeof sendMostOfBody> {
  const sending = await sendMostOfBody();
  await held(LARGE_BYTES - 1);
  return sending;
}

/** A call whose last byte is to come. */
function sendMostOfMessage(): ClientHttp2Stream {
  const prober = new GrpcProber(proxy.grpcUrl);
  closing.push(() => prober.close());
  const stream = prober.session.request({
    ':method': 'POST',
    ':path': UPSERT_CALL,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.write(framed(message(LARGE_BYTES)).subarray(0, -1));
  return stream;
}

/** The same once the proxy has all of it but the last byte. */
async function holdMessage(): Promise<ClientHttp2Stream> {
  const stream = sendMostOfMessage();
  await held(LARGE_BYTES);
  return stream;
}

async function ask(
  bytes: Buffer,
  options: { readonly coding?: string; readonly chunked?: boolean } = {},
): Promise<Probed> {
  const { coding, chunked = false } = options;
  const prober = new HttpProber(proxy.url, { keepAlive: false });
  const headers = ['Content-Type', 'application/json'];
  if (coding !== undefined) headers.push('Content-Encoding', coding);
  const answer = await prober.ask({ method: 'POST', path: SCROLL, headers, body: bytes, chunked });
  prober.close();
  return answer;
}

async function call(bytes: Buffer, encoding?: string): ReturnType<GrpcProber['call']> {
  const prober = new GrpcProber(proxy.grpcUrl);
  const answer = await prober.call({
    path: UPSERT_CALL,
    body: framed(bytes, encoding === undefined ? 0 : 1),
    ...(encoding !== undefined && { metadata: { 'grpc-encoding': encoding } }),
  });
  prober.close();
  return answer;
}

const RETRY = expect.arrayContaining(['retry-after: 1']);

describe('bodies that take all the room', () => {
  test('another large one is refused with 503 and retry-after, over gRPC with RESOURCE_EXHAUSTED', async () => {
    await start();
    const first = await holdBody();
    const refused = await ask(body(LARGE_BYTES));
    expect(refused).toMatchObject({ status: 503, headers: RETRY });
    expect(refused.body).toContain(`no room in the ${LIMIT_BYTES} bytes`);
    const refusedCall = await call(message(LARGE_BYTES));
    expect(refusedCall.headers).toMatchObject({ 'grpc-status': '8', 'retry-after': '1' });
    expect(await metric('tldr_bytes_refused_total')).toBe(2);
    const answered = once(first.socket, 'data') as Promise<[Buffer]>;
    first.end();
    expect((await answered)[0].toString()).toMatch(/^HTTP\/1.1 200 /);
    await nothingHeld();
    expect(await ask(body(LARGE_BYTES))).toMatchObject({ status: 200 });
  });

  test('a large one is refused before it is read where its length is announced', async () => {
    await start();
    await holdBody();
    const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
    closing.push(() => socket.destroy());
    socket.write(`POST ${SCROLL} HTTP/1.1\r\nHost: x\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 503 [^]*\r\nretry-after: 1\r\n/);
  });

  test('one whose length is not announced is refused as it grows', async () => {
    await start();
    await holdBody();
    expect(await ask(body(LARGE_BYTES), { chunked: true })).toMatchObject({ status: 503, headers: RETRY });
  });

  test('a message takes the room of bodies', async () => {
    await start();
    await holdMessage();
    expect(await ask(body(LARGE_BYTES))).toMatchObject({ status: 503, headers: RETRY });
    expect((await call(message(LARGE_BYTES))).headers).toMatchObject({ 'grpc-status': '8' });
  });

  test('small requests go on', async () => {
    await start();
    await holdBody();
    expect(await ask(body(60_000))).toMatchObject({ status: 200 });
    expect(await ask(gzipSync(body(60_000)), { coding: 'gzip' })).toMatchObject({ status: 200 });
    expect((await call(message(30_000))).trailers).toMatchObject({ 'grpc-status': '0' });
  });

  test('many at once are refused until they fit, and each of them that is not refused is answered', async () => {
    await start();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(body(MIB), { chunked: true })));
    for (const { status } of answers) expect([200, 503]).toContain(status);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
    await nothingHeld();
    expect(await ask(body(LARGE_BYTES))).toMatchObject({ status: 200 });
  });
});

describe('what compression hides', () => {
  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('%s counts as what it becomes', async (coding, pack) => {
    await start();
    const packed = pack(body(LARGE_BYTES));
    expect(packed.length).toBeLessThan(20_000);
    expect(await ask(packed, { coding })).toMatchObject({ status: 200 });
    await holdBody();
    expect(await ask(packed, { coding })).toMatchObject({ status: 503, headers: RETRY });
  });

  test('a gzip message counts as what it becomes', async () => {
    await start();
    const packed = gzipSync(message(LARGE_BYTES));
    expect(packed.length).toBeLessThan(20_000);
    await holdBody();
    expect((await call(packed, 'gzip')).headers).toMatchObject({ 'grpc-status': '8', 'retry-after': '1' });
  });
});

describe('the largest request of all', () => {
  test('is taken where no other is under way, however little the limit is', async () => {
    await start({ bytesInFlightMax: 1 });
    expect(await ask(body(8 * MIB))).toMatchObject({ status: 200 });
    expect(await ask(gzipSync(body(8 * MIB)), { coding: 'gzip' })).toMatchObject({ status: 200 });
    expect((await call(message(8 * MIB))).trailers).toMatchObject({ 'grpc-status': '0' });
    expect((await call(gzipSync(message(8 * MIB)), 'gzip')).trailers).toMatchObject({ 'grpc-status': '0' });
    await nothingHeld();
  });
});

describe('room is made', () => {
  test('by a client that hangs up', async () => {
    await start();
    const { socket } = await holdBody();
    socket.destroy();
    await nothingHeld();
    const stream = await holdMessage();
    stream.close(constants.NGHTTP2_CANCEL);
    await nothingHeld();
  });

  test('by the time limit for a client that sends nothing', async () => {
    await start({ clientTimeoutMs: 300 });
    const { socket } = await sendMostOfBody();
    await once(socket, 'close');
    await nothingHeld();
    await once(sendMostOfMessage(), 'close');
    await nothingHeld();
  });

  test('by errors: a body that is too large, damaged, or refused', async () => {
    await start({ restBodyBytesMax: 2 * MIB });
    expect(await ask(body(LARGE_BYTES), { chunked: true })).toMatchObject({ status: 400 });
    expect(await ask(Buffer.alloc(MIB, 1), { coding: 'gzip' })).toMatchObject({ status: 400 });
    expect(await ask(Buffer.alloc(MIB, '{'))).toMatchObject({ status: 400 });
    await nothingHeld();
  });
});

describe('answers that are rewritten', () => {
  const info = (): Promise<Probed> => {
    const prober = new HttpProber(proxy.url, { keepAlive: false });
    return prober.ask({ method: 'GET', path: '/collections/served' }).finally(() => prober.close());
  };

  test('count while they are taken whole', async () => {
    await start();
    expect(await info()).toMatchObject({ status: 200 });
    await nothingHeld();
    await holdBody();
    expect(await info()).toMatchObject({ status: 503, headers: RETRY });
  });

  test('count until their client has taken them, who has only so long for that', async () => {
    await start({ clientTimeoutMs: 300 });
    const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
    socket.on('error', () => undefined).pause();
    closing.push(() => socket.destroy());
    // As many as no buffer of the system takes.
    socket.write('GET /collections/served HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(8));
    // It reads nothing, and so does not see that the connection ends.
    await until(async () => (await metric('tldr_requests_total')) >= 8, 'all requests over');
    await nothingHeld();
    expect(await metric('tldr_requests_in_flight')).toBe(0);
  });
});

describe('answers that are streamed over gRPC', () => {
  /** A call whose client takes nothing of its large answer. */
  const stall = async (): Promise<ClientHttp2Stream> => {
    const session = connectHttp2(proxy.grpcUrl, { settings: { initialWindowSize: 0 } });
    session.on('error', () => undefined);
    closing.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/qdrant.Points/Scroll',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    const payload = { enable: true };
    const sent = encodeRequest('Points/Scroll', { collectionName: 'served', withPayload: payload });
    stream.end(framed(Buffer.from(sent)));
    await once(stream, 'response');
    return stream;
  };

  beforeEach(async () => {
    await start();
    expect((await call(message(LARGE_BYTES))).trailers).toMatchObject({ 'grpc-status': '0' });
    await nothingHeld();
  });

  test('count while their client takes nothing', async () => {
    const stream = await stall();
    await held(MIB);
    expect(await ask(body(LARGE_BYTES + MIB))).toMatchObject({ status: 503, headers: RETRY });
    stream.close(constants.NGHTTP2_CANCEL);
    await nothingHeld();
  });

  test('are broken off where their client takes nothing for too long', async () => {
    await proxy.proxy.close();
    await start({ clientTimeoutMs: 300 });
    const stream = await stall();
    await once(stream, 'close');
    await nothingHeld();
  });
});

testProc('the memory of a process stays near its setting', async () => {
  await start();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-memory-'));
  const at = '127.0.0.1:0';
  const encoder = join(folder, 'encoder.onnx');
  await tinyEncoder().save(encoder);
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  await store.create({
    name: 'memory',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } }, optimizer_config: {} }),
  });
  await fill(store, 'memory', 20);
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'memory',
    targetCollection: 'memory_c4',
    encoder: tinyEncoder(),
    layout: 'compact',
    statePath: join(folder, 'state.json'),
  });
  const config = { listenRest: at, listenGrpc: at, listenOperations: at };
  const collections = { served: { target: 'memory_c4', encoder } };
  const { url, grpcUrl } = server;
  await writeFile(join(folder, 'serve.json'), JSON.stringify({ url, grpcUrl, ...config, collections }));
  const env = { QDRANT_TLDR_BYTES_IN_FLIGHT_MAX: String(64 * MIB) };
  const serving = await startServe(folder, [], { env });
  const sent = body(30 * MIB);
  let refused = 0;
  for (let i = 0; i < 20; i++) {
    const socket = connect(Number(new URL(serving.rest).port), '127.0.0.1');
    closing.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('data', (answer: Buffer) => (refused += Number(answer.toString().startsWith('HTTP/1.1 503'))));
    socket.write(`POST ${SCROLL} HTTP/1.1\r\nHost: x\r\nContent-Length: ${sent.length}\r\n\r\n`);
    socket.write(sent.subarray(0, -1));
  }
  // Two bodies fit if their heads come before the first body is there, else one.
  await until(() => refused >= 18, 'all refused but two');
  const status = await readFile(`/proc/${serving.child.pid}/status`, 'utf8');
  const peakMib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  // Without a limit 600 MiB of bodies and the process itself.
  expect(peakMib).toBeLessThan(450);
  for (const close of closing.splice(0)) close();
  const answer = await fetchGranted(`${serving.rest}${SCROLL}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: sent,
  });
  expect(answer.status).toBe(200);
  serving.child.kill();
  expect(await serving.ended).toBe(0);
  await store.drop('memory');
  await store.drop('memory_c4');
  await store.close();
  await rm(folder, { recursive: true });
});
