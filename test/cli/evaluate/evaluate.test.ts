import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkRequest } from '../../../src/cli/evaluate/request.js';
import { writeNpy } from '../../../src/files/npy.js';
import { Encoder } from '../../../src/encoder/model.js';
import { matrix, rowRange } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { DIM, tinyEncoder, twoMaps } from '../../support/migrate/fixtures.js';
import { integerNpy, npyBytes } from '../../support/cli/npy-fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';

const ROWS = 400;
const QUERIES = 40;
/** More than one array holds: such a file, a hole on the disk, can only be refused before it is read. */
const LARGE_ROWS = 300_000_000;
const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-evaluate-'));
afterAll(() => rm(cwd, { recursive: true }));

beforeAll(async () => {
  const rng = new Rng(5);
  const all = matrix(ROWS + QUERIES, DIM);
  all.data.forEach((_, i) => (all.data[i] = rng.normal() * 0.8 ** (i % DIM)));
  const save = async (name: string, x: typeof all): Promise<void> => writeNpy(join(cwd, name), x, [x]);
  const [base, queries] = [rowRange(all, 0, ROWS), rowRange(all, ROWS, ROWS + QUERIES)];
  await save('base.npy', base);
  await save('q.npy', queries);
  await save('wide.npy', matrix(5, DIM + 1));
  const head = npyBytes(
    `{'descr': '<f4', 'fortran_order': False, 'shape': (${LARGE_ROWS}, ${DIM + 1}), }`,
    new Uint8Array(),
  );
  await writeFile(join(cwd, 'large.npy'), head);
  await truncate(join(cwd, 'large.npy'), head.length + LARGE_ROWS * (DIM + 1) * 4);
  const lines = Array.from({ length: QUERIES }, (_, i) =>
    JSON.stringify(Array.from(rowRange(queries, i, i + 1).data)),
  );
  await writeFile(join(cwd, 'q.ndjson'), lines.join('\n'));
  await writeFile(
    join(cwd, 'labels.npy'),
    integerNpy(
      '<i4',
      Array.from({ length: ROWS }, (_, i) => i % 5),
    ),
  );
  await writeFile(join(cwd, 'q-labels.txt'), Array.from({ length: QUERIES }, (_, i) => i % 5).join('\n'));
  await writeFile(join(cwd, 'qrels.tsv'), '0\t3\t2\n1\t7\n');
  await writeFile(join(cwd, 'bad.tsv'), '0\t3\n1\t400\n');
  await tinyEncoder().save(join(cwd, 'enc.onnx'));
});

const FILES = ['evaluate', '--base', 'base.npy', '--encoder', 'enc.onnx'];
const WITH_QUERIES = [...FILES, '--queries', 'q.npy'];

interface Space {
  readonly name: string;
  readonly recall: readonly { readonly k: number; readonly mean: number }[];
  readonly quality: { readonly judgedQueries: number } | null;
}

test('labels are read from UTF-16 too, and labels that match nothing are an error, not NaN', async () => {
  const text = Array.from({ length: QUERIES }, (_, i) => i % 5).join('\r\n');
  await writeFile(join(cwd, 'wide-labels.txt'), Buffer.from(`\uFEFF${text}`, 'utf16le'));
  await writeFile(join(cwd, 'bare-labels.txt'), Buffer.from(text, 'utf16le'));
  await writeFile(join(cwd, 'other-labels.txt'), 'x\n'.repeat(QUERIES));
  const judge = (file: string): ReturnType<typeof runCli> =>
    runCli([...WITH_QUERIES, '--labels', 'labels.npy', '--query-labels', file, '--json'], { cwd });
  const [plain, wide] = [await judge('q-labels.txt'), await judge('wide-labels.txt')];
  expect(wide.code).toBe(0);
  expect(wide.json()['spaces']).toEqual(plain.json()['spaces']);
  for (const [file, why] of [
    ['bare-labels.txt', 'NUL characters'],
    ['other-labels.txt', 'no query has the label of any base vector'],
  ] as const) {
    const { code, stdout, stderr } = await judge(file);
    expect({ code, file }).toEqual({ code: 3, file });
    expect(stderr).toContain(why);
    expect(stdout + stderr).not.toContain('NaN');
  }
});

test('--help teaches: examples, terms, where the formats are', async () => {
  const { code, stdout } = await runCli(['evaluate', '--help'], { cwd });
  expect(code).toBe(0);
  for (const text of ['Usage: qdrant-tldr evaluate', 'Examples:', 'top1>=0.80', 'docs/evaluate.md', '--json'])
    expect(stdout).toContain(text);
});

test('an encoder is judged on files beside PCA and the full vectors, the same from .npy and from lines', async () => {
  const fromNpy = await runCli([...WITH_QUERIES, '--k', '1,10', '--json'], { cwd });
  expect(fromNpy.code).toBe(0);
  expect(fromNpy.stderr).toContain('recovered by rescoring');
  const result = fromNpy.json();
  const spaces = result['spaces'] as Space[];
  expect(spaces.map(({ name }) => name)).toEqual(['encoder', 'pca-uncentred', 'pca', 'full vectors']);
  expect(spaces[0]!.recall.map(({ k }) => k)).toEqual([1, 10]);
  expect(spaces[3]!.recall.map(({ mean }) => mean)).toEqual([1, 1]);
  expect(spaces[1]!.recall[1]!.mean).toBeGreaterThan(spaces[0]!.recall[1]!.mean);
  expect(result).toMatchObject({ encoder: tinyEncoder().fingerprint, accept: null, queries: QUERIES });
  const fromLines = await runCli([...FILES, '--queries', 'q.ndjson', '--k', '1,10', '--json'], { cwd });
  expect(fromLines.json()['spaces']).toEqual(spaces);
});

test('--report writes a page of files too, at the k that is asked', async () => {
  const args = [...WITH_QUERIES, '--k', '1', '--qrels', 'qrels.tsv', '--report', 'report.html'];
  expect(await runCli(args, { cwd })).toMatchObject({ code: 0 });
  const page = await readFile(join(cwd, 'report.html'), 'utf8');
  for (const text of [
    'enc.onnx on base.npy',
    'Do this next',
    'recall@1 of a query',
    'Recovered by rescoring',
    'Relevance',
    'Over 2 of 40 queries, those that have something relevant.',
  ])
    expect(page).toContain(text);
  expect(page).toMatch(/Search finds [^<]*the same results with [\d.]+ times less memory for vectors<\/h2>/);
  expect(page).not.toContain('<h3>Latency</h3>');
  const same = await runCli([...FILES, '--report', 'x.html', '--junit', './x.html'], { cwd });
  expect(same).toMatchObject({ code: 2, stderr: expect.stringContaining('different files') });
});

test('queries of an asymmetric encoder go through their own map', async () => {
  const encoder = tinyEncoder(1, 'dot');
  const recallOf = async (one: Encoder): Promise<number> => {
    await one.save(join(cwd, 'one.onnx'));
    const args = ['evaluate', '--base', 'base.npy', '--queries', 'q.npy', '--encoder', 'one.onnx'];
    const { json } = await runCli([...args, '--no-pca', '--json'], { cwd });
    return (json()['spaces'] as Space[])[0]!.recall[0]!.mean;
  };
  const two = twoMaps(encoder);
  const recall = await recallOf(encoder);
  expect(await recallOf(two)).toBe(recall);
  expect(await recallOf(new Encoder(two.network, two.metadata))).toBeLessThan(recall - 0.05);
});

test('rows are held out where no queries are given, labels with them', async () => {
  const { code, json, stderr } = await runCli([...FILES, '--labels', 'labels.npy', '--no-pca', '--json'], {
    cwd,
  });
  expect({ code, ...json() }).toMatchObject({ code: 0, rows: ROWS - 40, queries: 40 });
  expect((json()['spaces'] as Space[]).map(({ name }) => name)).toEqual(['encoder', 'full vectors']);
  expect(stderr).toContain('40 random rows of base.npy, taken out of it');
  expect(stderr).toContain('Over 40 of 40 queries, those that have something relevant');
});

test.each([
  [['--labels', 'labels.npy', '--query-labels', 'q-labels.txt'], QUERIES],
  [['--qrels', 'qrels.tsv'], 2],
])('%j says what is relevant', async (args, judgedQueries) => {
  const { code, json } = await runCli([...WITH_QUERIES, ...args, '--json'], { cwd });
  expect(code).toBe(0);
  for (const { quality } of json()['spaces'] as Space[]) expect(quality).toMatchObject({ judgedQueries });
});

describe('acceptance', () => {
  test('terms that hold exit with 0 and are written down for CI', async () => {
    const args = [...WITH_QUERIES, '--no-pca', '--accept', 'recall@10>=0.1, min@5>=0', '--junit', 'good.xml'];
    const { code, stdout } = await runCli(args, { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/recall@10>=0.1 +0\.\d{4} +passed/);
    const xml = await readFile(join(cwd, 'good.xml'), 'utf8');
    expect(xml).toContain('tests="2" failures="0"');
    expect(xml).toContain('name="recall@10&gt;=0.1"');
  });

  test('a term that fails exits with 10, after the result, which the last line holds too', async () => {
    const args = [...WITH_QUERIES, '--no-pca', '--accept', 'top1>=0, recall@10>=99%', '--junit', 'bad.xml'];
    const { code, json, stderr } = await runCli([...args, '--json'], { cwd });
    expect(code).toBe(10);
    expect(stderr).toContain('1 of 2 acceptance terms failed: recall@10>=99% (measured 0.');
    expect(json()).toMatchObject({
      queries: QUERIES,
      accept: { form: 'encoder', passed: false, terms: [{ passed: true }, { passed: false }] },
      error: { code: 'VERIFY_FAILED' },
    });
    expect(await readFile(join(cwd, 'bad.xml'), 'utf8')).toContain('<failure message="recall@10 = 0.');
  });

  test('--accept alone means the published terms; --junit alone lists the measures', async () => {
    const { code, stdout } = await runCli([...WITH_QUERIES, '--no-pca', '--k', '5', '--accept'], { cwd });
    expect(code).toBe(10);
    expect(stdout).toMatch(/p5@10>=0.60 +0\.\d{4} +FAILED/);
    expect((await runCli([...WITH_QUERIES, '--no-pca', '--junit', 'plain.xml'], { cwd })).code).toBe(0);
    const xml = await readFile(join(cwd, 'plain.xml'), 'utf8');
    expect(xml).toContain('name="recall@10"');
    expect(xml).toContain('failures="0"');
  });
});

describe('refuses before anything is read', () => {
  const flags = { encoder: 'enc.onnx', k: [10], pca: true, seed: 0 };
  const files = { ...flags, base: 'base.npy' };
  const asked = { ...files, queries: 'q.npy' };

  test.each([
    [[], flags, 'give the full and the compact collection, or --base'],
    [['docs'], flags, 'give the full and the compact collection, or --base'],
    [['docs'], files, 'not both'],
    [[], { ...files, by: 'lang' }, '--by needs collections'],
    [[], { ...files, rescore: 5 }, '--rescore needs collections'],
    [[], { ...files, accept: 'recal>=1' }, 'recal is no measure'],
    [[], { ...files, accept: 'latency-p50<=1' }, 'latency, which only collections have'],
    [[], { ...files, accept: 'map@100>=0.1' }, 'give --qrels or --labels'],
    [[], { ...files, qrels: 'qrels.tsv' }, 'give --queries too'],
    [[], { ...files, sample: 0 }, 'expected at least 1'],
    [[], { ...files, junit: 'nowhere/x.xml' }, '--junit: cannot write into nowhere'],
    [[], { ...asked, sample: 5 }, 'leave it out with --queries'],
    [[], { ...asked, labels: 'labels.npy' }, 'needs --query-labels'],
    [[], { ...asked, queryLabels: 'q-labels.txt' }, '--query-labels needs --labels'],
    [[], { ...asked, labels: 'l', queryLabels: 'q', qrels: 'r' }, 'either --labels or --qrels'],
    [['a', 'b'], { ...flags, labels: 'labels.npy' }, 'give --qrels with point ids'],
    [['a', 'b'], { ...flags, pca: false }, '--no-pca needs --base'],
    [['a', 'b'], { ...flags, rescore: 0 }, '--rescore: got 0'],
    [['a', 'b'], { ...flags, queries: 'q.npy', sample: 5 }, 'leave it out with --queries'],
  ])('%j with %j', async (names, given, message) => {
    await expect(checkRequest(names, given)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  test('the depths that the terms speak about are searched for too', async () => {
    const { ks } = await checkRequest([], { ...files, k: [100, 1], accept: 'min@5>=0, recall>=0' });
    expect(ks).toEqual([1, 5, 10, 100]);
  });

  test.each([
    [['evaluate', 'a', 'b'], "required option '--encoder <file>'"],
    [[...FILES, '--k', '1,,2'], 'expected whole numbers from 1'],
    [[...FILES, 'docs'], 'not both'],
  ])('%j', async (args, message) => {
    const { code, stderr } = await runCli(args, { cwd });
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) });
  });
});

describe('refuses', () => {
  test.each([
    [['evaluate', '--base', 'none.npy', '--encoder', 'enc.onnx'], 4, 'cannot open none.npy'],
    [['evaluate', '--base', 'wide.npy', '--encoder', 'enc.onnx'], 9, 'wide.npy holds 17-d vectors'],
    [['evaluate', '--base', 'large.npy', '--encoder', 'enc.onnx'], 9, 'large.npy holds 17-d vectors'],
    [[...FILES, '--queries', 'wide.npy'], 9, 'wide.npy holds 17-d vectors, expected 16-d'],
    [[...FILES, '--queries', 'large.npy'], 9, 'large.npy holds 17-d vectors, expected 16-d'],
    [[...FILES, '--sample', '300'], 2, 'cannot hold 300 of 400 rows out'],
    [
      [...WITH_QUERIES, '--qrels', 'bad.tsv'],
      3,
      'bad.tsv: line 2: got document "400", expected a row of the base',
    ],
    [
      [...WITH_QUERIES, '--labels', 'q-labels.txt', '--query-labels', 'q-labels.txt'],
      3,
      'it holds 40 labels, expected 400, one per vector',
    ],
  ])('%j', async (args, code, message) => {
    const before = await readdir(cwd);
    expect(await runCli([...args, '--junit', 'none.xml'], { cwd })).toMatchObject({
      code,
      stderr: expect.stringContaining(message),
    });
    expect(await readdir(cwd)).toEqual(before);
  });
});
