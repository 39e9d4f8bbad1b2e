import { afterAll, beforeAll, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { CliPlace } from '../../support/cli/cli-on-test-server.js';
import { contentOf } from '../../support/migrate/fixtures.js';
import { DOCS_POINTS, openShrinkPlace, SMALL, type ShrinkJson } from '../../support/shrink/shrink-place.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const MAIN = resolve('dist/src/cli/main.js');
const RUN = ['shrink', 'docs', '--yes', '--choose', 'balanced', ...SMALL];
/** How often the state of a run is looked at: more often than any step takes. */
const LOOK_MS = 3;
let place: CliPlace;
let docs: string[];

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the same command every time, and sends it a signal as soon as `when` is true. */
async function runUntil(
  signal: NodeJS.Signals,
  when: (stdout: string) => boolean | Promise<boolean>,
): Promise<Ended> {
  const { url, grpcUrl } = place.server;
  const child = spawn(process.execPath, [MAIN, ...RUN], {
    cwd: place.cwd,
    env: { PATH: process.env['PATH'] ?? '', QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = new Promise<Ended>((done, reject) => {
    child.once('error', reject);
    child.once('close', (code, by) => done({ code, signal: by, stdout, stderr }));
  });
  while (child.exitCode === null && !(await when(stdout))) await pause(LOOK_MS);
  child.kill(signal);
  return ended;
}

const scratches = async (): Promise<string[]> =>
  (await place.store.listCollections()).filter((name) => name.startsWith('tldr-plan-'));
const isTraining = (): boolean => existsSync(join(place.cwd, 'docs.onnx.checkpoint'));
const targets = async (): Promise<string[]> =>
  (await place.store.listCollections()).filter((name) => name.startsWith('docs_'));
const shows =
  (heading: string) =>
  (stdout: string): boolean =>
    stdout.includes(heading);

beforeAll(async () => {
  place = await openShrinkPlace('shrink-killed');
  docs = await contentOf(place.store, 'docs');
});
afterAll(() => place.end());

test('killed in each step, the same command goes on and ends as if nothing had happened', async () => {
  expect(await runUntil('SIGKILL', async () => (await scratches()).length > 0)).toMatchObject({
    signal: 'SIGKILL',
  });
  const left = await scratches();
  expect(left).toHaveLength(1);

  const interrupted = await runUntil('SIGINT', isTraining);
  expect(interrupted).toMatchObject({ code: 130 });
  expect(interrupted.stderr.trimEnd().split('\n').at(-1)).toBe(`  qdrant-tldr ${RUN.join(' ')}`);
  expect(await scratches()).toEqual([]);
  expect(isTraining()).toBe(true);

  let [isOver, begin] = [false, (): void => undefined];
  const begun = new Promise<void>((done) => (begin = done));
  const other = runUntil('SIGKILL', (stdout) => {
    if (stdout.includes('step 4 of 7')) begin();
    return isOver;
  });
  await Promise.race([begun, other]);
  const together = await place.cli(...RUN);
  isOver = true;
  expect([together.code, (await other).signal]).toEqual([5, 'SIGKILL']);
  expect(together.stderr).toContain('another run');

  expect(await runUntil('SIGKILL', async () => (await targets()).length > 0)).toMatchObject({
    signal: 'SIGKILL',
  });
  const state = await readFile(join(place.cwd, 'docs.onnx.shrink.json'), 'utf8');
  const { training } = JSON.parse(state) as { training: { fingerprint: string } };
  for (const heading of ['step 6 of 7', 'step 7 of 7'])
    expect(await runUntil('SIGKILL', shows(heading))).toMatchObject({ signal: 'SIGKILL' });

  const last = await place.cli(...RUN, '--json');
  expect(last).toMatchObject({ code: 0, stderr: expect.stringContaining('trained by an earlier run') });
  const result = last.json() as unknown as ShrinkJson;
  expect(result).toMatchObject({
    choice: 'balanced',
    encoder: { fingerprint: training.fingerprint },
    migration: { phase: 'verified', verified: DOCS_POINTS },
  });
  expect([...(await place.store.listCollections())].sort()).toEqual(['docs', result.target]);
  expect(await place.store.count(result.target)).toBe(DOCS_POINTS);
  expect(await contentOf(place.store, 'docs')).toEqual(docs);
  expect((await readdir(place.cwd)).sort()).toEqual([
    '.qdrant-tldr',
    'docs.onnx',
    'docs.onnx.shrink.json',
    'enc.onnx',
  ]);
});
