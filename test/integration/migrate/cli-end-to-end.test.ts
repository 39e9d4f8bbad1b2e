import { afterAll, beforeAll, expect } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { rowRange } from '../../../src/core/matrix.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { tinyEncoder } from '../../support/migrate/fixtures.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 1500;
let server: TestServer;
let cwd: string;
/** What the commands said of which every test needs the outcome. */
let trained: CliResult;
let unwritten: Readonly<Record<'dry' | 'unasked' | 'missing', CliResult>> & { readonly files: string[] };
let migrated: Readonly<Record<'compact' | 'twoStage', CliResult>>;
const query = ['--encoder', 'enc.onnx', '--query', 'q.npy', '--row', '7', '--limit', '3', '--json'];
const cli = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd, env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl } });

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-e2e-'));
  const store = await openQdrant(server);
  const texts = (await readFile('demo/data/base.txt', 'utf8')).split('\n');
  const base = rowRange(await readNpy('demo/data/base.npy'), 0, ROWS);
  const native = JSON.stringify({ params: { vectors: { size: base.cols, distance: 'Cosine' } } });
  await store.create({ name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  const ids = Array.from({ length: ROWS }, (_, i) => BigInt(i));
  const rest = ids.map((_, i) => store.codec.pack(JSON.stringify({ text: texts[i] })));
  await store.upsert('docs', {
    ids,
    vectors: [{ name: '', matrix: base, has: new Uint8Array(ROWS).fill(1) }],
    extra: rest,
  });
  await store.close();
  await writeNpy(join(cwd, 'q.npy'), { rows: 20, cols: base.cols }, [rowRange(base, 100, 120)]);
  await tinyEncoder().save(join(cwd, 'other.onnx'));
  trained = await cli(
    'train',
    'docs',
    '--dim',
    '64',
    '--out',
    'enc.onnx',
    '--steps',
    '20',
    '--k',
    '10',
    '--json',
  );
  unwritten = {
    dry: await cli('migrate', 'docs', 'docs-c', '--encoder', 'enc.onnx', '--dry-run', '--json'),
    unasked: await cli('migrate', 'docs', 'docs-c', '--encoder', 'enc.onnx'),
    files: await readdir(cwd),
    missing: await cli('inspect', 'docs-c'),
  };
  const migrate = ['migrate', 'docs'];
  const how = ['--encoder', 'enc.onnx', '--yes', '--json'];
  migrated = {
    compact: await cli(...migrate, 'docs-c', ...how, '--layout', 'compact'),
    // The default layout.
    twoStage: await cli(...migrate, 'docs-2', ...how),
  };
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

test('a collection is inspected and learned from', async () => {
  const inspected = await cli('inspect', 'docs', '--dim', '64', '--json');
  expect(inspected.json()).toMatchObject({
    points: ROWS,
    vectors: [{ name: '', dim: 512, distance: 'cosine' }],
  });
  expect(trained).toMatchObject({ code: 0 });
});

test('before anybody agreed, a migration is described and nothing is written', () => {
  const { dry, unasked, files, missing } = unwritten;
  expect(dry.json()).toMatchObject({ dryRun: true, points: ROWS, outputDim: 64, targetExists: false });
  expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  expect([...files].sort()).toEqual(['enc.onnx', 'other.onnx', 'q.npy']);
  expect(missing.code).toBe(4);
});

test('it is migrated in both layouts', async () => {
  const { compact, twoStage } = migrated;
  expect(compact.json()).toMatchObject({ copied: ROWS, verified: ROWS, resumed: false });
  expect(twoStage.json()).toMatchObject({ copied: ROWS, verified: ROWS });
  expect((await cli('inspect', 'docs-c', '--json')).json()).toMatchObject({
    compactOf: { source: 'docs', outputDim: 64 },
  });
});

test.each([
  ['docs-c', []],
  ['docs-2', ['--rescore', '50']],
])('%s is searched with full queries', async (name, flags) => {
  const { code, json } = await cli('search', name, ...query, ...flags);
  expect(code).toBe(0);
  const [first] = json()['results'] as { id: string; score: number; payloadJson: string }[];
  expect(first).toMatchObject({ id: '107', payloadJson: expect.stringContaining('text') });
  // A compact space searched by dot products scores a point against itself by its projected length.
  expect(first!.score).toBeGreaterThan(0.6);
  expect(first!.score).toBeLessThan(1.001);
});

test.each(['utf8', 'utf16le'] as const)('a query may be %s text with a byte order mark', async (encoding) => {
  const values = [...(await readNpy(join(cwd, 'q.npy'))).data.subarray(7 * 512, 8 * 512)];
  await writeFile(join(cwd, 'q.json'), Buffer.from(`\uFEFF${JSON.stringify(values)}\r\n`, encoding));
  const args = ['--encoder', 'enc.onnx', '--query', 'q.json', '--limit', '1', '--json'];
  const { code, json } = await cli('search', 'docs-c', ...args);
  expect({ code, results: json()['results'] }).toMatchObject({ code: 0, results: [{ id: '107' }] });
});

const stateFile = join('.qdrant-tldr', 'docs--docs-c.json');
const refusals: [number, string[]][] = [
  [2, ['search', 'docs-c', ...query, '--rescore', '50']],
  [9, ['search', 'docs-c', ...query.map((word) => (word === 'enc.onnx' ? 'other.onnx' : word))]],
  [2, ['search', 'docs', ...query]],
  [9, ['migrate', 'docs', 'docs-c', '--encoder', 'other.onnx', '--yes']],
  [5, ['migrate', 'docs', 'docs-c', '--encoder', 'enc.onnx', '--layout', 'two-stage', '--yes']],
  [
    5,
    [
      'migrate',
      'docs',
      'docs-2',
      '--encoder',
      'enc.onnx',
      '--layout',
      'compact',
      '--yes',
      '--record',
      'new.json',
    ],
  ],
  [4, ['migrate', 'nothing', 'x', '--encoder', 'enc.onnx', '--yes']],
  [2, ['migrate', 'docs', 'docs', '--encoder', 'enc.onnx', '--yes']],
  [2, ['migrate', 'docs', 'x', '--encoder', 'enc.onnx', '--yes', '--record', 'q.npy/x.json']],
  [2, ['migrate', 'docs', 'x', '--encoder', 'enc.onnx', '--dry-run', '--record', 'q.npy/x.json']],
  [9, ['migrate', 'docs', 'x', '--encoder', 'enc.onnx', '--dry-run', '--record', stateFile]],
  [2, ['migrate', 'docs', 'x', '--encoder', 'enc.onnx', '--threads', '2', '--dry-run']],
  [2, ['inspect', 'docs', '--dim', '512']],
];
test.each(refusals)('exit code %i for: %j', async (code, args) => {
  expect((await cli(...args)).code).toBe(code);
});
