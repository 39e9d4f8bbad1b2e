import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { row, type Matrix } from '../../../src/core/matrix.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { runCli } from '../../support/cli/run-cli.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { decodeAnswer, encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { makeCertificates, whyNoCertificates } from '../../support/serve/certificates.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { framed, GrpcProber, type GrpcProbed } from '../../support/serve/grpc-probe.js';
import { endServing, startedServing, startServe } from '../../support/serve/serve-child.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');
const noCertificates = await whyNoCertificates();
if (noCertificates !== null) process.stderr.write(`TLS tests left out: ${noCertificates}\n`);
const testTls = noCertificates === null ? test : it.skip;
const POINTS = 300;
const READY_MS = 300_000;

let server: TestServer;
let folder: string;
let vectors: Matrix;

async function configure(collections: object, url = server.url): Promise<void> {
  const at = '127.0.0.1:0';
  const config = {
    url,
    grpcUrl: server.grpcUrl,
    listenRest: at,
    listenGrpc: at,
    listenOperations: at,
    collections,
  };
  await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
}

const encoder = (): string => join(folder, 'encoder.onnx');

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-serve-'));
  await tinyEncoder().save(encoder());
  await tinyEncoder(2).save(join(folder, 'other.onnx'));
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  await store.create({
    name: 'original',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params: { vectors: { size: DIM, distance: 'Cosine' } }, optimizer_config: {} }),
  });
  vectors = await fill(store, 'original', POINTS);
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'original',
    targetCollection: 'small',
    encoder: tinyEncoder(),
    layout: 'two-stage',
    statePath: join(folder, 'state.json'),
  });
  await store.close();
});

afterAll(async () => {
  endServing();
  await server.stop();
  await rm(folder, { recursive: true });
});

test('--collection is the collection that the target was made from; another name needs --as', async () => {
  const served = (...flags: string[]): ReturnType<typeof runCli> =>
    runCli(
      [
        'serve',
        '--url',
        server.url,
        '--grpc-url',
        server.grpcUrl,
        '--target',
        'small',
        '--encoder',
        encoder(),
        '--check',
        ...flags,
      ],
      { cwd: folder },
    );
  const wrong = await served('--collection', 'orignal');
  expect(wrong.stderr).toContain(
    'small was made from original, not from orignal: give --collection original, or --as orignal if clients use that name',
  );
  expect(wrong.code).not.toBe(0);
  expect((await served('--collection', 'orignal', '--as', 'docs')).stderr).toContain(
    'give --collection original',
  );
  expect((await served('--collection', 'original')).stdout).toContain('original -> small');
  expect((await served('--collection', 'original', '--as', 'docs')).stdout).toContain('docs -> small');
  expect((await served('--as', 'docs')).stdout).toContain('docs -> small');
  const alias = async (action: object): Promise<void> => {
    const answer = await fetchOnce(`${server.url}/collections/aliases`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ actions: [action] }),
    });
    expect(answer.status).toBe(200);
  };
  for (const collection of ['original', 'small']) {
    await alias({ create_alias: { collection_name: collection, alias_name: 'by-alias' } });
    expect((await served('--collection', 'by-alias')).stdout).toContain('by-alias -> small');
    await alias({ delete_alias: { alias_name: 'by-alias' } });
  }
});

/** The status of one search under a client's name. */
async function search(rest: string, collection: string, i = 0): Promise<number> {
  const response = await fetchOnce(`${rest}/collections/${collection}/points/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: Array.from(row(vectors, i)), limit: 5 }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** The same over gRPC. */
function searchGrpc(prober: GrpcProber, collectionName: string, i = 0): Promise<GrpcProbed> {
  const query = { nearest: { dense: { data: Array.from(row(vectors, i)) } } };
  const message = encodeRequest('Points/Query', { collectionName, query, limit: '5' });
  return prober.call({ path: pathOf('Points/Query'), body: framed(message) });
}

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + READY_MS;
  while (!(await what())) {
    if (performance.now() > endMs) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const textOf = async (url: string): Promise<string> => (await fetchOnce(url)).text();

describe('serve', () => {
  test('--check says what would be served and ends; a wrong encoder ends it with code 9', async () => {
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const args = ['serve', '--config', 'serve.json', '--check', '--json'];
    const good = await runCli(args, { cwd: folder });
    expect(good.code).toBe(0);
    expect(good.json()).toMatchObject({
      checked: true,
      collections: [{ names: ['docs'], target: 'small', layout: 'two-stage' }],
    });
    await configure({ docs: { target: 'small', encoder: join(folder, 'other.onnx') } });
    const wrong = await runCli(args, { cwd: folder });
    expect(wrong.code).toBe(9);
    expect(wrong.stderr).toMatch(/cannot serve docs: .*encoder is .*expected/);
    await configure({ docs: { target: 'small', encoder: encoder() } });
    for (const [more, code, message] of [
      [['--tls-cert', encoder()], 2, 'both a certificate and its key'],
      [['--tls-cert', 'none.pem', '--tls-key', 'none.pem'], 4, 'cannot read the certificate'],
      [['--tls-cert', encoder(), '--tls-key', encoder()], 3, 'not a certificate and its key'],
      [['--shadow', '5%'], 2, 'name it with --full'],
    ] as const)
      expect(await runCli([...args, ...more], { cwd: folder })).toMatchObject({
        code,
        stderr: expect.stringContaining(message),
      });
    await configure({ docs: { target: 'original', encoder: encoder() } });
    expect((await runCli(args, { cwd: folder })).code).toBe(2);
    await configure({ docs: { target: 'small', encoder: encoder(), oversample: 3 } });
    const unknown = await runCli(args, { cwd: folder });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('collections.docs.oversample: unknown key');
  });

  test('a reload under load loses no request; a file that cannot be served leaves things as they were', async () => {
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const serving = await startServe(folder, []);
    const statuses: number[] = [];
    let going = true;
    const client = async (): Promise<void> => {
      for (let i = 0; going; i++) statuses.push(await search(serving.rest, 'docs', i % POINTS));
    };
    const clients = [client(), client(), client()];
    await until(() => statuses.length > 20);
    await configure({ docs: { target: 'small', encoder: encoder(), oversampling: 3 } });
    serving.child.kill('SIGHUP');
    await until(() => serving.log().includes('was read again'));
    await configure({ docs: { target: 'small', encoder: join(folder, 'other.onnx') } });
    serving.child.kill('SIGHUP');
    await until(() => serving.log().includes('the old one stays'));
    await configure({ docs: { target: 'small' } });
    serving.child.kill('SIGHUP');
    await until(() => serving.log().split('the old one stays').length === 3);
    const before = statuses.length;
    await until(() => statuses.length > before + 20);
    going = false;
    await Promise.all(clients);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(await textOf(`${serving.operations}/healthz`)).toBe('ok\n');
    expect(await textOf(`${serving.operations}/readyz`)).toBe('ready\n');
    const counted = await textOf(`${serving.operations}/metrics`);
    expect(counted).toMatch(/tldr_requests_total\{.*status="200"\} \d+/);
    expect(counted).toContain('tldr_reloads_total{outcome="taken"} 1');
    expect(counted).toContain('tldr_reloads_total{outcome="refused"} 2');
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });

  test('SIGHUP before it is ready reads the file again then; SIGTERM ends it while a reload waits', async () => {
    let silent = false;
    const sockets = new Set<Socket>();
    const relay = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      if (silent) return;
      const { hostname, port } = new URL(server.url);
      const upstream = connect(Number(port), hostname);
      upstream.on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    const { port } = relay.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    try {
      silent = true;
      await configure({ docs: { target: 'small', encoder: encoder() } }, url);
      const starting = startServe(folder, []);
      await until(() => sockets.size > 0);
      const [child] = startedServing();
      child?.kill('SIGHUP');
      silent = false;
      for (const socket of sockets) socket.destroy();
      const serving = await starting;
      await until(() => serving.log().includes('was read again'));
      silent = true;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
      serving.child.kill('SIGHUP');
      await until(() => sockets.size > 0);
      serving.child.kill('SIGTERM');
      expect(await serving.ended).toBe(0);
      expect(serving.log()).toContain('stopped');
    } finally {
      for (const socket of sockets) socket.destroy();
      relay.close();
    }
  });

  test('a request under way when the process is asked to end is answered, others are not begun', async () => {
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const serving = await startServe(folder, []);
    const body = Buffer.from(JSON.stringify({ query: Array.from(row(vectors, 1)), limit: 5 }));
    const slow = request(`${serving.rest}/collections/docs/points/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': body.length },
    });
    slow.write(body.subarray(0, 9));
    await until(async () =>
      (await textOf(`${serving.operations}/metrics`)).includes('in_flight{transport="rest"} 1'),
    );
    serving.child.kill('SIGTERM');
    await until(async () => (await textOf(`${serving.operations}/readyz`)) === 'not ready\n');
    await expect(search(serving.rest, 'docs')).rejects.toThrow('fetch failed');
    slow.end(body.subarray(9));
    const [response] = (await once(slow, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    response.resume();
    expect(await serving.ended).toBe(0);
  });

  test('a large write is projected as a small one is', async () => {
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const serving = await startServe(folder, []);
    const payload = { text: 'x'.repeat(400_000) };
    const points = [0, 1].map((i) => ({ id: 900_000 + i, vector: Array.from(row(vectors, i)), payload }));
    const write = async (written: object[]): Promise<number> => {
      const response = await fetchOnce(`${serving.rest}/collections/docs/points?wait=true`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ points: written }),
      });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await write(points)).toBe(200);
    expect(await write([{ ...points[0], id: 900_002, payload: {} }])).toBe(200);
    expect(await write([{ ...points[0], vector: [1] }])).toBe(400);
    const answer = await fetchOnce(`${server.url}/collections/small/points`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ids: [900_000, 900_002], with_vector: ['compact'], with_payload: false }),
    });
    const { result } = (await answer.json()) as { result: { vector: { compact: number[] } }[] };
    expect(result).toHaveLength(2);
    expect(result[0]?.vector.compact).toHaveLength(COMPACT_DIM);
    expect(result[0]?.vector).toEqual(result[1]?.vector);
    const removed = await fetchOnce(`${serving.rest}/collections/docs/points/delete?wait=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ points: [900_000, 900_001, 900_002] }),
    });
    expect(removed.status).toBe(200);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });

  test('sampled searches of both transports are compared with the full collection', async () => {
    await configure({ docs: { target: 'small', encoder: encoder(), full: 'original', oversampling: 60 } });
    const serving = await startServe(folder, ['--shadow', '100%']);
    const metrics = (): Promise<string> => textOf(`${serving.operations}/metrics`);
    const compared = (count: number): Promise<void> =>
      until(async () =>
        (await metrics()).includes(`tldr_shadow_overlap_count{collection="docs"} ${count}\n`),
      );
    for (let i = 0; i < 5; i++) expect(await search(serving.rest, 'docs', i)).toBe(200);
    await compared(5);
    const prober = new GrpcProber(serving.grpc);
    // The server may compress what it answers, but not what is to be compared.
    const metadata = { 'grpc-accept-encoding': 'gzip' };
    const ask = async (method: string, request: JsonObject): Promise<void> => {
      const message = encodeRequest(method, { collectionName: 'docs', ...request });
      const answer = await prober.call({ path: pathOf(method), body: framed(message), metadata });
      expect(answer.trailers).toMatchObject({ 'grpc-status': '0' });
    };
    const dense = (i: number): JsonObject => ({ nearest: { dense: { data: Array.from(row(vectors, i)) } } });
    await ask('Points/Query', { query: dense(5), limit: '5' });
    await compared(6);
    await ask('Points/Search', { vector: Array.from(row(vectors, 6)), limit: '5' });
    await compared(7);
    const queryPoints = [7, 8].map((i) => ({ collectionName: 'docs', query: dense(i), limit: '5' }));
    await ask('Points/QueryBatch', { queryPoints });
    await compared(9);
    // A search that is refused is no search that was answered.
    await searchGrpc(prober, 'docs', POINTS);
    prober.close();
    // Every point is a candidate, so that both sides give the same.
    const text = await metrics();
    expect(text).toContain('tldr_shadow_overlap_sum{collection="docs"} 9\n');
    for (const side of ['served', 'full'])
      expect(text).toContain(`tldr_shadow_seconds_count{collection="docs",side="${side}"} 9\n`);
    expect(text).toContain('tldr_shadow_dropped_total 0\n');
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });

  testTls('speaks TLS with REST and gRPC clients who know its authority, and with nobody else', async () => {
    const { ca, cert, key } = await makeCertificates(folder);
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const serving = await startServe(folder, ['--tls-cert', cert, '--tls-key', key]);
    expect([serving.rest, serving.grpc]).toEqual(Array(2).fill(expect.stringMatching(/^https:/)));
    const authority = await readFile(ca);
    const body = JSON.stringify({ query: Array.from(row(vectors, 3)), limit: 5 });
    const ask = (trusted: Buffer | undefined): Promise<string> =>
      new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json' };
        const options = { method: 'POST', ca: trusted, headers, agent: false };
        const call = requestTls(`${serving.rest}/collections/docs/points/query`, options, (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => resolve(text));
        });
        call.on('error', reject).end(body);
      });
    // Read as text: some of the ids are no numbers of JavaScript.
    const ids = [...(await ask(authority)).matchAll(/"id":"?([\w-]+)/g)].map(([, id]) => id);
    expect(ids).toHaveLength(5);
    await expect(ask(undefined)).rejects.toThrow(/certificate/);
    await expect(fetchOnce(serving.rest.replace('https:', 'http:'))).rejects.toThrow('fetch failed');
    const trusting = new GrpcProber(serving.grpc, authority);
    const answer = await searchGrpc(trusting, 'docs', 3);
    trusting.close();
    expect(answer.trailers).toMatchObject({ 'grpc-status': '0' });
    expect(decodeAnswer('Points/Query', answer.body.subarray(5))).toMatchObject({
      result: ids.map((id) => ({ id: id?.includes('-') === true ? { uuid: id } : { num: id } })),
    });
    for (const stranger of [
      new GrpcProber(serving.grpc),
      new GrpcProber(serving.grpc.replace('https:', 'http:')),
    ]) {
      expect((await searchGrpc(stranger, 'docs', 3)).headers).toEqual({});
      stranger.close();
    }
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });

  test('several processes share the port and count together; those that die are started again', async () => {
    await configure({ docs: { target: 'small', encoder: encoder() } });
    const serving = await startServe(folder, ['--workers', '2']);
    for (let i = 0; i < 20; i++) expect(await search(serving.rest, 'docs', i)).toBe(200);
    const counted = async (): Promise<number> => {
      const text = await textOf(`${serving.operations}/metrics`);
      const lines = text.matchAll(/^tldr_projected_vectors_total\{transport="rest"\} (\d+)/gm);
      return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    await until(async () => (await counted()) === 20);
    serving.child.kill('SIGHUP');
    await until(async () =>
      (await textOf(`${serving.operations}/metrics`)).includes('tldr_reloads_total{outcome="taken"} 1\n'),
    );
    const children = await readFile(`/proc/${serving.child.pid}/task/${serving.child.pid}/children`, 'utf8');
    // One by one: the first is started again while the other still holds the ports.
    for (const [i, pid] of children.trim().split(' ').entries()) {
      process.kill(Number(pid), 'SIGKILL');
      await until(() => serving.log().split('that was started again serves').length === i + 2);
    }
    expect(serving.log()).not.toContain('cannot start');
    // As many as there were, on the same ports.
    await until(async () => (await search(serving.rest, 'docs').catch(() => 0)) === 200);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toBe(0);
  });
});
