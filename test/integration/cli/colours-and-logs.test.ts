import { afterAll, beforeAll, expect } from '@jest/globals';
import { resolve } from 'node:path';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { runInTerminal, type TerminalRun } from '../../support/cli/run-in-terminal.js';
import { tinyEncoder } from '../../support/migrate/fixtures.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const GREEN = '\x1b[32m';
const RED = '\x1b[31m';
const STYLE = new RegExp(String.raw`${'\x1b'}\[\d+m`);
let place: CliPlace;

beforeAll(async () => {
  place = await openCliPlace('colours');
  const size = tinyEncoder().inputDim;
  await place.rest('PUT', '/collections/docs', { vectors: { size, distance: 'Cosine' } });
  const points = Array.from({ length: 20 }, (_, id) => ({
    id,
    vector: Array.from({ length: size }, (_value, j) => Math.cos(id * j + 1)),
  }));
  await place.rest('PUT', '/collections/docs/points?wait=true', { points });
});

afterAll(() => place.end());

const migrate = (target: string): string[] => [
  'migrate',
  'start',
  'docs',
  target,
  '--encoder',
  'enc.onnx',
  '--layout',
  'compact',
  '--yes',
  '--log-level',
  'info',
];

function onTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<TerminalRun> {
  const { url, grpcUrl } = place.server;
  const command = [process.execPath, resolve('dist/src/cli/main.js'), ...args];
  const addresses = { QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl };
  return runInTerminal(command, { columns: 100, cwd: place.cwd, env: { ...addresses, ...env } });
}

test('a terminal gets a coloured verdict and logs for people', async () => {
  const { code, raw, lines } = await onTerminal(migrate('coloured'));
  expect(code).toBe(0);
  expect(raw).toContain(`${GREEN}verified all 20 points`);
  expect(lines).toContainEqual(expect.stringMatching(/^\[\d\d:\d\d:\d\d\] INFO: /));
  expect(raw).not.toContain('{"level"');
});

test('with NO_COLOR a terminal gets the same without colours', async () => {
  const { code, raw, lines } = await onTerminal(migrate('plain'), { NO_COLOR: '1' });
  expect(code).toBe(0);
  expect(raw).toContain('verified all 20 points');
  expect(lines).toContainEqual(expect.stringMatching(/^\[\d\d:\d\d:\d\d\] INFO: /));
  expect(raw).not.toMatch(STYLE);
});

test('a pipe gets no colours, and logs as lines of JSON', async () => {
  const { code, stdout, stderr } = await place.cli(...migrate('piped'));
  expect(code).toBe(0);
  expect(stdout).toContain('verified all 20 points');
  expect(stdout + stderr).not.toMatch(STYLE);
  const logged = stderr.split('\n').filter((line) => line.startsWith('{'));
  expect(logged.length).toBeGreaterThan(0);
  for (const line of logged) expect(JSON.parse(line)).toHaveProperty('level');
});

test('an error is marked on a terminal, and plain elsewhere', async () => {
  const args = ['inspect', 'nothing of this name'];
  expect((await onTerminal(args)).raw).toContain(`${RED}error:`);
  expect((await place.cli(...args)).stderr).toMatch(/^error: /);
});
