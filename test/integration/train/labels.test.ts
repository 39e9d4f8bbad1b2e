import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { expectDefined } from '../../../src/core/errors.js';
import { writeNpy } from '../../../src/files/npy.js';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { TrainReport } from '../../../src/select/train-report.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 600;
const GROUPS = 6;
const DIM = 16;
const SECRET = 'never shown';
let server: TestServer;
let cwd: string;

const cli = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd, env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl } });
const quick = ['--dim', String(GROUPS), '--steps', '3', '--k', '5', '--json'];
const relevanceOf = ({ json }: CliResult): TrainReport['relevance'] =>
  (json() as unknown as TrainReport).relevance;

/** The first components tell the group; the others have more variance together and tell nothing. */
function grouped(rows: number): Matrix {
  const rng = new Rng(1);
  const x = matrix(rows, DIM);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < DIM; j++)
      x.data[i * DIM + j] = j < GROUPS ? Number(j === i % GROUPS) + 0.15 * rng.normal() : 0.6 * rng.normal();
  return x;
}

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-train-labels-'));
  const x = grouped(ROWS);
  await writeNpy(join(cwd, 'x.npy'), x, [x]);
  await writeFile(
    join(cwd, 'labels.txt'),
    Array.from({ length: ROWS }, (_, i) => `${i % GROUPS}`).join('\n'),
  );
  const store = await openQdrant(server);
  const rng = new Rng(2);
  const payloads = {
    docs: (i: number) => ({
      about: { subject: [`${SECRET} ${i % GROUPS}`, 'more'] },
      page: rng.int(20),
      uid: `u${i}`,
      language: 'en',
      text: `${SECRET} ${'x'.repeat(100)}`,
    }),
    bare: (i: number) => ({ page: rng.int(20), uid: `u${i}` }),
  };
  for (const [name, payloadOf] of Object.entries(payloads)) {
    const native = JSON.stringify({ params: { vectors: { size: DIM, distance: 'Euclid' } } });
    await store.create({ name, vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
    const ids = Array.from({ length: ROWS }, (_, i) => BigInt(i));
    const extra = ids.map((_, i) => store.codec.pack(JSON.stringify(payloadOf(i))));
    const vectors = [{ name: '', matrix: x, has: new Uint8Array(ROWS).fill(1) }];
    await store.upsert(name, { ids, vectors, extra });
  }
  await store.close();
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

test('a training finds labels in the payload and says what relevance would ship', async () => {
  const result = await cli('train', 'docs', ...quick, '--out', 'enc.onnx', '--report', 'r.html');
  const { code, stderr } = result;
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('by `about.subject`') });
  expect(relevanceOf(result)).toMatchObject([{ name: 'about.subject', labels: GROUPS, best: 'prefix' }]);
  expect(stderr).toMatch(
    /by `about\.subject`, the compact space of first dimensions is \d+\.\d points better than your full vectors \(mAP@100 /,
  );
  expect(stderr).toContain('an encoder that gathers classes can lose it');
  const page = await readFile(join(cwd, 'r.html'), 'utf8');
  expect(page).toContain('mAP@100, about.subject');
  expect(page).toContain('points better than your full vectors');
  for (const text of [stderr, result.stdout, page]) expect(text).not.toContain(SECRET);
  // The command that was printed ships what was promised, and overwrites nothing.
  const command = expectDefined(/^ {2}(qdrant-tldr train .*)$/m.exec(stderr)?.[1], 'the command');
  const shipped = await cli(...command.split(' ').slice(1));
  expect(shipped).toMatchObject({ code: 0, stderr: expect.stringContaining('enc-relevance.onnx') });
  expect(shipped.json()).toMatchObject({ objective: 'mAP@100', shipped: 'prefix', relevance: [] });
});

test('fields can be named, or left alone; without labels nothing is claimed', async () => {
  const named = await cli(
    'train',
    'docs',
    ...quick,
    '--out',
    'a.onnx',
    '--labels-field',
    'page,about.subject',
  );
  expect(relevanceOf(named).map(({ name }) => name)).toEqual(['page', 'about.subject']);
  expect(named.stderr).toMatch(/by `page`.*relevance would not ship another candidate/);
  const none = await cli('train', 'docs', ...quick, '--out', 'b.onnx', '--labels-field', 'none');
  expect(relevanceOf(none)).toEqual([]);
  expect(none.stderr).not.toContain('relevance was not measured');
  // Page numbers repeat, but the vectors know nothing about them.
  const bare = await cli('train', 'bare', ...quick, '--out', 'c.onnx');
  expect(relevanceOf(bare)).toEqual([]);
  expect(bare.stderr).toContain('relevance was not measured: no payload field looks like labels');
  // Labels are only measured: the encoder is the same.
  expect(none.json()['fingerprint']).toBe(named.json()['fingerprint']);
});

test('labels of a file are measured beside fidelity, too', async () => {
  const args = ['train', '--input', 'x.npy', '--distance', 'euclid', ...quick, '--labels', 'labels.txt'];
  const result = await cli(...args, '--out', 'file.onnx');
  expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('by `labels`') });
  expect(relevanceOf(result)).toMatchObject([{ name: 'labels', labels: GROUPS, best: 'prefix' }]);
  const command = expectDefined(/^ {2}(qdrant-tldr train .*)$/m.exec(result.stderr)?.[1], 'the command');
  expect(command).not.toContain('--labels-field');
  const shipped = await cli(...command.split(' ').slice(1));
  expect(shipped.json()).toMatchObject({ objective: 'mAP@100', shipped: 'prefix' });
});
