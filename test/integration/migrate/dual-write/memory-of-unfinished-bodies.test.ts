import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { encodeRequest, pathOf } from '../../../support/wire/grpc-schemas.js';
import { DIM } from '../../../support/migrate/fixtures.js';
import { Scenario } from '../../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../../support/migrate/scenario-fixture.js';
import { fetchOnce } from '../../../support/server/fetch-once.js';
import { framed } from '../../../support/serve/grpc-probe.js';
import { startServe, type Serving } from '../../../support/serve/serve-child.js';
import { testsOn } from '../../../support/server/test-server.js';

const test = await testsOn('any');
/** Where the system tells the memory of a process. */
const testProc = existsSync('/proc/self/status') ? test : it.skip;
const place = scenarioPlace();

const MIB = 1024 ** 2;
const LIMIT_BYTES = 64 * MIB;
const BODY_BYTES = 30 * MIB;
const CLIENTS = 24;
/** Without a limit, the bodies alone take 720 MiB. */
const PEAK_MIB_MAX = 500;
const SOURCE = 'held_memory';
const vector = Array.from({ length: DIM }, (_, i) => i + 1);

let scenario: Scenario;
let serving: Serving;
const closing: (() => void)[] = [];

beforeEach(async () => {
  scenario = await Scenario.make(place(), SOURCE, { faults: false, points: 0 });
  const file = join(scenario.folder, 'serve.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...config, bytesInFlightMax: LIMIT_BYTES }));
  serving = await startServe(scenario.folder, [], { running: place().running });
});

afterEach(async () => {
  for (const close of closing.splice(0)) close();
  serving.child.kill('SIGKILL');
  await serving.ended;
  await place().store.drop(SOURCE);
  await rm(scenario.folder, { recursive: true });
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function metric(name: string): Promise<number> {
  const text = await (await fetchOnce(`${serving.operations}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function peakMib(): Promise<number> {
  const status = await readFile(`/proc/${serving.child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** Resolves once the clients that were not refused hold all of their bodies but the last byte. */
async function heldByTheRest(refused: () => number): Promise<void> {
  await until(async () => {
    const rest = CLIENTS - refused();
    const bytes = await metric('tldr_bytes_in_flight');
    return rest <= LIMIT_BYTES / BODY_BYTES && bytes >= rest * (BODY_BYTES - 1);
  });
}

testProc('REST bodies that clients hold to the source of a migration are bounded in sum', async () => {
  const start = `{"points":[{"id":1,"vector":[${vector.join()}]}]`;
  const body = Buffer.from(`${start}${' '.repeat(BODY_BYTES - start.length - 1)}}`);
  const answers = new Map<Socket, string>();
  for (let i = 0; i < CLIENTS; i++) {
    const socket = connect(Number(new URL(serving.rest).port), '127.0.0.1').on('error', () => undefined);
    closing.push(() => socket.destroy());
    answers.set(socket, '');
    socket.on('data', (chunk: Buffer) => answers.set(socket, `${answers.get(socket)}${chunk.toString()}`));
    socket.write(
      `PUT /collections/${SOURCE}/points?wait=true HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`,
    );
    socket.write(body.subarray(0, -1));
  }
  const answered = (status: number): number =>
    [...answers.values()].filter((answer) => answer.startsWith(`HTTP/1.1 ${status} `)).length;
  await heldByTheRest(() => answered(503));
  expect(await peakMib()).toBeLessThan(PEAK_MIB_MAX);

  const held = [...answers].filter(([, answer]) => answer === '').map(([socket]) => socket);
  expect(held.length).toBeGreaterThan(0);
  for (const socket of held) {
    socket.write(body.subarray(-1));
    await until(() => answers.get(socket) !== '');
  }
  // A whole body needs room for its rewritten form, which another held body may take.
  expect(answered(200) + answered(503)).toBe(CLIENTS);
  expect(answered(200)).toBeGreaterThan(0);
  await until(async () => (await metric('tldr_bytes_in_flight')) === 0);
  expect(await place().store.count(SOURCE)).toBe(1);
  expect(await peakMib()).toBeLessThan(PEAK_MIB_MAX);
});

testProc('gRPC messages that clients hold to the source of a migration are bounded in sum', async () => {
  const payload = { text: { stringValue: 'x'.repeat(BODY_BYTES) } };
  const point = { id: { num: '1' }, vectors: { vector: { data: vector } }, payload };
  const message = encodeRequest('Points/Upsert', { collectionName: SOURCE, wait: true, points: [point] });
  const body = framed(message);
  let refused = 0;
  for (let i = 0; i < CLIENTS; i++) {
    // Without the option, Node's client resets a stream that is answered while it has more to send.
    const session = connectHttp2(serving.grpc, { maxSessionMemory: 2 * (BODY_BYTES / MIB) });
    session.on('error', () => undefined);
    closing.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': pathOf('Points/Upsert'),
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.on('response', (headers) => (refused += Number(headers['grpc-status'] === '8')));
    stream.write(body.subarray(0, -1));
  }
  await heldByTheRest(() => refused);
  expect(await peakMib()).toBeLessThan(PEAK_MIB_MAX);
});
