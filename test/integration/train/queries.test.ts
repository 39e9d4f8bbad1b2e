import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix, row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { Encoder } from '../../../src/encoder/model.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import type { TrainReport } from '../../../src/select/train-report.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';

const NAMES = ['neighbourhood-kl-queries', 'neighbourhood-kl-residual-queries'] as const;
const [, RESIDUAL] = NAMES;
const DATA = new URL('../../../../demo/data/base.npy', import.meta.url).pathname;
let cwd: string;
let trained: CliResult;
let report: TrainReport;

const save = (name: string, x: Matrix): Promise<void> => writeNpy(join(cwd, name), x, [x]);

/** Other sentences than the points, all moved in one direction, as questions differ from statements. */
function questions(sentences: Matrix, towards: Float32Array): Matrix {
  const moved = matrix(sentences.rows, sentences.cols, sentences.data.slice());
  for (let i = 0; i < moved.rows; i++)
    row(moved, i).forEach((value, j, to) => (to[j] = value + towards[j]! / 2));
  return moved;
}

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-train-queries-'));
  const x = await readNpy(DATA);
  await save('base.npy', rowRange(x, 0, 1500));
  await save('queries.npy', questions(rowRange(x, 5000, 5300), row(x, 9000)));
  // The clock of a busy machine would decide which candidate wins.
  const planned = ['--dim', '16', '--budget', '15s', '--seed', '1', '--deterministic'];
  const args = [...planned, '--out', 'enc.onnx', '--json'];
  trained = await runCli(['train', '--input', 'base.npy', '--queries', 'queries.npy', ...args], { cwd });
  expect(trained).toMatchObject({ code: 0 });
  report = trained.json() as unknown as TrainReport;
});

afterAll(() => rm(cwd, { recursive: true }));

test('queries of another kind: the candidates that learn from queries compete, and the best one is shipped', () => {
  const recall = new Map(report.candidates.map(({ name, recallAt10 }) => [name, recallAt10]));
  for (const name of NAMES) expect([...recall.keys()]).toContain(name);
  expect(recall.get(RESIDUAL)!).toBeGreaterThan(recall.get('neighbourhood-kl-residual')!);
  expect(report).toMatchObject({
    shipped: RESIDUAL,
    fitQueries: 100,
    heldOutQueries: 133,
    confirmQueries: 67,
  });
});

test('it is one map for points and queries, and the file says what it was fitted to', async () => {
  const encoder = Encoder.fromBytes(await readFile(join(cwd, 'enc.onnx')));
  expect(encoder).toMatchObject({ symmetric: true, inputDim: 512, outputDim: 16 });
  expect(encoder.metadata).toMatchObject({ method: RESIDUAL, hyperParameters: { queries: 100 } });
});

test('the second fit has all queries but those that judge it', () => {
  expect(report.refit).toMatchObject({ rows: 1500, fitQueries: 233, queries: 67, shipped: true });
  expect(report.refit!.after).toBeGreaterThan(report.refit!.before - 0.005);
  expect(trained.stderr).toContain('fitted again to all 233 other queries');
});
