import { afterAll, beforeAll, expect } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { CliPlace } from '../../support/cli/cli-on-test-server.js';
import { runInTerminal, type TerminalRun } from '../../support/cli/run-in-terminal.js';
import { openShrinkPlace, SMALL } from '../../support/shrink/shrink-place.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const MAIN = resolve('dist/src/cli/main.js');
const CTRL_C = '\x03';
const DOWN = '\x1b[B';
const ENTER = '\r';
let place: CliPlace;

beforeAll(async () => {
  place = await openShrinkPlace('shrink-terminal');
});
afterAll(() => place.end());

function shrink(flags: readonly string[], typeOn: RegExp, keys: string): Promise<TerminalRun> {
  const { url, grpcUrl } = place.server;
  return runInTerminal([process.execPath, MAIN, 'shrink', 'docs', ...SMALL, ...flags], {
    columns: 160,
    cwd: place.cwd,
    env: { QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl },
    typeOn,
    keys,
  });
}

async function stateNow(): Promise<{ choice: string | null; sizing: object | null; target: string }> {
  const text = await readFile(join(place.cwd, 'docs.onnx.shrink.json'), 'utf8');
  return JSON.parse(text) as { choice: string | null; sizing: object | null; target: string };
}

const aliases = async (): Promise<unknown> => [...(await place.store.names.all())];

test('the proposals are a question, which arrow keys answer; the alias is asked about, and stays by default', async () => {
  const refused = await shrink([], /\[y\/N\]/, 'n\r');
  expect(refused).toMatchObject({ code: 130 });
  expect(await place.store.listCollections()).toEqual(['docs']);

  const stopped = await shrink(['--yes'], /Which one\?/, CTRL_C);
  expect(stopped).toMatchObject({ code: 130 });
  expect(stopped.lines.join('\n')).toMatch(
    /qdrant-tldr shrink docs --budget 1s --deterministic --sample 400 --yes$/,
  );
  expect(await stateNow()).toMatchObject({ choice: null, sizing: expect.anything() });

  const chosen = await shrink(['--yes'], /Which one\?/, DOWN + ENTER);
  expect(chosen).toMatchObject({ code: 0 });
  expect(chosen.lines.join('\n')).toContain('measured by an earlier run');
  // The line above the progress of a step counts the steps of the whole run.
  const drawn = chosen.frames.map((lines) => lines.join('\n')).join('\n');
  expect(drawn).toMatch(/^step [4-6] of 7(, about .* left)?$/m);
  expect(drawn).not.toMatch(/^step \d of (?!7)/m);
  const { choice, target } = await stateNow();
  expect(choice).toBe('smallest');
  expect(await aliases()).toEqual([['search', 'docs']]);

  const kept = await shrink([], /Let the alias "search" lead/, ENTER);
  expect(kept).toMatchObject({ code: 0 });
  expect(await aliases()).toEqual([['search', 'docs']]);

  const switched = await shrink([], /Let the alias "search" lead/, 'y');
  expect(switched).toMatchObject({ code: 0 });
  expect(await aliases()).toEqual([['search', target]]);
});
