import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { Encoder } from '../../src/encoder/model.js';
import { writeNpy } from '../../src/files/npy.js';
import { METADATA_KEY, type TargetDescription } from '../../src/store/target-description.js';
import { addAdapter, allAdapters } from '../../src/cli/adapters.js';
import { runCli, type CliResult } from '../support/cli/run-cli.js';
import { NPY_DIR, openNpyDir, writeNpyDir } from '../support/store/npy-dir.js';

const PROGRAM = fileURLToPath(new URL('../support/cli/npy-dir-child.js', import.meta.url));
const [ROWS, DIM, COMPACT_DIM] = [400, 16, 4];
/** Texts that are no numbers and no UUIDs. Some look like numbers, but are different ids. */
const idOf = (i: number): string => ['', '0', 'ü ', 'a/b '][i % 4]! + String(i);

let [cwd, url] = ['', ''];
let x: Matrix;
let trained: CliResult;

const cli = (...args: string[]): Promise<CliResult> =>
  runCli([...args, '--url', url], { cwd, program: PROGRAM });

async function write(
  name: string,
  vectors: Matrix,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const points = Array.from({ length: vectors.rows }, (_, i) => ({
    id: idOf(i),
    vector: row(vectors, i),
    payloadJson: `{"group":"g${i % 3}","n":9007199254740993}`,
  }));
  await writeNpyDir(join(cwd, 'data'), { name, dim: vectors.cols, distance: 'cosine', points }, metadata);
}

/** Writes the compact form of `docs`, as a migration would have described it. */
async function writeCompact(encoder: Encoder): Promise<void> {
  const description: TargetDescription = {
    format: 1,
    encoder: encoder.fingerprint,
    layout: 'compact',
    source: 'docs',
    vector: '',
    compact: '',
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance: 'cosine',
  };
  await write('docs_c4', encoder.project(x), { [METADATA_KEY]: JSON.stringify(description) });
}

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-third-adapter-'));
  url = `npy+dir://${cwd}/data`;
  await mkdir(join(cwd, 'data'));
  const rng = new Rng(1);
  x = matrix(ROWS, DIM);
  for (let i = 0; i < ROWS; i++) {
    // Most of the variance lies in few dimensions, as in embeddings.
    for (let d = 0; d < DIM; d++) x.data[i * DIM + d] = rng.normal() * 2 ** -d;
  }
  await write('docs', x, {});
  const learn = ['--dim', String(COMPACT_DIM), '--steps', '3', '--k', '5', '--out', 'enc.onnx'];
  const labels = ['--objective', 'relevance', '--labels-field', 'group'];
  trained = await cli('train', 'docs', ...learn, ...labels, '--json');
  if (trained.code !== 0) throw new Error(trained.stderr);
  await writeCompact(await Encoder.load(join(cwd, 'enc.onnx')));
});
afterAll(() => rm(cwd, { recursive: true }));

describe('an adapter that the product does not know, of a store that is only read', () => {
  test('is inspected, without an estimate of memory', async () => {
    const { code, stderr, json } = await cli('inspect', 'docs', '--json');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining('docs: 400 points') as unknown,
    });
    expect(json()).toMatchObject({
      points: ROWS,
      now: null,
      reduced: [{ vector: '', dim: 2, memory: null }],
    });
    expect(stderr).toMatch(/"" at 2 dims +not known/);
    const compact = await cli('inspect', 'docs_c4');
    expect(compact.stdout).toContain(`compact form of docs: ${DIM} -> ${COMPACT_DIM}`);
  });

  test('is learned from, with labels of its payloads', () => {
    expect(trained.stderr).toContain('3 different labels on 400 of 400 points');
    expect(trained.json()).toMatchObject({ objective: 'mAP@100', inputDim: DIM, outputDim: COMPACT_DIM });
  });

  test('compares its collections, by groups', async () => {
    const flags = ['--encoder', 'enc.onnx', '--sample', '50', '--by', 'group', '--json'];
    const { code, stderr, json } = await cli('evaluate', 'docs', 'docs_c4', ...flags);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toContain('50 stored points of docs');
    // The proxy does not know this database.
    expect(stderr).toMatch(/next:\n {2}qdrant-tldr search docs_c4 --encoder enc.onnx --query query.json /);
    const result = json();
    expect(result).toMatchObject({ layout: 'compact', points: { source: ROWS, target: ROWS } });
    expect(result['bytes']).toEqual({ source: null, target: null });
    expect(JSON.stringify(result['strata'])).toContain('g1');
  });

  test('compares its collections by judgements of its ids', async () => {
    await writeNpy(join(cwd, 'q.npy'), { rows: 4, cols: DIM }, [matrix(4, DIM, x.data.slice(0, 4 * DIM))]);
    const lines = [0, 1, 2, 3].map((i) => `${i}\t${idOf(i)}\n`);
    await writeFile(join(cwd, 'qrels.txt'), lines.join(''));
    const flags = ['--encoder', 'enc.onnx', '--queries', 'q.npy', '--qrels', 'qrels.txt', '--json'];
    const { code, stderr, json } = await cli('evaluate', 'docs', 'docs_c4', ...flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as unknown });
    // Each query is the vector of its relevant point, and exact search finds that first.
    expect(json()).toMatchObject({ relevantPoints: { named: 4, found: 4 }, exactQuality: { mrrAt10: 1 } });
  });

  test('is searched with a full query', async () => {
    const input = JSON.stringify([...row(x, 7)]);
    const { code, stdout, stderr } = await runCli(
      ['search', 'docs_c4', '--encoder', 'enc.onnx', '--query', '-', '--limit', '1', '--url', url],
      { cwd, program: PROGRAM, input },
    );
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^next:\n {2}qdrant-tldr evaluate docs docs_c4 .*\n$/),
    });
    expect(stdout).toMatch(/^1\.0000\d\d {2}a\/b 7 {2}\{"group":"g1","n":9007199254740993\}$|^0\.9999/m);
  });

  test.each([
    ['migrate', 'docs', 'docs_new', '--encoder', 'enc.onnx', '--yes'],
    ['plan', 'docs', '--yes'],
  ])('says of %s what it cannot do, and changes nothing', async (...args) => {
    const before = await (await openNpyDir(join(cwd, 'data'))).listCollections();
    const { code, stderr } = await cli(...args);
    expect({ code, stderr }).toEqual({ code: 7, stderr: expect.stringMatching(/npy-dir/) as unknown });
    expect(await (await openNpyDir(join(cwd, 'data'))).listCollections()).toEqual(before);
  });

  test('is found by its scheme only after it was added, and never twice', async () => {
    const unknown = await runCli(['inspect', 'docs', '--url', url], { cwd });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('is not the address of a database');
    addAdapter(NPY_DIR);
    expect(allAdapters()).toContain(NPY_DIR);
    expect(() => {
      addAdapter({ ...NPY_DIR, name: 'another' });
    }).toThrow('npy-dir has the same name, scheme or setting');
  });
});
