import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng } from '../../../src/core/rng.js';
import type { EngineReport } from '../../../src/train/engine/engine-report.js';
import { onnxGradients } from '../../../src/train/engine/onnx-executor.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { randomInputs, steps } from '../../support/train/gradient-steps.js';
import { nativeTensorflow } from '../../support/train/native-tensorflow.js';

const modules = nativeTensorflow();
const natively = modules === null ? describe.skip : describe;
const env = { NODE_PATH: modules ?? '', TF_CPP_MIN_LOG_LEVEL: '2' };
const NATIVE = { backend: '@tensorflow/tfjs-node', device: 'cpu' };
/** Two trainings of the same steps that differ in rounding alone. */
const NOISE = 0.01;

interface Derivatives {
  readonly report: EngineReport;
  readonly steps: Record<string, { readonly loss: number; readonly gradients: readonly number[][] }>;
}

natively('TensorFlow.js with the native library', () => {
  let cwd: string;

  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'tldr-native-'));
  });
  afterAll(() => rm(cwd, { recursive: true, force: true }));

  test('its derivatives are those of the engine onnx', async () => {
    const child = fileURLToPath(new URL('../../support/train/gradients-child.js', import.meta.url));
    const { stdout } = spawnSync(process.execPath, [child], { encoding: 'utf8', env, maxBuffer: 1e8 });
    const native = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Derivatives;
    expect(native.report).toMatchObject(NATIVE);
    expect(native.report.version).toMatch(/^4\.\d+\.\d+, TensorFlow 2\.\d+\.\d+$/);
    expect(Object.keys(native.steps)).toEqual(Object.keys(steps));
    for (const [name, step] of Object.entries(steps)) {
      const { batch, parameters } = randomInputs(step, new Rng(11));
      const onnx = await onnxGradients(step, parameters, [batch]);
      const { loss, gradients } = native.steps[name]!;
      expect(Math.abs(loss - onnx.loss)).toBeLessThan(1e-4 * Math.max(1, Math.abs(onnx.loss)));
      const largest = Math.max(1e-3, ...onnx.gradients.flatMap((values) => [...values].map(Math.abs)));
      const apart = onnx.gradients.flatMap((values, i) =>
        [...values].map((value, k) => Math.abs(value - gradients[i]![k]!)),
      );
      expect(Math.max(...apart)).toBeLessThan(1e-3 * largest);
    }
  });

  test('it trains on the data of the demo and finds what the engine onnx finds', async () => {
    const base = resolve('demo/data/base.npy');
    const train = (...more: string[]): Promise<CliResult> =>
      runCli(
        [
          'train',
          '--input',
          base,
          '--sample',
          '2000',
          '--dim',
          '32',
          '--out',
          'enc.onnx',
          '--force',
          '--json',
          ...more,
        ].concat(['--loss', 'neighbourhood-kl', '--steps', '30', '--ship', 'neighbourhood-kl', '--no-refit']),
        { cwd, env },
      );
    const native = await train('--engine', 'tfjs', '--device', 'cpu');
    expect(native.code).toBe(0);
    expect(native.stderr).toMatch(/^engine: tfjs on the CPU \(@tensorflow\/tfjs-node 4[^)]*TensorFlow 2/);
    expect(native.json()).toMatchObject({ training: [{ engine: 'tfjs', ...NATIVE, steps: 30 }] });
    const onnx = await train();
    expect(onnx.json()).toMatchObject({ training: [{ engine: 'onnx', backend: 'onnxruntime-node' }] });
    const [a, b] = [recallOf(native), recallOf(onnx)];
    expect(a).toBeGreaterThan(0.5);
    expect(Math.abs(a - b)).toBeLessThan(NOISE);
  });
});

function recallOf(result: CliResult): number {
  const { candidates, shipped } = result.json() as {
    readonly candidates: readonly { readonly name: string; readonly recallAt10: number }[];
    readonly shipped: string;
  };
  return candidates.find(({ name }) => name === shipped)?.recallAt10 ?? 0;
}
