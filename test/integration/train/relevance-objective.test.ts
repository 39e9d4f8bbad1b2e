import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { writeNpy } from '../../../src/files/npy.js';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { Rng } from '../../../src/core/rng.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 900;
const QUERIES = 90;
const GROUPS = 6;
const DIM = 24;
/** Above what a JS number holds exactly, every third point named by a UUID. */
const idOf = (i: number): PointId =>
  i % 3 === 0
    ? `0190d5a0-0000-7000-8000-${String(i).padStart(12, '0')}`
    : 9_007_199_254_740_993n + BigInt(2 * i);
let server: TestServer;
let cwd: string;

const cli = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd, env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl } });
const train = (...args: string[]): Promise<CliResult> =>
  cli('train', 'docs', '--dim', String(GROUPS), '--steps', '3', '--k', '5', '--json', ...args);
const relevance = ['--objective', 'relevance'];
const file = (name: string, lines: readonly string[]): Promise<void> =>
  writeFile(join(cwd, name), `${lines.join('\n')}\n`);

/** The first components tell the group and vary little; the others vary much and tell nothing. */
function grouped(rows: number, seed: number): Matrix {
  const rng = new Rng(seed);
  const x = matrix(rows, DIM);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < DIM; j++)
      x.data[i * DIM + j] = j < GROUPS ? Number(j === i % GROUPS) + 0.15 * rng.normal() : 2 * rng.normal();
  }
  return x;
}

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-train-relevance-'));
  const store = await openQdrant(server);
  const native = JSON.stringify({ params: { vectors: { size: DIM, distance: 'Euclid' } } });
  await store.create({ name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  const ids = Array.from({ length: ROWS }, (_, i) => idOf(i));
  const rest = ids.map((_, i) => {
    const tags = i < 40 ? { tags: [`group ${i % GROUPS}`, 'more'] } : { tags: `group ${i % GROUPS}` };
    return store.codec.pack(JSON.stringify(i < 600 ? { about: tags } : { about: {} }));
  });
  const vectors = [{ name: '', matrix: grouped(ROWS, 1), has: new Uint8Array(ROWS).fill(1) }];
  await store.upsert('docs', { ids, vectors, extra: rest });
  await store.close();
  const queries = grouped(QUERIES, 2);
  await writeNpy(join(cwd, 'q.npy'), queries, [queries]);
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

test('labels of a payload field choose what keeps groups together; points without one judge nothing', async () => {
  const args = [...relevance, '--labels-field', 'about.tags', '--out', 'field.onnx', '--report', 'r.html'];
  const { code, json, stderr } = await train(...args);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining(
      'labels from payload field "about.tags": 6 different labels on 600 of 900 points; the other 300 points are not scored',
    ),
  });
  expect(stderr).toContain('40 points hold several values of "about.tags": the first one is their label');
  expect(json()).toMatchObject({ objective: 'mAP@100', shipped: 'prefix', trainRows: 765 });
  expect(await readFile(join(cwd, 'r.html'), 'utf8')).toContain('group 3');
});

test('labels of a file by id: labelled points are part of the sample', async () => {
  // 120 of 900 points in a sample of 300: a random one alone would hold 40 of them.
  const labelled = Array.from({ length: 120 }, (_, i) => `${idOf(7 * i)}\ttopic ${(7 * i) % GROUPS}`);
  await file('labels.tsv', labelled);
  const args = ['--sample', '300', '--labels', 'labels.tsv', '--out', 'file.onnx'];
  const { code, json, stderr } = await train(...relevance, ...args);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(
      /labels from --labels: 6 different labels on 120 of 300 points; the other 180/,
    ),
  });
  expect(json()).toMatchObject({ objective: 'mAP@100', shipped: 'prefix' });
});

test('qrels by id: documents are part of the sample', async () => {
  const lines = Array.from({ length: QUERIES }, (_, q) =>
    Array.from({ length: 2 }, (_, n) => `${q}\t${idOf(q + (n + 1) * 96)}`),
  ).flat();
  await file('qrels.tsv', lines);
  const args = ['--queries', 'q.npy', '--qrels', 'qrels.tsv', '--sample', '250'];
  const { code, json, stderr } = await train(...relevance, ...args, '--out', 'qrels.onnx');
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('250 vectors of 24') });
  expect(json()).toMatchObject({ objective: 'nDCG@10', trainRows: 250, heldOutQueries: 60 });
  expect(json()['shipped']).toBe('prefix');
  const tooFew = await train(...relevance, ...args.slice(0, -1), '20', '--out', 'no.onnx');
  expect(tooFew).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--sample takes 20: raise --sample'),
  });
});

test('a stopped training goes on with the same labels, and not with qrels of other documents', async () => {
  const base = [...relevance, '--sample', '200', '--checkpoint', 'run.ckpt'];
  const labelled = [...base, '--labels-field', 'about.tags'];
  const [first, again] = [
    await train(...labelled, '--out', 'a.onnx'),
    await train(...labelled, '--out', 'b.onnx'),
  ];
  expect([first.code, again.code]).toEqual([0, 0]);
  expect(again.json()['fingerprint']).toBe(first.json()['fingerprint']);
  await file(
    'missed.tsv',
    Array.from({ length: 150 }, (_, i) => `${i % QUERIES}\t${idOf(6 * i)}`),
  );
  const other = ['--queries', 'q.npy', '--qrels', 'missed.tsv', '--out', 'c.onnx'];
  expect(await train(...base, ...other)).toMatchObject({
    code: 9,
    stderr: expect.stringContaining("which the checkpoint's sample does not hold"),
  });
});

test('a plan chooses its encoders by the same, and prints a training that does', async () => {
  const small = ['plan', 'docs', '--dims', '6', '--datatypes', 'float32', '--oversampling', '1,10'];
  const args = [...small, '--budget', '1s', '--deterministic', '--sample', '600', ...relevance, '--json'];
  const byField = await cli(...args, '--labels-field', 'about.tags', '--target', 'recall@10>=0.01', '--yes');
  expect(byField).toMatchObject({ code: 0, stderr: expect.stringContaining('labels from payload field') });
  const { encoders, commands } = byField.json() as unknown as {
    encoders: readonly Readonly<Record<string, unknown>>[];
    commands: readonly string[];
  };
  expect(encoders).toMatchObject([{ dim: 6, objective: 'mAP@100', shipped: 'prefix' }]);
  expect(commands[0]).toContain('--objective relevance --labels-field about.tags --budget 1s');
  await file(
    'plan-qrels.tsv',
    Array.from({ length: QUERIES }, (_, q) => `${q}\t${idOf(q + 96)}`),
  );
  const dry = await cli(...args, '--queries', 'q.npy', '--qrels', 'plan-qrels.tsv', '--dry-run');
  expect(dry.stderr).toContain('45 of the queries measure, 45 train and choose encoders');
  const byIds = await cli(...args, '--queries', 'q.npy', '--qrels', 'plan-qrels.tsv', '--yes');
  expect(byIds.json()).toMatchObject({
    encoders: [{ objective: 'nDCG@10' }],
    queries: { count: 45, heldOut: false, training: 45 },
  });
  const wrong = await cli(...args, '--labels-field', 'about.tags', '--queries', 'q.npy', '--yes');
  expect(wrong.code).toBe(2);
});

test('what is wrong is said before anything is trained or written', async () => {
  await file('gone.tsv', ['0\t5', `1\t${idOf(3)}`, '2\t0190d5a0-0000-7000-8000-ffffffffffff']);
  await file('gone-labels.tsv', [`5\ta`, `${idOf(3)}\tb`]);
  await file('bad-labels.tsv', [`${idOf(3)}\tb`, 'docs/3\tb']);
  await file('bad-qrels.tsv', ['0\tdocs/3']);
  const before = await readdir(cwd);
  for (const [args, code, message] of [
    [
      ['--queries', 'q.npy', '--qrels', 'gone.tsv'],
      4,
      '--qrels names 2 points that docs does not hold with vector "": 5, 0190d5a0-0000-7000-8000-ffffffffffff',
    ],
    [['--labels', 'gone-labels.tsv'], 4, '--labels names 1 points that docs does not hold'],
    [['--labels', 'bad-labels.tsv'], 3, 'line 2: "docs/3" is no point id'],
    [['--queries', 'q.npy', '--qrels', 'bad-qrels.tsv'], 3, 'line 1: "docs/3" is no point id'],
    [['--labels-field', 'about.subject'], 3, 'none of the 900 points of the sample has a label'],
    [['--labels', 'gone-labels.tsv', '--labels-field', 'x'], 2, 'not both'],
    [['--labels-field', 'x', '--queries', 'q.npy'], 2, 'give --labels-field or --queries, not both'],
    [['--qrels', 'gone.tsv'], 2, 'give --queries'],
    [[], 2, '--objective relevance needs'],
  ] as const) {
    const result = await train(...relevance, ...args, '--out', 'no.onnx');
    expect({ args, code: result.code, stderr: result.stderr }).toEqual({
      args,
      code,
      stderr: expect.stringContaining(message),
    });
  }
  for (const [fields, code, message] of [
    ['about.subject', 3, 'none of 900 points of the sample has a label from payload field "about.subject"'],
    ['about.tags,', 2, '--labels-field: got "about.tags,", expected auto, none, or up to 12 keys'],
  ] as const) {
    const fidelity = await train('--labels-field', fields, '--out', 'no.onnx');
    expect(fidelity).toMatchObject({ code, stderr: expect.stringContaining(message) });
  }
  expect(await readdir(cwd)).toEqual(before);
});
