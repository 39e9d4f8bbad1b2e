import { afterAll, beforeAll, expect } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { WriteJournal } from '../../../src/migrate/dual-write/write-journal.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { forAWhile, Scenario, type ScenarioPlace } from '../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../support/migrate/scenario-fixture.js';
import { startGate, type Relay } from '../../support/serve/relay.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const direct = scenarioPlace();
const DELETION = 'DELETE /collections/held ';

/** Resolves when the deletion of the source has arrived at the gate, which keeps it until `letGo` is called. */
let arrived: Promise<void>;
let letGo: () => void;
let gate: Pick<Relay, 'url' | 'close'>;
let place: ScenarioPlace;

beforeAll(async () => {
  let onArrival: () => void = () => undefined;
  arrived = new Promise((resolve) => (onArrival = resolve));
  const open = new Promise<void>((resolve) => (letGo = resolve));
  gate = await startGate(direct().url, async (bytes) => {
    if (bytes.toString('latin1', 0, DELETION.length) !== DELETION) return;
    onArrival();
    await open;
  });
  place = { ...direct(), url: gate.url };
});

afterAll(() => gate.close());

test('no proxy starts between the check and the deletion of the source', async () => {
  const scenario = await Scenario.make(place, 'held', { faults: false });
  const { folder, source, target, journal } = scenario;
  const migrate = (command: string, ...args: string[]): Promise<CliResult> => {
    const env = { QDRANT_URL: gate.url, QDRANT_TLDR_GRPC_URL: place.grpcUrl };
    return runCli(['migrate', command, source, target, '--json', ...args], { cwd: folder, env });
  };
  await scenario.serve();
  const how = ['--encoder', 'encoder.onnx', '--layout', 'two-stage', '--journal', 'journal', '--yes'];
  expect((await migrate('start', ...how)).code).toBe(0);
  expect((await migrate('cutover', '--by', 'proxy', '--execute')).code).toBe(0);
  expect(await scenario.end()).toBe(0);
  const lives = async (): Promise<boolean> =>
    ((await migrate('status')).json()['journal'] as { living: boolean }).living;
  while (await lives()) await forAWhile(100);

  // A preview lets go of the journal again.
  expect((await migrate('complete', '--delete-source')).code).toBe(0);
  await (await WriteJournal.open(journal)).close();

  const completed = migrate('complete', '--delete-source', '--execute');
  await Promise.race([arrived, completed]);
  await expect(WriteJournal.open(journal)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  const serve = await runCli(['serve', '--config', 'serve.json'], { cwd: folder });
  expect(serve.stderr).toMatch(/another run \(process \d+ on .*\) works on .*writes\.journal/);
  expect(serve.code).toBe(5);
  expect(await place.store.exists(source)).toBe(true);
  letGo();
  const { code, stderr } = await completed;
  expect([code, stderr]).toEqual([0, expect.not.stringContaining('error')]);
  expect(await place.store.exists(source)).toBe(false);
  await (await WriteJournal.open(journal)).close();
  await rm(folder, { recursive: true });
});
