import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { writeNpy } from '../../../src/files/npy.js';
import { runCli } from '../../support/cli/run-cli.js';

const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-flat-'));
afterAll(() => rm(cwd, { recursive: true }));

const rng = new Rng(8);
function rows(count: number): Matrix {
  const x = matrix(count, 12);
  for (let i = 0; i < count; i++)
    for (let j = 0; j < x.cols; j++) x.data[i * x.cols + j] = rng.normal() * 0.8 ** j;
  return x;
}

test('a long budget on a few rows is not used up: the output, --json and the report say where it stopped', async () => {
  const [base, queries] = [rows(150), rows(600)];
  await writeNpy(join(cwd, 'x.npy'), base, [base]);
  await writeNpy(join(cwd, 'q.npy'), queries, [queries]);
  const files = ['--input', 'x.npy', '--queries', 'q.npy', '--out', 'enc.onnx', '--report', 'page.html'];
  const flags = ['--distance', 'euclid', '--dim', '4', '--seed', '1', '--threads', '1', '--budget', '1h'];
  const result = await runCli(['train', ...files, ...flags, '--json'], { cwd });
  expect(result.code).toBe(0);
  const { training } = result.json() as { training: readonly Record<string, unknown>[] };
  const stops = new Map(training.map(({ name, steps, stopped }) => [name, { steps, stopped }]));
  expect(stops.get('neighbourhood-kl')).toEqual({ steps: 500, stopped: null });
  const { steps, stopped } = stops.get('neighbourhood-kl-residual')!;
  expect(stopped).toEqual({ plannedSteps: 3000, gain: [expect.any(Number), expect.any(Number)] });
  expect(steps).toBeLessThan(3000);
  const sentence = `stopped at step ${Number(steps).toLocaleString('en-US')} of 3,000`;
  const whole = `${sentence}, since recall of the held-out queries no longer rose`;
  expect(result.stderr).toContain(whole);
  expect(await readFile(join(cwd, 'page.html'), 'utf8')).toContain(whole);
});
