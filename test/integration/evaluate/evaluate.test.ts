import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { rowRange, type Matrix } from '../../../src/core/matrix.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { exactTopK } from '../../../src/knn/exact-search-in-worker.js';
import { twoMaps } from '../../support/migrate/fixtures.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { startTestServer, type TestServer } from '../../support/server/test-server.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';

const ROWS = 1500;
const QUERIES = 60;
const DIM = 64;
let server: TestServer;
let cwd: string;
const cli = (...args: string[]): Promise<CliResult> =>
  runCli(['evaluate', ...args], {
    cwd,
    env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl },
  });

/** A title that would be a script if a page did not escape it. */
function titleOf(i: number): string {
  return `<script>alert(${i})</script> Tom & "Jerry" no. ${i}`;
}

async function loadDocs(store: QdrantStore, base: Matrix): Promise<void> {
  const native = JSON.stringify({ params: { vectors: { size: base.cols, distance: 'Cosine' } } });
  await store.create({ name: 'docs', vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
  const ids = Array.from({ length: ROWS }, (_, i) => BigInt(i));
  const rest = ids.map((_, i) =>
    store.codec.pack(JSON.stringify({ shelf: i % 3, tag: `only-${i}`, title: titleOf(i) })),
  );
  const has = new Uint8Array(ROWS).fill(1);
  await store.upsert('docs', { ids, vectors: [{ name: '', matrix: base, has }], extra: rest });
}

beforeAll(async () => {
  server = await startTestServer();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-evaluate-'));
  const base = rowRange(await readNpy('demo/data/base.npy'), 0, ROWS);
  const queries = rowRange(await readNpy('demo/data/queries.npy'), 0, QUERIES);
  await writeNpy(join(cwd, 'q.npy'), queries, [queries]);
  const encoder = await pcaEncoder(base, DIM);
  await encoder.save(join(cwd, 'enc.onnx'));
  await (await pcaEncoder(rowRange(base, 0, 700), DIM)).save(join(cwd, 'other.onnx'));
  const store = await openQdrant(server);
  await loadDocs(store, base);
  for (const layout of ['compact', 'two-stage'] as const) {
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'docs',
      targetCollection: `docs-${layout}`,
      encoder,
      layout,
      statePath: join(cwd, `${layout}.json`),
    });
  }
  const two = twoMaps(encoder);
  await two.save(join(cwd, 'two.onnx'));
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'docs',
    targetCollection: 'docs-two-maps',
    encoder: two,
    layout: 'two-stage',
    statePath: join(cwd, 'two-maps.json'),
  });
  await store.close();
});

afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true });
});

interface Form {
  readonly name: string;
  readonly topOne: number;
  readonly recall: readonly {
    readonly k: number;
    readonly mean: number;
    readonly interval: readonly number[];
  }[];
  readonly latencyMs: Readonly<Record<'p50' | 'p95' | 'p99', number>>;
  readonly scoreShift: { readonly absoluteP95: number };
  readonly quality: { readonly mrrAt10: number } | null;
}

test('a compact target: stored points as queries, strata, bytes and latency of both', async () => {
  const { code, json, stderr } = await cli(
    'docs',
    'docs-compact',
    '--encoder',
    'enc.onnx',
    '--sample',
    '90',
    '--by',
    'shelf',
    '--json',
  );
  expect(code).toBe(0);
  const result = json();
  expect(result).toMatchObject({
    source: 'docs',
    target: 'docs-compact',
    layout: 'compact',
    served: 'compact',
    storedPoints: true,
    queries: 90,
    points: { source: ROWS, target: ROWS },
    strata: { field: 'shelf', of: 'query point', rare: null },
  });
  expect(stderr).toContain('90 stored points of docs, each left out of its own results');
  expect(stderr).toContain('recall@10 by shelf, worst first');
  const [full, compact] = result['forms'] as Form[];
  expect(full!.recall[0]!.mean).toBeGreaterThan(0.95);
  expect(compact!.recall[0]!.mean).toBeGreaterThan(0.5);
  expect(compact!.recall[0]!.mean).toBeLessThan(full!.recall[0]!.mean);
  for (const { latencyMs } of [full!, compact!]) expect(latencyMs.p99).toBeGreaterThanOrEqual(latencyMs.p50);
  const { strata } = result['strata'] as { strata: { value: string; recall: Record<string, number> }[] };
  expect(strata.map(({ value }) => value).sort()).toEqual(['0', '1', '2']);
  expect(strata[0]!.recall['compact']).toBeLessThanOrEqual(strata[2]!.recall['compact']!);
  const bytes = result['bytes'] as Record<'source' | 'target', { vectorsRamBytes: number }>;
  expect(bytes.source.vectorsRamBytes / bytes.target.vectorsRamBytes).toBe(512 / DIM);
});

test('a two-stage target: rescoring brings results and scores back; a tier holds or fails by exit code', async () => {
  const args = ['docs', 'docs-two-stage', '--encoder', 'enc.onnx', '--queries', 'q.npy'];
  const passed = await cli(...args, '--k', '1,10', '--by', 'tag', '--accept', '--junit', 'r.xml', '--json');
  expect({ code: passed.code, stderr: passed.stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining('accept (rescored)'),
  });
  const result = passed.json();
  const [, compact, rescored] = result['forms'] as Form[];
  expect(rescored!.name).toBe('rescored');
  expect(rescored!.recall[1]!.mean).toBeGreaterThan(0.97);
  expect(rescored!.recall[1]!.mean).toBeGreaterThan(compact!.recall[1]!.mean);
  expect(rescored!.scoreShift.absoluteP95).toBeLessThan(1e-4);
  expect(compact!.scoreShift.absoluteP95).toBeGreaterThan(0.01);
  expect(result).toMatchObject({
    served: 'rescored',
    rescore: 100,
    storedPoints: false,
    accept: { form: 'rescored', passed: true },
    strata: { of: 'first true result', strata: [], rare: { queries: QUERIES } },
  });
  expect(await readFile(join(cwd, 'r.xml'), 'utf8')).toContain('tests="6" failures="0"');

  const failed = await cli(
    ...args,
    '--accept',
    'recall@10>=0.5, latency-p50<=0',
    '--rescore',
    '10',
    '--json',
  );
  expect({ code: failed.code, stderr: failed.stderr }).toEqual({
    code: 10,
    stderr: expect.stringContaining('1 of 2 acceptance terms failed: latency-p50<=0'),
  });
  expect(failed.json()).toMatchObject({ accept: { passed: false }, error: { code: 'VERIFY_FAILED' } });
});

test('an asymmetric encoder: evaluate and search project queries by their own map', async () => {
  const args = ['docs', 'docs-two-maps', '--encoder', 'two.onnx', '--queries', 'q.npy', '--json'];
  const [, compact, rescored] = (await cli(...args)).json()['forms'] as Form[];
  // PCA as dot products; by the map of points it would be near none.
  expect(compact!.recall[0]!.mean).toBeGreaterThan(0.6);
  expect(rescored!.recall[0]!.mean).toBeGreaterThan(0.97);
  const [base, queries] = [await readNpy('demo/data/base.npy'), await readNpy(join(cwd, 'q.npy'))];
  const best = await exactTopK(rowRange(base, 0, ROWS), queries, { k: 1, distance: 'cosine' });
  let right = 0;
  for (let q = 0; q < 10; q++) {
    const query = ['--query', 'q.npy', '--row', String(q), '--exact', '--json'];
    const found = await runCli(['search', 'docs-two-maps', '--encoder', 'two.onnx', ...query], {
      cwd,
      env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl },
    });
    const results = found.json()['results'] as { id: string | number }[];
    if (results.some(({ id }) => Number(id) === best[q])) right++;
  }
  expect(right).toBeGreaterThanOrEqual(8);
});

test('--report writes one page with the verdict, terms, strata, latency and bytes, passed or failed', async () => {
  const args = ['docs', 'docs-two-stage', '--encoder', 'enc.onnx', '--queries', 'q.npy', '--by', 'shelf'];
  const { code, json } = await cli(...args, '--report', 'report.html', '--json');
  expect(code).toBe(0);
  expect(json()).not.toHaveProperty('perQuery');
  // Words of a command are in elements of their own.
  const page = (await readFile(join(cwd, 'report.html'), 'utf8')).replace(/<\/?span>/g, '');
  expect(page).toMatch(/Search finds [^<]*the same results with [\d.]+ times less RAM<\/h2>/);
  for (const text of [
    'Close to full search',
    'Do this next',
    'qdrant-tldr serve --collection docs --target docs-two-stage --encoder enc.onnx',
    'docs-two-stage compared with docs',
    'All 6 usual acceptance terms hold.',
    'top10&gt;=0.70',
    'Recall of single queries',
    'Recall@10 by shelf',
    '<h3>Latency</h3>',
    '<h3>Memory and disk</h3>',
    'qdrant-tldr evaluate docs docs-two-stage --encoder enc.onnx --queries q.npy --by shelf',
  ])
    expect(page).toContain(text);
  const there = await cli(...args, '--report', 'report.html');
  expect(there).toMatchObject({ code: 5, stderr: expect.stringContaining('--force') });
  const failing = ['--accept', 'recall@10>=0.5, latency-p50<=0', '--report', 'report.html', '--force'];
  expect((await cli(...args, ...failing)).code).toBe(10);
  const failed = await readFile(join(cwd, 'report.html'), 'utf8');
  expect(failed).toContain('Not accepted');
  expect(failed).toContain('1 of 2 acceptance terms do not hold: latency-p50&lt;=0.');
});

test('the page shows example queries and a map from the payload, escaped, and nothing else does', async () => {
  const args = ['docs', 'docs-two-stage', '--encoder', 'enc.onnx', '--sample', '30', '--report'];
  const { code, stdout, stderr } = await cli(...args, 'examples.html', '--color-by', 'shelf', '--json');
  expect(code).toBe(0);
  for (const output of [stdout, stderr]) expect(output).not.toContain('Jerry');
  const page = await readFile(join(cwd, 'examples.html'), 'utf8');
  const examples = /<div class="examples">.*?<\/section>/s.exec(page)?.[0] ?? '';
  expect(examples.match(/<details/g)).toHaveLength(10);
  expect(examples.match(/<ol>/g)).toHaveLength(20);
  expect(examples).toMatch(
    /&lt;script&gt;alert\((\d+)\)&lt;\/script&gt; Tom &amp; &quot;Jerry&quot; no\. \1/,
  );
  expect(examples).not.toContain('<script');
  expect(page).toContain('Texts are from payload field “title”.');
  expect(page).toContain('coloured by shelf');
  const maps = [...page.matchAll(/<svg class="plot".*?<\/svg>/gs)].flatMap(([svg]) => {
    const fills = [...svg.matchAll(/<circle[^>]* fill="([^"]+)"/g)].map(([, fill]) => fill);
    return fills.length > 100 ? [fills] : [];
  });
  expect(maps).toHaveLength(2);
  expect(maps[1]).toEqual(maps[0]);
  expect(new Set(maps[0]).size).toBe(3);
});

test('the page has no payload in it if that is asked', async () => {
  const args = ['docs', 'docs-compact', '--encoder', 'enc.onnx', '--sample', '30'];
  const none = ['--text-field', 'none', '--color-by', 'none'];
  expect((await cli(...args, '--report', 'none.html', ...none)).code).toBe(0);
  const page = await readFile(join(cwd, 'none.html'), 'utf8');
  expect(page).not.toContain('Jerry');
  expect(page).not.toContain('Example queries');
  expect(page).toContain('Map of the sample, before and after');
  expect(page).not.toContain('coloured by');
  const refused = await cli(...args, '--text-field', 'title');
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('give --report') });
});

test('qrels name point ids', async () => {
  const qrels = Array.from({ length: QUERIES }, (_, q) => `${q} 0 ${q * 7} 1`).join('\n');
  await writeFile(join(cwd, 'qrels.trec'), qrels);
  const args = ['docs', 'docs-compact', '--encoder', 'enc.onnx', '--queries', 'q.npy'];
  const { code, json, stderr } = await cli(
    ...args,
    '--qrels',
    'qrels.trec',
    '--accept',
    'mrr@10>=0',
    '--json',
  );
  expect(code).toBe(0);
  expect(stderr).toContain('full, exact');
  expect(json()).toMatchObject({ exactQuality: { judgedQueries: QUERIES } });
});

test('judgements say how many of their points were found, and judge by those', async () => {
  const lines = Array.from({ length: QUERIES }, (_, q) => `${q}\t${q < 20 ? q : 90_000 + q}`).join('\n');
  await writeFile(join(cwd, 'partly.tsv'), lines);
  const args = ['docs', 'docs-compact', '--encoder', 'enc.onnx', '--queries', 'q.npy'];
  const run = await cli(...args, '--qrels', 'partly.tsv', '--junit', 'partly.xml', '--json');
  expect(run.code).toBe(0);
  expect(run.stderr).toContain(
    'Over 20 of 60 queries, those that have something relevant; 20 of 60 points called relevant are in the full collection',
  );
  expect(run.json()).toMatchObject({
    exactQuality: { judgedQueries: 20 },
    relevantPoints: { named: 60, found: 20 },
  });
  expect(await readFile(join(cwd, 'partly.xml'), 'utf8')).not.toMatch(/NaN|Infinity/);
});

test.each([
  [
    'points that are not there',
    '0\t90001\n1\t90002',
    3,
    'none of the 2 points that the judgements call relevant, such as 90001, is in docs',
  ],
  ['gains whose sum is infinite', '0\t1\t1e308\n0\t2\t1e308', 3, 'got gain "1e308", expected a number from'],
])('judgements of %s are an error', async (_, text, code, message) => {
  await writeFile(join(cwd, 'bad.tsv'), text);
  const args = ['docs', 'docs-compact', '--encoder', 'enc.onnx', '--queries', 'q.npy', '--qrels', 'bad.tsv'];
  expect(await cli(...args)).toMatchObject({ code, stderr: expect.stringContaining(message), stdout: '' });
});

test('a full collection in which nothing can be found is an error', async () => {
  const response = await fetchOnce(`${server.url}/collections/docs-empty`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vectors: { size: (await readNpy(join(cwd, 'q.npy'))).cols, distance: 'Cosine' } }),
  });
  expect(response.status).toBe(200);
  const args = ['docs-empty', 'docs-compact', '--encoder', 'enc.onnx', '--queries', 'q.npy', '--accept'];
  expect(await cli(...args)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('exact search of docs-empty found nothing for any query'),
  });
});

test('what does not belong together is refused', async () => {
  for (const [args, code, message] of [
    [['docs', 'docs-compact', '--encoder', 'other.onnx'], 9, 'docs-compact was made with encoder'],
    [['docs', 'docs', '--encoder', 'enc.onnx'], 2, 'docs is not the target of a migration'],
    [['docs-compact', 'docs-compact', '--encoder', 'enc.onnx'], 9, 'give the full collection first'],
    [['docs', 'docs-compact', '--encoder', 'enc.onnx', '--rescore', '9'], 2, 'needs the two-stage layout'],
    [['nothing', 'docs-compact', '--encoder', 'enc.onnx'], 4, 'nothing'],
  ] as const) {
    const result = await cli(...args);
    expect({ args, code: result.code, stderr: result.stderr }).toEqual({
      args,
      code,
      stderr: expect.stringContaining(message),
    });
  }
});
