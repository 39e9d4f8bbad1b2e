import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { measureSet, type MeasuredSet } from '../../bench/middle-way/measure-set.js';
import { middleWayPage } from '../../bench/middle-way/page.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { writeNpy } from '../../src/files/npy.js';

const LABELS = 6;
const DIM = 24;
let folder: string;
let measured: MeasuredSet;

/** Rows around the centres of their labels: row i has label i modulo their number. */
function labelledRows(rows: number, seed: number): Matrix {
  const [centres, rng] = [new Rng(1), new Rng(seed)];
  const means = Array.from({ length: LABELS }, () =>
    Float32Array.from({ length: DIM }, () => centres.normal()),
  );
  const x = matrix(rows, DIM);
  for (let i = 0; i < rows; i++)
    row(x, i).forEach((_, j, values) => (values[j] = means[i % LABELS]![j]! + 0.8 * rng.normal()));
  return x;
}

/** A .npy file of whole numbers. */
function integersNpy(values: Int32Array): Buffer {
  const header = `{'descr': '<i4', 'fortran_order': False, 'shape': (${values.length},), }`;
  const padded = header.padEnd(118 - 1) + '\n';
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([start, Buffer.from(padded), Buffer.from(values.buffer)]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'middle-way-'));
  const labels = (rows: number): Int32Array => Int32Array.from({ length: rows }, (_, i) => i % LABELS);
  const write = (name: string, x: Matrix): Promise<void> => writeNpy(join(folder, name), x, [x]);
  await write('base.npy', labelledRows(300, 2));
  await write('queries.npy', labelledRows(40, 3));
  await write('queries_example.npy', labelledRows(20, 4));
  await writeFile(join(folder, 'labels.npy'), integersNpy(labels(300)));
  await writeFile(join(folder, 'query_labels.npy'), integersNpy(labels(40)));
  await writeFile(join(folder, 'qrels_example.npy'), integersNpy(labels(20)));
  const run = { folder, rows: 300, queries: 40, steps: 0.03, part: 4, seed: 1, threads: 1, judged: true };
  measured = await measureSet(run);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('every candidate is measured by labels, by single answers and without labels', () => {
  const names = measured.candidates.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['pca', 'neighbourhood-kl-residual', 'tldr-mlp', 'blend-0.2', 'blend-0.6']),
  );
  for (const { recallAt10, labels, answers, labelFree } of measured.candidates) {
    const { removedRows, ...others } = labelFree;
    for (const value of [recallAt10, labels, answers, ...Object.values(others)]) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(1);
    }
    // Only those that the product trains are fitted to halves of the rows.
    if (removedRows !== null) expect(removedRows).toBeLessThanOrEqual(1);
  }
  const fitted = measured.candidates.filter(({ labelFree }) => labelFree.removedRows !== null);
  expect(fitted.map(({ name }) => name)).toEqual(expect.arrayContaining(['pca', 'tldr-mlp', 'blend-0.4']));
  // Deterministic halves of the data give the same prefix twice.
  expect(fitted.find(({ name }) => name === 'prefix')!.labelFree.removedRows).toBe(1);
});

test('the page has a row for each candidate and a correlation for each measure', () => {
  const page = middleWayPage([measured], {
    seed: 1,
    queries: 40,
    steps: 0.03,
    part: 4,
    date: '2026-01-01',
    hardware: 'a machine',
    node: '20',
  });
  const lines = page.split('\n');
  const rowsOf = (heading: string): string[][] => {
    const from = lines.findIndex((line) => line.startsWith(heading));
    const table = lines.slice(from + 2).slice(0, lines.slice(from + 2).indexOf(''));
    return table.map((line) => line.split('|').map((cell) => cell.trim()));
  };
  expect(rowsOf('| candidate')).toHaveLength(measured.candidates.length + 1);
  const [recall] = rowsOf('| measure | middle-way');
  expect(recall![1]).toBe('recall@10');
  expect(Number(recall![2])).toBeGreaterThanOrEqual(-1);
  expect(Number(recall![2])).toBeLessThanOrEqual(1);
  expect(page).not.toMatch(/NaN|undefined|null/);
});
