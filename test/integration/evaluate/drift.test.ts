import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { concatRows, rowRange } from '../../../src/core/matrix.js';
import { writeNpy } from '../../../src/files/npy.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { withSampleSummary } from '../../../src/select/summarize-sample.js';
import { rowsOfKinds } from '../../support/evaluate/kinds.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { startTestServer, type TestServer } from '../../support/server/test-server.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';

const DIM = 32;
/** Rows of kinds that the encoder has not seen, and of other kinds, most of which it has. */
const FRESH = 150;
const KNOWN = 1200;
const HELD = 200;

interface DriftResult {
  readonly share: number;
  readonly vectors: number;
  readonly newBy: string;
  readonly groups: readonly {
    readonly name: string;
    readonly vectors: number;
    readonly farShare: number | null;
    readonly recall: Readonly<Record<string, number | null>>;
  }[];
}

let server: TestServer;
let cwd: string;
const cli = (...args: string[]): Promise<CliResult> =>
  runCli(['evaluate', ...args, '--encoder', 'enc.onnx'], {
    cwd,
    env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl },
  });
const driftOf = (result: CliResult): DriftResult => result.json()['drift'] as DriftResult;

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-drift-'));
  const fresh = rowsOfKinds([9, 10, 11], { rows: FRESH, dim: DIM, seed: 2 });
  const known = rowsOfKinds([0, 1, 2, 3, 4, 5, 6, 7, 8], { rows: KNOWN + HELD, dim: DIM, seed: 3 });
  const seen = rowRange(known, 0, KNOWN);
  const plain = await pcaEncoder(seen, 9);
  await plain.save(join(cwd, 'earlier.onnx'));
  const encoder = await withSampleSummary(plain, seen, { seed: 1, threads: 1 });
  await encoder.save(join(cwd, 'enc.onnx'));
  const base = concatRows([fresh, known], known.cols);
  await writeNpy(join(cwd, 'base.npy'), base, [base]);
  const held = rowRange(known, KNOWN, KNOWN + HELD);
  await writeNpy(join(cwd, 'fresh.npy'), fresh, [fresh]);
  await writeNpy(join(cwd, 'held.npy'), held, [held]);
  const store = await openQdrant(server);
  const native = JSON.stringify({ params: { vectors: { size: base.cols, distance: 'Cosine' } } });
  await store.create({ name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  const ids = Array.from({ length: base.rows }, (_, i) => BigInt(i));
  const extra = ids.map((_, i) => store.codec.pack(JSON.stringify({ year: i < FRESH ? 2026 : 2020 })));
  const has = new Uint8Array(base.rows).fill(1);
  await store.upsert('docs', { ids, vectors: [{ name: '', matrix: base, has }], extra });
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'docs',
    targetCollection: 'docs_c',
    encoder,
    layout: 'compact',
    statePath: join(cwd, 'state.json'),
  });
  await store.close();
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

const NEW_FILTER = JSON.stringify({ must: [{ key: 'year', range: { gte: 2025 } }] });

test('points that a filter calls new are judged apart, and a threshold on their share ends with exit code 10', async () => {
  const result = await cli(
    'docs',
    'docs_c',
    '--drift',
    '--new-filter',
    NEW_FILTER,
    '--sample',
    '200',
    '--accept',
    'drift<=10%, new-recall>=0.01',
    '--report',
    'page.html',
    '--json',
  );
  expect(result.code).toBe(10);
  const drift = driftOf(result);
  const [fresh, old] = drift.groups;
  expect(drift.newBy).toBe('filter');
  expect(fresh).toMatchObject({ name: 'new', vectors: 100 });
  expect(old).toMatchObject({ name: 'old', vectors: 100 });
  expect(drift.share).toBe(fresh!.farShare);
  expect(fresh!.farShare).toBeGreaterThan(3 * old!.farShare!);
  const served = (result.json()['forms'] as { name: string; recall: { mean: number }[] }[])[1]!;
  expect((fresh!.recall['compact']! + old!.recall['compact']!) / 2).toBeCloseTo(served.recall[0]!.mean, 10);
  expect(result.stderr).toContain('of 100 new points of docs lie far from the sample');
  expect(result.json()['accept']).toMatchObject({
    passed: false,
    terms: [
      { metric: 'drift', value: drift.share, passed: false },
      { metric: 'new-recall', value: fresh!.recall['compact'], passed: true },
    ],
  });
  const page = await readFile(join(cwd, 'page.html'), 'utf8');
  expect(page).toContain('Drift: recall@10 of new vectors');
  expect(page).toContain('drift&lt;=10%');
});

test('without a filter, far vectors are the new ones; queries of the sample’s own kind are rarely far', async () => {
  const files = ['--base', 'base.npy', '--no-pca', '--drift', '--json', '--queries'];
  const fresh = driftOf(await cli(...files, 'fresh.npy'));
  const held = await cli(...files, 'held.npy', '--accept', 'drift<=12%');
  expect(held.code).toBe(0);
  const own = driftOf(held);
  expect(own.newBy).toBe('distance');
  expect(fresh.share).toBeGreaterThan(0.3);
  expect(own.groups[0]!.vectors + own.groups[1]!.vectors).toBe(HELD);
  expect(own.groups.map(({ farShare }) => farShare)).toEqual([1, 0]);
});

test.each([
  [['docs', 'docs_c', '--accept', 'drift<=0.1'], 2, 'give --drift'],
  [['docs', 'docs_c', '--new-filter', '{}'], 2, 'give --drift'],
  [['docs', 'docs_c', '--drift', '--new-filter', '{}'], 3, 'no other is left to compare with'],
  [
    ['docs', 'docs_c', '--drift', '--new-filter', '{"must":[{"key":"no","match":{"value":1}}]}'],
    3,
    'selects 0 points',
  ],
  [['docs', 'docs_c', '--drift', '--new-filter', 'year'], 2, 'not valid JSON'],
])('%j is refused', async (args, code, message) => {
  const result = await cli(...args);
  expect(result.stderr).toContain(message);
  expect(result.code).toBe(code);
});

test('an encoder file without a summary says that it has none', async () => {
  const args = ['evaluate', '--base', 'base.npy', '--encoder', 'earlier.onnx', '--no-pca', '--drift'];
  const { code, stderr } = await runCli(args, { cwd });
  expect(stderr).toContain('does not tell where its training sample lies');
  expect(code).toBe(3);
});
