import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encoder } from '../../src/encoder/model.js';
import { matrix, rowRange } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { readNpy, writeNpy } from '../../src/files/npy.js';
import { openVectors, readFiniteVectors } from '../../src/files/open-vectors.js';
import { writeParquet } from '../../src/files/write-parquet.js';
import { randomEncoder } from '../support/random-encoder.js';
import { runCli, type CliResult } from '../support/cli/run-cli.js';

const [ROWS, DIM, COMPACT] = [600, 24, 6];
const rng = new Rng(11);
const x = matrix(
  ROWS,
  DIM,
  Float32Array.from({ length: ROWS * DIM }, (_, i) => rng.normal() / (1 + (i % DIM))),
);
const queries = rowRange(x, 0, 40);
const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-parquet-cli-'));
afterAll(() => rm(cwd, { recursive: true }));

const cli = (line: string): Promise<CliResult> => runCli(line.split(' '), { cwd });
const vectors = (name: string, column?: string): ReturnType<typeof readFiniteVectors> =>
  readFiniteVectors(join(cwd, name), { column, check: () => undefined });

await writeNpy(join(cwd, 'x.npy'), x, [x]);
await writeNpy(join(cwd, 'q.npy'), queries, [queries]);
await writeParquet(join(cwd, 'x.parquet'), { rows: ROWS, column: 'embedding' }, [x]);
await writeParquet(join(cwd, 'q.parquet'), { rows: queries.rows, column: 'question' }, [queries]);

test('train, evaluate and project give the same for Parquet files as for .npy files', async () => {
  for (const ending of ['npy', 'parquet']) {
    const flags = `--dim ${COMPACT} --steps 5 --seed 1 --threads 1`;
    const trained = await cli(
      `train --input x.${ending} --queries q.${ending} ${flags} --out ${ending}.onnx --json`,
    );
    expect(trained).toMatchObject({ code: 0 });
  }
  const [npy, parquet] = await Promise.all(
    ['npy', 'parquet'].map((e) => Encoder.load(join(cwd, `${e}.onnx`))),
  );
  expect(parquet?.project(x)).toEqual(npy?.project(x));

  const scores = await Promise.all(
    ['npy', 'parquet'].map(async (ending) => {
      const result = await cli(`evaluate --base x.${ending} --queries q.${ending} --encoder npy.onnx --json`);
      expect(result).toMatchObject({ code: 0 });
      return result.json()['spaces'];
    }),
  );
  expect(scores[0]).toBeDefined();
  expect(scores[1]).toEqual(scores[0]);

  const z = npy?.project(x);
  for (const [from, to] of [
    ['parquet', 'parquet'],
    ['parquet', 'npy'],
    ['npy', 'parquet'],
  ]) {
    const out = `z-${from}.${to}`;
    expect(await cli(`project --encoder npy.onnx --input x.${from} --out ${out}`)).toMatchObject({ code: 0 });
    expect(to === 'npy' ? await readNpy(join(cwd, out)) : await vectors(out, 'vector')).toEqual(z);
  }
});

test('columns are named by --column and --query-column', async () => {
  const line = 'evaluate --base x.parquet --queries q.parquet --encoder npy.onnx --json';
  expect(await cli(`${line} --column embedding --query-column question`)).toMatchObject({ code: 0 });
  expect(await cli(`${line} --column question`)).toMatchObject({ code: 4 });
  expect(await cli(`${line} --query-column embedding`)).toMatchObject({ code: 4 });
  await cli('project --encoder npy.onnx --input x.parquet --column embedding --out named.parquet');
  const file = await openVectors(join(cwd, 'named.parquet'), 'embedding');
  expect(file).toMatchObject({ rows: ROWS, cols: COMPACT });
  await file.close();
});

test.each([
  ['project --encoder npy.onnx --input x.npy --column a --out z.npy', 2, '--column names a column'],
  ['train --input x.npy --column a --dim 4 --out e.onnx', 2, '--column names a column'],
  ['evaluate --base x.npy --queries q.npy --query-column a --encoder npy.onnx', 2, '--query-column names'],
  ['project --encoder npy.onnx --input x.parquet', 2, 'need --out'],
  ['project --encoder npy.onnx --input - --out z.parquet', 2, 'lines of JSON cannot become .npy or .parquet'],
  ['train --input missing.parquet --dim 4 --out e.onnx', 4, 'missing.parquet'],
])('%s is refused before anything is written', async (line, code, words) => {
  const before = await readdir(cwd);
  expect(await cli(line)).toMatchObject({ code, stderr: expect.stringContaining(words) });
  expect(await readdir(cwd)).toEqual(before);
});

test('a file whose rows differ in length leaves no output behind, and the error names the row', async () => {
  const short = 'test/fixtures/parquet/short-row.parquet';
  await randomEncoder([2, 1], { normalize: false, bias: false }).save(join(cwd, 'two.onnx'));
  const input = join(process.cwd(), short);
  const result = await cli(`project --encoder two.onnx --input ${input} --out none.parquet`);
  expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('row 2 holds 1 numbers') });
  expect(await readdir(cwd)).not.toContain('none.parquet');
});
