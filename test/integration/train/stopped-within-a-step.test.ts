import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCheckpoint } from '../../../src/cli/train/checkpoint.js';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { writeNpy } from '../../../src/files/npy.js';
import { runCli } from '../../support/cli/run-cli.js';
import { nativeTensorflow } from '../../support/train/native-tensorflow.js';

const native = nativeTensorflow();
const WAYS = [
  { name: 'WebAssembly', modules: '', backend: '@tensorflow/tfjs-backend-wasm', run: describe },
  {
    name: 'the native library',
    modules: native ?? '',
    backend: '@tensorflow/tfjs-node',
    run: native === null ? describe.skip : describe,
  },
] as const;

/** More steps than any machine makes while a test runs. */
const STEPS = ['--steps', '1000000'];
/** A step of many seconds: 18 products of 17 billion operations or more. */
const WIDE = ['--loss', 'barlow-twins', '--projector', 'mlp-4-2048', '--batch', '1024', '--k', '10'];

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

for (const { name, modules, backend, run } of WAYS) {
  const command = ['train', '--input', 'x.npy', '--dim', '4', '--engine', 'tfjs', '--device', 'cpu'];
  const env = { NODE_PATH: modules, TF_CPP_MIN_LOG_LEVEL: '2' };

  run(`a training of the tfjs engine on ${name}`, () => {
    test('ends with Ctrl-C, and the same command goes on from its state', async () => {
      const out = `${modules === '' ? 'wasm' : 'native'}.onnx`;
      const short = [...command, '--loss', 'neighbourhood-kl', '--k', '10', ...STEPS, '--out', out];
      const options = { cwd, env, interruptOn: 'training neighbourhood-kl' };
      const stopped = await runCli(short, options);
      expect(stopped.stdout).toContain(`engine: tfjs on the CPU (${backend} 4`);
      expect(stopped.stderr).toContain('run the same command again to continue');
      expect(stopped.code).toBe(130);
      expect(existsSync(join(cwd, `${out}.checkpoint`))).toBe(true);
      const resumed = await runCli(short, options);
      expect(resumed.stdout).toContain('continue');
      expect(resumed.code).toBe(130);
    });

    test('ends in the midst of a long step, which is not made', async () => {
      const state = join(cwd, `${modules === '' ? 'wasm' : 'native'}.state`);
      const kept = ['--checkpoint', state, '--out', 'wide.onnx', '--log-level', 'debug'];
      const stopped = await runCli([...command, ...WIDE, ...STEPS, ...kept], {
        cwd,
        env,
        interruptOn: 'training runs with tfjs',
        interruptDelayMs: 1500,
      });
      expect(stopped.stderr).toContain('run the same command again to continue');
      expect(stopped.code).toBe(130);
      const found = await readCheckpoint(state);
      const steps = [...(found?.states.values() ?? [])].map(({ step }) => step);
      // The native library may make several steps in that time on a large machine, WebAssembly makes none.
      expect(steps).toEqual(modules === '' ? [0] : [expect.any(Number)]);
    });
  });
}
