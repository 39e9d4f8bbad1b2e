import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { Encoder } from '../../../src/encoder/model.js';
import { writeNpy } from '../../../src/files/npy.js';
import { CLOSED_FORMS } from '../../../src/select/fit-closed-forms.js';
import { runCli } from '../../support/cli/run-cli.js';

const MAIN = resolve('dist/src/cli/main.js');
const LOOK_MS = 3;
/** The three trainings of the plan for the smallest budgets. */
const PLANNED_STEPS = 350;
const LEARNED = ['neighbourhood-kl', 'neighbourhood-kl-residual', 'tldr', 'tldr-flinear', 'tldr-mlp'];
const busy: ChildProcess[] = [];
let cwd: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'kept-state-'));
  const rng = new Rng(8);
  const x = matrix(600, 16);
  x.data.forEach((_, i) => (x.data[i] = rng.normal() * 0.85 ** (i % 16)));
  await writeNpy(join(cwd, 'base.npy'), x, [x]);
});
afterEach(() => {
  for (const child of busy.splice(0)) child.kill('SIGKILL');
});
afterAll(() => rm(cwd, { recursive: true }));

const command = (out: string, more: readonly string[] = []): string[] => {
  const budget = ['--budget', '0.5s', '--threads', '1', '--json'];
  return ['train', '--input', 'base.npy', '--dim', '4', '--out', out, ...budget, ...more];
};

/** Ends a training with SIGKILL as soon as it has kept a state. */
async function killedOnceKept(args: readonly string[], kept: string): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, stdio: 'ignore' });
  const ended = new Promise<NodeJS.Signals | null>((done) => {
    child.once('close', (_, signal) => done(signal));
  });
  while (child.exitCode === null && !existsSync(join(cwd, kept))) await pause(LOOK_MS);
  child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
}

interface Trained {
  readonly shipped: string;
  readonly training: readonly { readonly name: string; readonly steps: number }[];
  readonly candidates: readonly { readonly name: string; readonly recallAt10: number }[];
  readonly time: { readonly leftOut: readonly string[] } | null;
}

const stepsOf = ({ training }: Trained): number => training.reduce((sum, { steps }) => sum + steps, 0);

test('on a busy machine a tiny budget ships the best candidate, and names each that it had no time for', async () => {
  for (let i = 0; i < 3; i++) busy.push(spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
  const { code, json } = await runCli(command('busy.onnx'), { cwd });
  expect(code).toBe(0);
  const report = json() as unknown as Trained;
  expect(stepsOf(report)).toBeLessThanOrEqual(PLANNED_STEPS);
  // How many there is time for is up to the machine. Each is scored or left out, and none of them both.
  const { candidates } = report;
  // The forms of LeanVec need a sample of queries.
  const closed = CLOSED_FORMS.filter((name) => !name.startsWith('leanvec'));
  const names = [...candidates.map(({ name }) => name), ...report.time!.leftOut].sort();
  expect(names).toEqual([...closed, ...LEARNED].sort());
  const best = Math.max(...candidates.map(({ recallAt10 }) => recallAt10));
  const shipped = candidates.find(({ name }) => name === report.shipped)!;
  expect(shipped.recallAt10).toBeGreaterThanOrEqual(best - 0.001);
  expect((await Encoder.load(join(cwd, 'busy.onnx'))).outputDim).toBe(4);
});

test('killed in between, the same command goes on, and its file is gone after the end', async () => {
  const same = ['--deterministic'];
  await killedOnceKept(command('killed.onnx', same), 'killed.onnx.checkpoint');
  const { code, json, stderr } = await runCli(command('killed.onnx', same), { cwd });
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('continues from killed.onnx.checkpoint'),
  });
  const report = json() as unknown as Trained;
  expect([stepsOf(report), report.time]).toEqual([PLANNED_STEPS, null]);
  expect((await readdir(cwd)).filter((name) => name.startsWith('killed'))).toEqual(['killed.onnx']);
  expect((await runCli(command('whole.onnx', same), { cwd })).code).toBe(0);
  const [resumed, whole] = await Promise.all(
    ['killed.onnx', 'whole.onnx'].map((name) => readFile(join(cwd, name))),
  );
  expect(resumed!.equals(whole!)).toBe(true);
});

test('the state of another command is moved aside, and training begins', async () => {
  const steps = ['--deterministic', '--budget', '2s'];
  await killedOnceKept(command('other.onnx', steps), 'other.onnx.checkpoint');
  const kept = await readFile(join(cwd, 'other.onnx.checkpoint'));
  const { code, stderr } = await runCli(command('other.onnx', ['--seed', '5']), { cwd });
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('other.onnx.checkpoint belongs to another command: it is now other.onnx'),
  });
  expect(await readFile(join(cwd, 'other.onnx.checkpoint.old'))).toEqual(kept);
});

test('a file of that name that is no checkpoint stays as it is', async () => {
  await writeFile(join(cwd, 'taken.onnx.checkpoint'), 'notes of somebody');
  const { code, stderr } = await runCli(command('taken.onnx'), { cwd });
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('no checkpoint is kept'),
  });
  expect(await readFile(join(cwd, 'taken.onnx.checkpoint'), 'utf8')).toBe('notes of somebody');
});
