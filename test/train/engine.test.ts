import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkEngine } from '../../src/train/engine/check-engine.js';
import { engineText, type EngineChoice } from '../../src/train/engine/engine-report.js';

const CHILD = fileURLToPath(new URL('../support/train/tfjs-child.js', import.meta.url));
const WASM = '@tensorflow/tfjs-backend-wasm';
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tldr-engine-'));
  const broken = join(folder, '@tensorflow', 'tfjs-node');
  await mkdir(broken, { recursive: true });
  await writeFile(join(broken, 'index.js'), "throw new Error('the addon was not built');");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

interface Outcome {
  readonly error?: string;
  readonly hint?: string;
  readonly backend?: string;
  readonly device?: string;
  readonly version?: string;
  readonly loss?: number;
  readonly fellBack?: string | null;
}

function load(hidden: string, choice: EngineChoice, nodePath = ''): Outcome {
  const { stdout, stderr } = spawnSync(process.execPath, [CHILD, hidden, JSON.stringify(choice)], {
    encoding: 'utf8',
    env: { NODE_PATH: nodePath },
  });
  const line = stdout.trimEnd().split('\n').at(-1);
  if (line === undefined || line === '') throw new Error(stderr);
  return JSON.parse(line) as Outcome;
}

const ALL = '^@tensorflow/tfjs';
const NATIVE = '^@tensorflow/tfjs-node';
const BACKENDS = '^@tensorflow/tfjs-(node|backend-wasm)';

describe('what the tfjs engine does with what is installed', () => {
  test('nothing, or TensorFlow.js alone: it says what is missing', () => {
    const hint = 'install-tensorflow';
    expect(load(ALL, {})).toMatchObject({ error: expect.stringContaining('does not come with'), hint });
    const alone = load(BACKENDS, {});
    expect(alone).toMatchObject({
      error: expect.stringContaining('alone computes in plain JavaScript'),
      hint,
    });
  });

  test('TensorFlow.js alone, with fallback: plain JavaScript', () => {
    const outcome = load(BACKENDS, { engineFallback: true });
    expect(outcome).toMatchObject({ backend: '@tensorflow/tfjs', device: 'cpu', loss: 5 });
    expect(outcome.fellBack).toBe('no faster backend works');
  });

  test('WebAssembly: it is used, and its version named', () => {
    const outcome = load(NATIVE, {});
    expect(outcome).toMatchObject({ backend: WASM, device: 'cpu', loss: 5, fellBack: null });
    expect(outcome.version).toMatch(/^4\.\d+\.\d+$/);
  });

  test('a native package that does not load: refused, or replaced if that was allowed', () => {
    expect(load('', {}, folder).error).toMatch(/tfjs-node is installed, but .*: the addon was not built/);
    const outcome = load('', { engineFallback: true }, folder);
    expect(outcome).toMatchObject({ backend: WASM, loss: 5 });
    expect(outcome.fellBack).toContain('the addon was not built');
  });

  test('no package for CUDA: cuda is refused, or replaced if that was allowed', () => {
    expect(load(NATIVE, { device: 'cuda' }).error).toContain('@tensorflow/tfjs-node-gpu for the device cuda');
    const outcome = load(NATIVE, { device: 'cuda', engineFallback: true });
    expect(outcome).toMatchObject({ backend: WASM, device: 'cpu' });
    expect(outcome.fellBack).toBe('@tensorflow/tfjs-node-gpu is not installed');
  });
});

describe('the check before a training', () => {
  test('the default engine needs none', async () => {
    expect(await checkEngine({})).toBeNull();
    expect(await checkEngine({ engine: 'onnx', device: 'cpu' })).toBeNull();
  });

  test('it ends when the signal fires', async () => {
    const controller = new AbortController();
    const checking = checkEngine({ engine: 'tfjs', engineFallback: true }, { signal: controller.signal });
    controller.abort();
    await expect(checking).rejects.toMatchObject({ code: 'ABORTED' });
    const { signal } = controller;
    await expect(checkEngine({ engine: 'tfjs', engineFallback: true }, { signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  test('onnx on a GPU that cannot be used: refused with the library that is missing, or the processor', async () => {
    const found = await checkEngine({ engine: 'onnx', device: 'cuda' }).catch((error: unknown) => error);
    if (!(found instanceof Error)) {
      expect(found).toMatchObject({ backend: 'onnxruntime-node', device: 'cuda' });
      return;
    }
    expect(found).toMatchObject({ code: 'UNSUPPORTED', hint: 'install-cuda-provider' });
    expect(found.message).toMatch(/onnxruntime-node \d+\.\d+\.\d+ cannot use the device cuda: .+/);
    const warnings: string[] = [];
    const choice = { engine: 'onnx', device: 'cuda', engineFallback: true } as const;
    const report = await checkEngine(choice, { log: (_level, message) => void warnings.push(message) });
    expect(report === null ? '' : engineText(report)).toMatch(/^onnx on the CPU \(onnxruntime-node \d/);
    expect(warnings).toEqual([expect.stringContaining('cannot use the device cuda')]);
  });
});
