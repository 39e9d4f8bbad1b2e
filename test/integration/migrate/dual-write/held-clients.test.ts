import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { PlainGrpc, type GrpcResult } from '../../../support/server/grpc-call.js';
import { framed, GrpcProber } from '../../../support/serve/grpc-probe.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { startRelay, type Chunk, type Relay } from '../../../support/serve/relay.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { startServe, type Serving } from '../../../support/serve/serve-child.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();

const REQUESTS_MAX = 2;
const [EXHAUSTED, UNAVAILABLE] = [8, 14];
/** Longer than any test takes. */
const NEVER_MS = 900_000;
/** The limit of what is held. */
const HELD_MS = 1_500;
const vector = Array.from({ length: DIM }, (_, i) => i + 1);

let relays: { readonly rest: Relay; readonly grpc: Relay };
/** Whether the server's answer is held. */
let isHeld: (transport: 'REST' | 'gRPC', chunk: Chunk) => boolean;
let scenario: Scenario;
let serving: Serving;

beforeEach(async () => {
  isHeld = () => false;
  const relay = (transport: 'REST' | 'gRPC', to: () => string): Promise<Relay> =>
    startRelay(to, (chunk) => (isHeld(transport, chunk) ? 'hold' : 'pass'));
  relays = {
    rest: await relay('REST', () => place().url),
    grpc: await relay('gRPC', () => place().grpcUrl),
  };
});

afterEach(async () => {
  serving.child.kill('SIGKILL');
  await serving.ended;
  await Promise.all([relays.rest.close(), relays.grpc.close()]);
  await rm(scenario.folder, { recursive: true });
});

/** A proxy in front of a source that is being migrated; its way to the server goes through the relays. */
async function serve(source: string, settings: object): Promise<void> {
  const { rest, grpc } = relays;
  const options = { faults: false, points: 0 };
  scenario = await Scenario.make({ ...place(), url: rest.url, grpcUrl: grpc.url }, source, options);
  await start(settings);
}

async function start(settings: object): Promise<void> {
  const file = join(scenario.folder, 'serve.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...config, ...settings }));
  serving = await startServe(scenario.folder, [], { running: place().running });
}

/** Starts the proxy anew with other settings. */
async function serveAgain(settings: object): Promise<void> {
  serving.child.kill('SIGKILL');
  await serving.ended;
  await start(settings);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function requestsOfClients(): Promise<number> {
  const text = await (await fetchOnce(`${serving.operations}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('tldr_requests_in_flight'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function points(): Promise<number> {
  return place().store.count(scenario.source);
}

function upsert(id: number): Buffer {
  const point = { id: { num: String(id) }, vectors: { vector: { data: vector } } };
  const payload = { mark: { stringValue: `point-${id}` } };
  const { source: collectionName } = scenario;
  return Buffer.from(
    encodeRequest('Points/Upsert', { collectionName, wait: true, points: [{ ...point, payload }] }),
  );
}

/** Begins a write and returns what makes its client hang up. */
const BEGIN = {
  REST: async (id: number): Promise<() => void> => {
    const body = JSON.stringify({ points: [{ id, vector }] });
    const socket = connect(Number(new URL(serving.rest).port), '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(
      `PUT /collections/${scenario.source}/points?wait=true HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return () => socket.destroy();
  },
  gRPC: (id: number): Promise<() => void> => {
    const prober = new GrpcProber(serving.grpc);
    void prober.call({ path: pathOf('Points/Upsert'), body: framed(upsert(id)) });
    return Promise.resolve(() => prober.close());
  },
};

/** Whether the proxy has room for a request that it answers itself. */
const HAS_ROOM = {
  REST: async (): Promise<boolean> => {
    const socket = connect(Number(new URL(serving.rest).port), '127.0.0.1');
    socket.end('OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1.1 4\d\d /);
    return !text.startsWith('HTTP/1.1 429 ');
  },
  gRPC: async (): Promise<boolean> => {
    const client = new PlainGrpc(serving.grpc);
    const { code } = await client.call({ path: '/qdrant.StorageRead/Any', message: new Uint8Array(0) });
    client.close();
    return code !== EXHAUSTED;
  },
};

describe.each(['REST', 'gRPC'] as const)('a followed write over %s whose client hung up', (transport) => {
  test('counts as a request under way until it is done', async () => {
    const settings = { requestsMax: REQUESTS_MAX, timeoutMs: NEVER_MS, upstreamTimeoutMs: NEVER_MS };
    await serve(`hung-${transport}`, settings);
    expect(await HAS_ROOM[transport]()).toBe(true);
    // The first step of every followed write is a REST request of the proxy's own.
    isHeld = (at, { from }) => at === 'REST' && from === 'server';
    const clients = [await BEGIN[transport](1), await BEGIN[transport](2)];
    await until(async () => (await requestsOfClients()) === REQUESTS_MAX);
    for (const hangUp of clients) hangUp();
    await until(async () => (await requestsOfClients()) === 0);
    expect(await HAS_ROOM[transport]()).toBe(false);
    isHeld = () => false;
    relays.rest.cutHeld();
    await until(HAS_ROOM[transport]);
  });
});

test('a followed gRPC call that the database does not answer in time is UNAVAILABLE, not CANCELLED', async () => {
  const write = async (id: number): Promise<GrpcResult> => {
    const client = new PlainGrpc(serving.grpc);
    const result = await client.call({ path: pathOf('Points/Upsert'), message: upsert(id) });
    client.close();
    return result;
  };
  await serve('unanswered', { upstreamTimeoutMs: NEVER_MS });
  expect(await write(1)).toMatchObject({ code: 0 });
  // Short only while something is held: what is not held may take as long as it likes.
  await serveAgain({ upstreamTimeoutMs: HELD_MS });
  const late = { code: UNAVAILABLE, text: `the database did not answer within ${HELD_MS} ms` };
  // The server's word on the credentials.
  isHeld = (at, { from }) => at === 'gRPC' && from === 'server';
  expect(await write(2)).toMatchObject(late);
  relays.grpc.cutHeld();
  // The write itself, which the server makes.
  const marked = new Set<number>();
  isHeld = (at, { from, bytes, connection }) => {
    if (at === 'gRPC' && from === 'client' && bytes.includes('point-3')) marked.add(connection);
    return at === 'gRPC' && from === 'server' && marked.has(connection);
  };
  expect(await write(3)).toMatchObject(late);
  isHeld = () => false;
  relays.grpc.cutHeld();
  await serveAgain({ upstreamTimeoutMs: NEVER_MS });
  expect(await write(4)).toMatchObject({ code: 0 });
  expect(await points()).toBe(3);
});
