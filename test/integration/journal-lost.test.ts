import { expect } from '@jest/globals';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JOURNAL_KEY } from '../../src/core/target-description.js';
import { runCli, type CliResult } from '../cli/run-cli.js';
import { Scenario } from './migrating-scenario.js';
import { scenarioPlace } from './scenario-place.js';
import { testsOn } from './test-server.js';

const test = await testsOn('any');
const place = scenarioPlace();
const START = ['--encoder', 'encoder.onnx', '--layout', 'two-stage', '--journal', 'journal', '--yes'];

function migrate(
  { folder, source, target }: Scenario,
  command: string,
  ...args: string[]
): Promise<CliResult> {
  const env = { QDRANT_URL: place().url, QDRANT_TLDR_GRPC_URL: place().grpcUrl };
  return runCli(['migrate', command, source, target, '--json', ...args], { cwd: folder, env });
}

test('serve does not begin a new journal where the folder of the old one is gone', async () => {
  const scenario = await Scenario.make(place(), 'gone', { faults: false });
  await scenario.serve();
  expect((await migrate(scenario, 'start', ...START)).code).toBe(0);
  expect((await place().store.describe(scenario.target)).metadata[JOURNAL_KEY]).toBe('true');
  await scenario.kill();
  const elsewhere = join(scenario.folder, 'elsewhere');
  await rename(scenario.journal, elsewhere);

  const refused = await runCli(['serve', '--config', 'serve.json'], { cwd: scenario.folder });
  expect(refused.stderr).toContain('the metadata of gone_2s says that writes are journalled for it');
  expect(refused.stderr).toContain('deleting the source would lose these for good');
  expect(refused.code).toBe(3);
  expect(await readdir(scenario.folder)).not.toContain('journal');

  // The journal that was put back serves again.
  await rename(elsewhere, scenario.journal);
  await scenario.serve();
  await scenario.reported(({ state, caughtUp }) => state === 'copied' && caughtUp);
  await scenario.kill();

  // So does a new one, once the target is given up.
  await rm(scenario.journal, { recursive: true });
  expect((await migrate(scenario, 'abort', '--execute')).code).toBe(0);
  await scenario.serve();
  await scenario.reported(({ state }) => state === 'waiting');
  expect(await scenario.end()).toBe(0);
  await rm(scenario.folder, { recursive: true });
});
