import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { writeNpy } from '../../../src/files/npy.js';
import { runCli } from '../../support/cli/run-cli.js';

let cwd: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tldr-stopped-'));
  const rng = new Rng(1);
  const x = matrix(
    300,
    16,
    Float32Array.from({ length: 4800 }, () => rng.normal()),
  );
  const blocks = async function* (): AsyncGenerator<Matrix> {
    yield await Promise.resolve(x);
  };
  await writeNpy(join(cwd, 'x.npy'), x, blocks());
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

test('Ctrl-C ends a training of the tfjs engine, and the same command goes on from its state', async () => {
  const command = ['train', '--input', 'x.npy', '--dim', '4', '--out', 'enc.onnx', '--engine', 'tfjs'];
  const steps = ['--loss', 'neighbourhood-kl', '--k', '10', '--steps', '1000000'];
  const stopped = await runCli([...command, ...steps], { cwd, interruptOn: 'training neighbourhood-kl' });
  expect(stopped.stdout).toMatch(/^engine: tfjs on the CPU \(@tensorflow\/tfjs-backend-wasm 4/);
  expect(stopped.stderr).toContain('run the same command again to continue');
  expect(stopped.code).toBe(130);
  expect(existsSync(join(cwd, 'enc.onnx.checkpoint'))).toBe(true);
  const resumed = await runCli([...command, ...steps], { cwd, interruptOn: 'training neighbourhood-kl' });
  expect(resumed.stdout).toContain('continue');
  expect(resumed.code).toBe(130);
});
