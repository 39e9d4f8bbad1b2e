import { afterAll, describe, expect, test as plainTest } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { openVectors, readFiniteVectors } from '../../src/files/open-vectors.js';
import { writeParquet } from '../../src/files/write-parquet.js';
import { findPython } from '../support/python/python.js';

const FIXTURES = 'test/fixtures/parquet';
/** What make.py writes. */
const [ROWS, DIM] = [60, 4];
const expected = matrix(
  ROWS,
  DIM,
  Float32Array.from({ length: ROWS * DIM }, (_, i) => Math.floor(i / DIM) + (i % DIM) / 4),
);

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-parquet-'));
afterAll(() => rm(folder, { recursive: true }));
const python = await findPython('pyarrow');
const pythonTest = python === null ? plainTest.skip : plainTest;
const test = plainTest;

const all = (path: string, column?: string): Promise<Matrix> =>
  readFiniteVectors(path, { column, check: () => undefined });
const fixture = (name: string): string => `${FIXTURES}/${name}.parquet`;

function random(rows: number, cols: number): Matrix {
  const rng = new Rng(3);
  return matrix(
    rows,
    cols,
    Float32Array.from({ length: rows * cols }, () => rng.normal()),
  );
}

describe('files that pyarrow wrote', () => {
  test.each(['list-float', 'fixed-float', 'list-double', 'list-half', 'small-pages', 'split-stream'])(
    '%s is read whole, and row by row in any order',
    async (name) => {
      expect(await all(fixture(name))).toEqual(expected);
      const file = await openVectors(fixture(name));
      try {
        expect(file).toMatchObject({ rows: ROWS, cols: DIM });
        for (const [start, end] of [
          [0, 1],
          [1, 9],
          [30, 52],
          [59, 60],
          [24, 26],
          [3, 3],
          [0, 60],
        ] as const)
          expect(await file.read(start, end)).toEqual(rowRange(expected, start, end));
      } finally {
        await file.close();
      }
    },
  );

  test('a column is chosen by its name', async () => {
    expect(await all(fixture('two-columns'), 'title')).toEqual(expected);
    expect((await all(fixture('two-columns'), 'body')).data[0]).toBe(100);
  });

  test.each([
    [
      'two-columns',
      undefined,
      'INVALID_ARGUMENT',
      'has 2 columns of vectors: title (LIST of group of FLOAT), body',
    ],
    [
      'two-columns',
      'author',
      'NOT_FOUND',
      'has no column "author": its columns are title (LIST of group of FLOAT)',
    ],
    ['two-columns', 'id', 'INVALID_DATA', 'the column "id" is INT64, expected a list of float'],
    ['no-vectors', undefined, 'INVALID_DATA', 'none of its columns is a list of float'],
    ['no-rows', undefined, 'INVALID_DATA', 'it has no rows'],
    ['null-row', undefined, 'INVALID_DATA', 'row 2 is null'],
    ['null-number', undefined, 'INVALID_DATA', 'row 2 holds a null'],
    ['empty-row', undefined, 'INVALID_DATA', 'row 2 is empty'],
    ['short-row', undefined, 'INVALID_DATA', 'row 2 holds 1 numbers, the first row 2'],
  ])('%s, column %s: %s', async (name, column, code, words) => {
    await expect(all(fixture(name), column)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
  });
});

pythonTest('the files of make.py are those of the repository, and larger ones are read too', async () => {
  const made = spawnSync(python ?? '', [`${FIXTURES}/make.py`, folder], { encoding: 'utf8' });
  expect(made).toMatchObject({ status: 0, stderr: '' });
  for (const name of ['list-float', 'fixed-float', 'list-double', 'list-half', 'small-pages', 'split-stream'])
    expect(await all(join(folder, `${name}.parquet`))).toEqual(expected);
});

pythonTest('pyarrow reads what is written here', async () => {
  const x = random(500, 12);
  const path = join(folder, 'ours.parquet');
  await writeParquet(path, { rows: x.rows, column: 'z' }, [rowRange(x, 0, 300), rowRange(x, 300, 500)]);
  const program =
    'import sys, numpy; from pyarrow import parquet; t = parquet.read_table(sys.argv[1]); ' +
    'assert t.column_names == ["z"]; ' +
    'sys.stdout.buffer.write(numpy.array(t["z"].to_pylist(), dtype="<f4").tobytes())';
  const read = spawnSync(python ?? '', ['-c', program, path]);
  expect(read.stderr.toString()).toBe('');
  expect(new Float32Array(new Uint8Array(read.stdout).buffer)).toEqual(x.data);
});

test('what is written here is read again, also in several row groups', async () => {
  const x = random(700, 2000);
  const path = join(folder, 'own.parquet');
  const block = (start: number): Matrix => rowRange(x, start, Math.min(700, start + 250));
  await writeParquet(path, { rows: 700, column: 'vector' }, [block(0), block(250), block(500)]);
  expect(await all(path)).toEqual(x);
});

describe('a damaged file', () => {
  const damaged = async (change: (bytes: Buffer) => Buffer): Promise<string> => {
    const path = join(folder, 'damaged.parquet');
    await writeFile(path, change(await readFile(fixture('small-pages'))));
    return path;
  };
  const edited =
    (at: number, value: number) =>
    (bytes: Buffer): Buffer => {
      bytes[at] = value;
      return bytes;
    };

  test.each([
    ['is cut', (bytes: Buffer) => bytes.subarray(0, 2000), 'does not end with PAR1'],
    ['is empty', (bytes: Buffer) => bytes.subarray(0, 0), 'has 0 bytes only'],
    [
      'lies about its metadata',
      (bytes: Buffer) => edited(bytes.length - 5, 255)(bytes),
      'its metadata claims',
    ],
    ['has no metadata', (bytes: Buffer) => edited(bytes.length - 8, 3)(bytes), 'cannot be read'],
  ])('%s', async (_, change, words) => {
    const path = await damaged(change);
    await expect(all(path)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining(words),
    });
  });

  test('is read up to the damaged page, since only one page is in memory', async () => {
    // The pages of the first row group begin at byte 4.
    const path = await damaged((bytes) => bytes.fill(255, 1900, 1960));
    const file = await openVectors(path);
    try {
      expect(await file.read(0, 10)).toEqual(rowRange(expected, 0, 10));
      await expect(file.read(10, 25)).rejects.toMatchObject({ code: 'INVALID_DATA' });
      expect(await file.read(25, 60)).toEqual(rowRange(expected, 25, 60));
    } finally {
      await file.close();
    }
  });

  test('any byte changed gives other numbers or an error of its own', async () => {
    const whole = await readFile(fixture('list-float'));
    const rng = new Rng(5);
    const path = join(folder, 'byte.parquet');
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(whole);
      bytes[rng.int(bytes.length)] = rng.int(256);
      await writeFile(path, bytes);
      const result = await all(path).catch((error: unknown) => error);
      if (result instanceof Error) expect(result).toMatchObject({ name: 'TldrError' });
    }
  });

  test('is refused if it is no Parquet file at all', async () => {
    const path = join(folder, 'text.parquet');
    await copyFile('README.md', path);
    await expect(all(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });
});
