import { expect } from '@jest/globals';
import { copyFile, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JOURNAL_KEY } from '../../../src/store/target-description.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { Scenario } from '../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../support/migrate/scenario-place.js';
import { testsOn } from '../../support/server/test-server.js';

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

test.each(['cut short', 'that of another migration'])('a journal that is %s is refused', async (how) => {
  const [one, other] = [
    await Scenario.make(place(), 'own', { faults: false }),
    await Scenario.make(place(), 'theirs', { faults: false }),
  ];
  for (const scenario of [one, other]) {
    await scenario.serve();
    expect((await migrate(scenario, 'start', ...START)).code).toBe(0);
    await scenario.kill();
  }
  const file = join(one.journal, 'writes.journal');
  const whole = await readFile(file);
  if (how === 'cut short') await truncate(file, 8);
  else await copyFile(join(other.journal, 'writes.journal'), file);
  const refused = await runCli(['serve', '--config', 'serve.json'], { cwd: one.folder });
  expect(refused.stderr).toContain('deleting the source would lose these for good');
  expect(refused.code).toBe(3);
  // Until then the proxy that was killed counts as one that lives.
  const journal = async (): Promise<{ living: boolean }> =>
    (await migrate(one, 'status')).json()['journal'] as { living: boolean };
  while ((await journal()).living) await sleep(100);
  const forced = ['--without-cutover', '--delete-source', '--execute', '--yes'];
  expect((await migrate(one, 'complete', ...forced)).code).toBe(3);
  expect(await place().store.exists(one.source)).toBe(true);
  await writeFile(file, whole);
  await one.serve();
  await one.reported(({ state, caughtUp }) => state === 'copied' && caughtUp);
  expect(await one.end()).toBe(0);
  for (const { folder, source, target } of [one, other]) {
    await rm(folder, { recursive: true });
    for (const name of [source, target]) await place().store.deleteCollection(name);
  }
});
