import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFiniteVectors } from '../../src/files/open-vectors.js';
import { openNpy, readNpy, readNpyIntegers, writeNpy } from '../../src/files/npy.js';
import { matrix, matrixFromRows, rowRange } from '../../src/core/matrix.js';
import { integerNpy, npyBytes } from '../support/cli/npy-fixtures.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-npy-'));
afterAll(() => rm(folder, { recursive: true }));
const path = join(folder, 'x.npy');

const x = matrixFromRows([
  [1.5, -2, 3e-8],
  [0, 65504, -0],
]);
const bytes = new Uint8Array(x.data.buffer);

test('what is written is read back, whole or in parts, by a header NumPy reads', async () => {
  await writeNpy(path, { rows: 2, cols: 3 }, [rowRange(x, 0, 1), rowRange(x, 1, 2)]);
  expect(await readNpy(path)).toEqual(x);
  const file = await openNpy(path);
  expect((await file.read(1, 2)).data).toEqual(x.data.subarray(3));
  await file.close();
  const raw = await readFile(path);
  expect((raw.readUInt16LE(8) + 10) % 64).toBe(0);
  expect(await readdir(folder)).toEqual(['x.npy']);
});

test.each([1, 2, 3])('version %d headers are read', async (version) => {
  await writeFile(
    path,
    npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", bytes, version),
  );
  expect(await readNpy(path)).toEqual(x);
});

test.each([
  '{"descr": "<f4", "fortran_order": False, "shape": (2, 3)}',
  `{'shape':(2L,3L),'fortran_order':False,'descr':'<f4'}`,
  `{u'descr': u'<f4', u'fortran_order': False, u'shape': (2, 3,), }`,
  `  {  'descr' :  '<f4' ,\n 'fortran_order' : False , "shape" : [ 2 , 3 , ] , }  \n`,
])('the header %s is read as Python reads it', async (header) => {
  await writeFile(path, npyBytes(header, bytes));
  expect(await readNpy(path)).toEqual(x);
});

test('more numbers than one array holds can be read in blocks, and not as a whole', async () => {
  const [rows, cols] = [50_000_000, 96];
  const head = npyBytes(
    `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${cols}), }`,
    new Uint8Array(),
  );
  await writeFile(path, head);
  // A file with a hole takes no room.
  await truncate(path, head.length + rows * cols * 4);
  const file = await openNpy(path);
  expect((await file.read(rows - 1, rows)).data).toEqual(new Float32Array(cols));
  await file.close();
  await expect(readNpy(path)).rejects.toThrow('expected at most 4294967296 numbers');
});

test.each([0, 4, 255])('version %d of the format is refused', async (version) => {
  await writeFile(
    path,
    npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", bytes, version),
  );
  await expect(readNpy(path)).rejects.toThrow(`version ${version}.0, expected 1.0, 2.0 or 3.0`);
});

test('float16 is widened exactly: subnormals, largest, signs, infinity', async () => {
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x8000, 0x7bff, 0x7c00);
  await writeFile(
    path,
    npyBytes("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n", new Uint8Array(halves.buffer)),
  );
  expect([...(await readNpy(path)).data]).toEqual([1, -2, 2 ** -24, -0, 65504, Infinity]);
});

test.each([
  ['|i1', [-128, 127]],
  ['|u1', [0, 255]],
  ['<i2', [-32768, 5]],
  ['<u2', [65535]],
  ['<i4', [-1, 2147483647]],
  ['<u4', [4294967295]],
  ['<i8', [-(2n ** 63n), 2n ** 63n - 1n]],
  ['<u8', [2n ** 64n - 1n]],
  ['<i8', []],
])('whole numbers of type %s are read exactly', async (descr, values) => {
  await writeFile(path, integerNpy(descr, values));
  expect(await readNpyIntegers(path, () => undefined)).toEqual(values.map(BigInt));
});

test.each([
  ["{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 'it holds <f4, expected whole numbers'],
  [
    "{'descr': '>i4', 'fortran_order': False, 'shape': (6,), }",
    'it holds >i4 in big endian order, expected whole numbers',
  ],
  ["{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", 'its shape is (2, 3), expected (N,)'],
  ["{'descr': '<i4', 'fortran_order': False, 'shape': (7,), }", 'its header promises'],
])('whole numbers are not taken from %s', async (header, message) => {
  await writeFile(path, npyBytes(`${header}\n`, bytes));
  await expect(readNpyIntegers(path, () => undefined)).rejects.toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringContaining(message),
  });
});

test('whole numbers are counted before they are read, and a signal ends the reading', async () => {
  await writeFile(
    path,
    npyBytes("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }", new Uint8Array()),
  );
  await truncate(path, (await readFile(path)).length + 8e12);
  const tooMany = (rows: number): never => {
    throw new Error(`${rows} are too many`);
  };
  await expect(readNpyIntegers(path, tooMany)).rejects.toThrow('1000000000000 are too many');
  const stopped = readNpyIntegers(path, () => undefined, AbortSignal.abort());
  await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
});

describe('refuses', () => {
  test.each([
    [
      'another type',
      "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n",
      'float32 (<f4) or float16 (<f2)',
    ],
    [
      'big endian',
      "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }\n",
      '>f4 in big endian order',
    ],
    [
      'several fields',
      "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }",
      'several fields',
    ],
    [
      'a negative size',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 6), }",
      'its shape is (-1, 6)',
    ],
    [
      'two negative sizes',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }",
      'its shape is (-2, -3)',
    ],
    [
      'a size that is no whole number',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.0), }",
      'expected',
    ],
    [
      'a size that is a string',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, '3'), }",
      'its shape is',
    ],
    [
      'a shape that is no tuple',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6), }",
      'its shape is 6',
    ],
    ['an order that is neither', "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }", 'fortran_order'],
    [
      'a missing key',
      "{'descr': '<f4', 'shape': (2, 3), }",
      'its header has the keys descr, shape, expected',
    ],
    [
      'one key more',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}",
      'descr, fortran_order, shape, x',
    ],
    [
      'a key twice',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (3, 2)}",
      'a new string',
    ],
    [
      'text behind the header',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x",
      'expected the end',
    ],
    ['no dictionary', "('<f4', False, (2, 3))", 'no dictionary'],
    ['endless nesting', '('.repeat(60_000), 'less nesting'],
    [
      'a size beyond every number',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3), }",
      'its shape',
    ],
    ['Fortran order', "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", 'ascontiguousarray'],
    [
      'one axis',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n",
      'its shape is (6,), expected (N, D)',
    ],
    [
      'a size that does not fit',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }\n",
      'its header promises',
    ],
  ])('%s', async (_name, header, message) => {
    await writeFile(path, npyBytes(header, bytes));
    await expect(readNpy(path)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining(message),
    });
  });

  test('a folder', async () => {
    await expect(readNpy(folder)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('a row that is not finite, by its number, where all must be', async () => {
    const broken = matrixFromRows([
      [1, 2],
      [3, Number.NaN],
    ]);
    await writeNpy(path, broken, [broken]);
    await expect(readFiniteVectors(path, { check: () => undefined })).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: `row 1 of ${path} holds NaN or infinity`,
    });
  });

  test('any damage with an error of its own', async () => {
    const whole = npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", bytes);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, value, cut) => {
        const damaged = Buffer.from(cut ? whole.subarray(0, at) : whole);
        if (!cut) damaged[at] = value;
        await writeFile(path, damaged);
        const result = await readNpy(path).catch((error: unknown) => error);
        const isMatrix = typeof result === 'object' && result !== null && 'data' in result;
        if (!isMatrix) expect(result).toMatchObject({ name: 'TldrError', code: 'INVALID_DATA' });
      }),
      { numRuns: 200, seed: 6 },
    );
  });
});

/** A file system of 64 KiB, or why there is none. */
function tinyDisk(at: string): string | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test('on a full disk the write fails and leaves nothing behind', async () => {
  const disk = join(folder, 'disk');
  await mkdir(disk);
  const why = tinyDisk(disk);
  if (why !== null) {
    process.stderr.write(`skipped: a small file system cannot be mounted here: ${why}\n`);
    return;
  }
  try {
    // The last block fits in part: the system writes what fits and reports fewer bytes, no error.
    const block = matrix(3_000, 4);
    const write = writeNpy(join(disk, 'z.npy'), { rows: 6_000, cols: 4 }, [block, block]);
    await expect(write).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('ENOSPC'),
    });
    expect(await readdir(disk)).toEqual([]);
  } finally {
    execFileSync('umount', [disk]);
  }
});

test.each(['/dev/null/z.npy', '/proc/nothing/z.npy'])('%s cannot be written', async (where) => {
  await expect(writeNpy(where, x, [x])).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining(`cannot write ${where}`),
  });
});
