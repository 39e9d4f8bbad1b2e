import { afterAll, beforeAll, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { writeNpy } from '../../../src/files/npy.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { runInTerminal, type TerminalRun } from '../../support/cli/run-in-terminal.js';
import { tinyEncoder } from '../../support/migrate/fixtures.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const MAIN = resolve('dist/src/cli/main.js');
const CTRL_C = '\x03';
/** Whole percentage, rate and remaining time behind a whole bar. */
const STEP_LINE =
  /^\S.* {2}\[[=-]{6,}\] +\d+ % {2}[\d,.]+\/s {2}(-|\d[\d a-z]*) left( {2}[\d,]+\/[\d,]+ \w+)?$/;
const OVERALL_LINE = /^step \d of \d(, about \d+ (s|min|h) left)?$/;
const POINTS = 6_000;
let place: CliPlace;

beforeAll(async () => {
  place = await openCliPlace('terminal');
  const rng = new Rng(3);
  const x = matrix(800, 32);
  x.data.forEach((_, i) => (x.data[i] = rng.normal()));
  await writeNpy(join(place.cwd, "it's x.npy"), x, [x]);
  const size = tinyEncoder().inputDim;
  await place.rest('PUT', '/collections/my%20docs', { vectors: { size, distance: 'Cosine' } });
  for (let start = 0; start < POINTS; start += 1000) {
    const points = Array.from({ length: 1000 }, (_, i) => ({
      id: start + i,
      vector: Array.from({ length: size }, () => Math.round(rng.normal() * 100) / 100),
    }));
    await place.rest('PUT', '/collections/my%20docs/points?wait=true', { points });
  }
});

afterAll(() => place.end());

function onTerminal(
  columns: number,
  args: readonly string[],
  typed: { readonly typeOn?: RegExp; readonly keys?: string } = {},
): Promise<TerminalRun> {
  const { url, grpcUrl } = place.server;
  const env = { QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl };
  return runInTerminal([process.execPath, MAIN, ...args], { columns, cwd: place.cwd, env, ...typed });
}

/** Runs the last line of a terminal in a real shell, in which the product has its name. */
async function runLastLine({ lines }: TerminalRun): Promise<string> {
  const name = join(place.cwd, 'qdrant-tldr');
  await writeFile(name, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(name, 0o755);
  const { url, grpcUrl } = place.server;
  const env = { PATH: `${place.cwd}:${process.env['PATH']}`, QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl };
  const { stdout } = await promisify(execFile)('sh', ['-c', lines.at(-1) ?? ''], { cwd: place.cwd, env });
  return stdout;
}

/** The two lines of the display in the frames that show it. */
function drawn({ frames }: TerminalRun): { overall: string; step: string }[] {
  return frames.flatMap((lines) => {
    const step = lines.at(-1) ?? '';
    return step.includes(' left') ? [{ overall: lines.at(-2) ?? '', step }] : [];
  });
}

/** What a person is left with: no line of the display, and a cursor. */
function expectNothingLeft({ lines, raw }: TerminalRun): void {
  expect(lines.join('\n')).not.toMatch(/\[[=-]+\]|step \d of|\^C|stopping/);
  expect(raw.lastIndexOf('\x1b[?25h')).toBeGreaterThan(raw.lastIndexOf('\x1b[?25l'));
}

test.each([60, 80, 120])(
  'on %i columns, progress fits, is rewritten in place, and Ctrl-C leaves the command that goes on',
  async (columns) => {
    // A file of its own, since the same command would go on from what the run before it left.
    const out = `my enc ${columns}.onnx`;
    const args = ['train', '--input', "it's x.npy", '--dim', '4', '--steps', '1000000', '--out', out];
    const run = await onTerminal(columns, args, { typeOn: /training .*[1-9]\d*\/s/, keys: CTRL_C });
    expect(run.code).toBe(130);
    const shown = drawn(run);
    expect(shown.map(({ step }) => step)).toContainEqual(expect.stringMatching(/^training/));
    for (const { overall, step } of shown) {
      expect(step).toMatch(STEP_LINE);
      expect(overall).toMatch(OVERALL_LINE);
    }
    expectNothingLeft(run);
    const text = run.lines.join('\n');
    const end = 'to go on, run:\n';
    expect(text.slice(text.indexOf(end) + end.length).replaceAll('\n', '')).toBe(
      `  qdrant-tldr train --input 'it'\\''s x.npy' --dim 4 --steps 1000000 --out '${out}'`,
    );
  },
);

test.each([90, 120])('on %i columns, lines are broken between words', async (columns) => {
  const args = ['train', '--input', "it's x.npy", '--dim', '4', '--steps', '20', '--out', `e${columns}.onnx`];
  const run = await onTerminal(columns, args);
  expect(run.code).toBe(0);
  expect(run.raw).toContain('warning:');
  expect(run.wrapped).toBe(false);
});

test('on 60 columns, an error is broken between words', async () => {
  const run = await onTerminal(60, ['train', '--input', 'no such file.npy', '--dim', '4', '--out', 'e.onnx']);
  expect(run.code).not.toBe(0);
  expect(run.lines.length).toBeGreaterThan(1);
  expect(run.wrapped).toBe(false);
});

test('the last line after Ctrl-C goes on with a copy', async () => {
  const args = [
    'migrate',
    'start',
    'my docs',
    'my docs c',
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
  ];
  const slowly = ['--batch-size', '4', '--concurrency', '1'];
  const run = await onTerminal(160, [...args, ...slowly], { typeOn: /copying .*\d %/, keys: CTRL_C });
  expect(run.code).toBe(130);
  expectNothingLeft(run);
  expect(run.lines.at(-2)).toBe('to go on, run:');
  expect(await runLastLine(run)).toContain('continuing an earlier run');
});

test('status --watch shows a copy until it is over, and then its status', async () => {
  const names = ['my docs', 'my docs watched'];
  const slowly = ['--batch-size', '4', '--concurrency', '1'];
  const copying = place.cli(
    'migrate',
    'start',
    ...names,
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
    ...slowly,
  );
  for (;;) {
    const { code, json } = await place.cli('migrate', 'status', ...names, '--json');
    if (code === 0 && (json()['runner'] !== null || json()['phase'] === 'verified')) break;
  }
  const run = await onTerminal(80, ['migrate', 'status', ...names, '--watch']);
  expect(run.code).toBe(0);
  expectNothingLeft(run);
  expect(run.lines).toContainEqual(expect.stringMatching(/^ {2}phase verified/));
  expect((await copying).code).toBe(0);
});
