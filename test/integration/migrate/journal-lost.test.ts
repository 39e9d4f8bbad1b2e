import { expect } from '@jest/globals';
import { copyFile, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JOURNAL_KEY } from '../../../src/store/target-description.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { DIM } from '../../support/migrate/fixtures.js';
import { forAWhile, Scenario } from '../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../support/migrate/scenario-fixture.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
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

/** Whether the proxy's last report is as new as one of a living proxy. */
async function livesStill(scenario: Scenario): Promise<boolean> {
  const status = await migrate(scenario, 'status');
  return (status.json()['journal'] as { living: boolean }).living;
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

test('the source is not deleted where the journal is gone with writes open', async () => {
  const scenario = await Scenario.make(place(), 'open', { faults: false });
  await scenario.serve();
  expect((await migrate(scenario, 'start', ...START)).code).toBe(0);
  expect((await migrate(scenario, 'cutover', '--by', 'proxy', '--execute')).code).toBe(0);
  const write = async (url: string, method: string, path: string, body: string): Promise<number> => {
    const init = { method, headers: { 'content-type': 'application/json' }, body };
    return (await fetchOnce(`${url}/collections/${scenario.source}/points${path}?wait=true`, init)).status;
  };
  // A vector that no target takes, written past the proxy: what touches these points stays open.
  const vector = `[1e39${',1'.repeat(DIM - 1)}]`;
  for (const id of [4, 7, 10]) {
    const points = `{"points":[{"id":${id},"vector":${vector}}]}`;
    expect(await write(place().directUrl, 'PUT', '', points)).toBe(200);
    expect(await write(scenario.rest, 'POST', '/payload', `{"points":[${id}],"payload":{"f":2}}`)).toBe(503);
  }
  await scenario.kill();
  while (await livesStill(scenario)) await forAWhile(100);
  const complete = (...how: string[]): Promise<CliResult> =>
    migrate(scenario, 'complete', '--delete-source', '--execute', ...how);
  const open = await complete();
  expect(open.stderr).toContain('3 writes in the journal');
  expect(open.code).toBe(10);

  await rm(join(scenario.journal, 'writes.journal'));
  // What the first command finds it leaves as it is: the second must not find a new journal.
  for (const how of [[], [], ['--without-cutover']]) {
    const refused = await complete(...how);
    expect(refused.stderr).toMatch(
      /the journal .*writes\.journal is missing, but .*the migration state names it/,
    );
    expect(refused.stderr).toContain('the target may lack some of them');
    expect(refused.stderr).toContain('deleting the source would lose these for good');
    expect(refused.code).toBe(3);
    expect(await place().store.exists(scenario.source)).toBe(true);
  }
  expect(await readdir(scenario.journal)).not.toContain('writes.journal');
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
    for (const name of [source, target]) await place().store.drop(name);
  }
});
