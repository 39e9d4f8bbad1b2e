import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeNpy } from '../../../src/files/npy.js';
import {
  labelNumbers,
  readLabels,
  readPointLabels,
  readQrels,
  readQueryVectors,
  rowDoc,
} from '../../../src/cli/train/relevance-files.js';
import type { PointId } from '../../../src/core/point-id.js';
import { matrixFromRows } from '../../../src/core/matrix.js';
import { ID_KEYS, parsePointId } from '../../../adapters/qdrant/points/point-id.js';
import { integerNpy } from '../../support/cli/npy-fixtures.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-relevance-'));
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

const rows = { queries: 3, doc: rowDoc(10) };

describe('query vectors', () => {
  test('are read from .npy and from one array per line, blank lines and a byte order mark aside', async () => {
    const x = matrixFromRows([
      [1, 2.5],
      [-3, 4e-3],
    ]);
    await writeNpy(join(folder, 'q.npy'), x, [x]);
    expect(await readQueryVectors(join(folder, 'q.npy'), { dim: 2, distance: 'cosine' })).toEqual(x);
    const lines = await file('q.ndjson', '\uFEFF[1, 2.5]\r\n\r\n[-3, 4e-3]\n');
    expect(await readQueryVectors(lines, { dim: 2, distance: 'cosine' })).toEqual(x);
  });

  test.each([
    ['[1,2]\n[1]\n', 'line 2: expected an array of 2 finite numbers (float32), got 1 items'],
    ['[1,2]\n[1,"2"]\n', 'got 2 items, item 1 being "2"'],
    ['[1,2]\n{"a":1}\n', 'line 2: expected an array of 2 finite numbers (float32), got object'],
    ['[1,null]\n', 'line 1: expected an array of 2 finite numbers'],
    ['1 2\n', 'line 1 is no JSON'],
    ['\n', 'it holds no vectors'],
  ])('%j is refused', async (content, message) => {
    const path = await file('bad.ndjson', content);
    await expect(readQueryVectors(path, { dim: 2, distance: 'cosine' })).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining(message),
    });
  });

  test('of another dimension, or no file at all, are refused', async () => {
    await expect(
      readQueryVectors(join(folder, 'q.npy'), { dim: 3, distance: 'cosine' }),
    ).rejects.toMatchObject({
      code: 'MISMATCH',
      message: expect.stringContaining('q.npy holds 2-d vectors, expected 3-d'),
    });
    await expect(
      readQueryVectors(join(folder, 'none.ndjson'), { dim: 3, distance: 'cosine' }),
    ).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('labels', () => {
  test('of a text file and of .npy are the same thing', async () => {
    const text = await file('labels.txt', '7\n 8 \n7\n\n');
    const npy = await file('labels.npy', integerNpy('<i2', [7, 8, 7]));
    expect(await readLabels(text, 3)).toEqual(['7', '8', '7']);
    expect(await readLabels(npy, 3)).toEqual(['7', '8', '7']);
    expect(labelNumbers(['a', 'b', 'a'], ['b', 'c'])).toEqual({
      base: Int32Array.of(0, 1, 0),
      queries: Int32Array.of(1, 2),
      names: ['a', 'b', 'c'],
    });
  });

  test.each([
    ['utf8', '\uFEFFä\r\nb\u2028c\r\n'],
    ['utf16le', '\uFEFFä\nb\u2028c'],
    ['utf8', 'ä\rb\u2028c\r'],
  ] as const)('of %s with a byte order mark and any line ends are read', async (encoding, text) => {
    const path = await file('encoded.txt', Buffer.from(text, encoding));
    expect(await readLabels(path, 2)).toEqual(['ä', 'b\u2028c']);
    if (encoding !== 'utf16le') return;
    const swapped = await file('swapped.txt', Buffer.from(text, encoding).swap16());
    expect(await readLabels(swapped, 2)).toEqual(['ä', 'b\u2028c']);
  });

  test('of another encoding are refused, so that no two of them become one', async () => {
    const latin = await file('latin.txt', Buffer.from('\xe4\n\xf6\n', 'latin1'));
    await expect(readLabels(latin, 2)).rejects.toThrow('it is not utf-8 text');
    const bare = await file('bare.txt', Buffer.from('a\nb\n', 'utf16le'));
    await expect(readLabels(bare, 2)).rejects.toThrow('NUL characters');
    await expect(readLabels('/dev/zero', 2)).rejects.toThrow('is a device');
  });

  test('a line end that falls between two chunks counts once', async () => {
    const path = await file('long.txt', `${'x'.repeat(65_535)}\r\nb\r\n`);
    expect(await readLabels(path, 2)).toEqual(['x'.repeat(65_535), 'b']);
  });

  test('one missing, one too many or none are refused', async () => {
    await expect(readLabels(await file('gap.txt', 'a\n\nb\n'), 3)).rejects.toThrow('line 2 is empty');
    await expect(readLabels(await file('two.txt', 'a\nb\n'), 3)).rejects.toThrow(
      'it holds 2 labels, expected 3, one per vector',
    );
    await expect(readLabels(join(folder, 'none.txt'), 3)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('labels of points', () => {
  const uuid = '0190d5a0-0000-7000-8000-000000000001';

  test('one id and label per line, repeated ones too; a label may hold blanks', async () => {
    const lines = `18446744073709551615\tnoun animal\r\n\n${uuid.toUpperCase()}\tverb\n${uuid}\tverb\n`;
    expect(await readPointLabels(await file('points.tsv', `\uFEFF${lines}`), ID_KEYS)).toEqual(
      new Map<bigint | string, string>([
        [18446744073709551615n, 'noun animal'],
        [uuid, 'verb'],
      ]),
    );
  });

  test('blanks at the ends of an id belong to it, and not to the label', async () => {
    const keys = { parse: (text: string): string => text, format: String };
    const path = await file('blanks.tsv', 'a\tone\n a\ttwo\na \t three \n');
    expect(await readPointLabels(path, keys)).toEqual(
      new Map([
        ['a', 'one'],
        [' a', 'two'],
        ['a ', 'three'],
      ]),
    );
  });

  test('an error writes the id of a point as its store does', async () => {
    const keys = { ...ID_KEYS, format: (id: PointId): string => `#${String(id)}` };
    await expect(readPointLabels(await file('twice.tsv', '7\ta\n7\tb\n'), keys)).rejects.toThrow(
      'line 2: point #7 has label',
    );
  });

  test.each([
    ['7 \tnoun\n', 'line 1: "7 " is no point id'],
    ['7 noun\n', 'line 1: got "7 noun", expected "id<TAB>label"'],
    ['7\tnoun\n8\t \n', 'line 2: got "8'],
    ['7\tnoun\n-8\tnoun\n', 'line 2: "-8" is no point id'],
    ['7\ta\n7\tb\n', 'line 2: point 7 has label "b" here and "a" before'],
    ['\n', 'it labels nothing'],
  ])('%j is refused', async (content, message) => {
    await expect(readPointLabels(await file('bad.tsv', content), ID_KEYS)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining(message),
    });
  });

  test('a .npy, which holds no ids, is refused', async () => {
    const npy = await file('points.npy', integerNpy('<i2', [7]));
    await expect(readPointLabels(npy, ID_KEYS)).rejects.toThrow('labels of points are text');
  });
});

describe('qrels', () => {
  const expected = [new Map([[4, 1]]), new Map(), new Map([[9, 1]])];

  test.each([
    ['TREC', 'q.trec', '0 0 4 1\n2 Q0 9 1\n'],
    ['TREC with tabs', 'q.qrels', '0\t0\t4\t1\r\n2\t0\t9\t1\r\n'],
    ['TREC with tabs and blanks', 'mixed.qrels', '0\t0 4 1\n2\tQ0\t9 1\n'],
    ['tab-separated with gains', 'q.tsv', '0\t4\t1\n\n2\t9\t1\n'],
    ['pairs, repeated ones too', 'pairs.tsv', '0\t4\n2\t9\n0\t4\n'],
  ])('%s', async (_name, name, content) => {
    expect(await readQrels(await file(name, content), rows)).toEqual(expected);
  });

  test('tab-separated ids that hold blanks, as some databases have them', async () => {
    const doc = (text: string): string => text;
    const path = await file('blanks.tsv', '0\ta b c\n0\tpoint of 7\n1\ta 2\t3\n1\ta\t\n');
    expect(await readQrels(path, { queries: 2, doc })).toEqual([
      new Map([
        ['a b c', 1],
        ['point of 7', 1],
      ]),
      new Map([
        ['a 2', 3],
        ['a', 1],
      ]),
    ]);
  });

  test('blanks at the ends of a tab-separated id belong to it', async () => {
    const doc = (text: string): string => text;
    const path = await file('ends.tsv', '0\ta\n0\t a\t2\n 0 \ta \t 3 \n0\t  b\n');
    expect(await readQrels(path, { queries: 1, doc })).toEqual([
      new Map([
        ['a', 1],
        [' a', 2],
        ['a ', 3],
        ['  b', 1],
      ]),
    ]);
  });

  test('a row number of a file may stand between blanks', async () => {
    expect(await readQrels(await file('rows.tsv', '0\t 4 \n2\t9 \t1\n'), rows)).toEqual(expected);
  });

  test('a .npy of one row per query, -1 for none', async () => {
    const path = await file('q.npy', integerNpy('<i4', [4, -1, 9]));
    expect(await readQrels(path, rows)).toEqual(expected);
  });

  test('graded and negative gains, and point ids of both kinds', async () => {
    const uuid = '0190d5a0-0000-7000-8000-000000000001';
    const path = await file('ids.tsv', `1\t18446744073709551615\t2.5\n1\t${uuid.toUpperCase()}\t-1\n`);
    const [, second] = await readQrels(path, { queries: 2, doc: parsePointId });
    expect(second).toEqual(
      new Map<bigint | string, number>([
        [18446744073709551615n, 2.5],
        [uuid, -1],
      ]),
    );
  });

  test.each([
    ['3\t4\n', 'line 1: got query "3", expected a row of the query file, 0 to 2'],
    ['q1\t4\n', 'line 1: got query "q1"'],
    ['0\t10\n', 'line 1: got document "10", expected a row of the base, 0 to 9'],
    ['0\t4\t1\n0\t5\tx\n', 'line 2: got gain "x", expected a number'],
    ['0 4\n', 'line 1: got "0 4", expected "query 0 document gain" or'],
    ['0 0 4 1 5\n', 'expected "query 0 document gain" or'],
    [
      '0 0 4 1\n1\t5\n',
      'line 2: got a line with two or three fields (tab-separated), the lines before have four',
    ],
    ['0\t4\t1\n0\t4\t2\n', 'line 2: query 0 and document 4 have gain 2 here and 1 before'],
    ['0\t4\t0\n', 'it calls nothing relevant'],
    ['', 'it calls nothing relevant'],
  ])('%j is refused', async (content, message) => {
    const path = await file('bad.tsv', content);
    await expect(readQrels(path, rows)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining(message),
    });
  });

  test('a .npy of another length or with rows out of range is refused', async () => {
    const short = await file('short.npy', integerNpy('<i8', [4]));
    await expect(readQrels(short, rows)).rejects.toThrow('it holds 1 entries, expected 3, one per query');
    const wild = await file('wild.npy', integerNpy('<i8', [4, 10, -1]));
    await expect(readQrels(wild, rows)).rejects.toThrow('entry 1: got document "10"');
  });
});
