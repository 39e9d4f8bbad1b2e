import { describe, expect } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readDesiredState } from '../../../src/migrate/dual-write/proxy-state-files.js';
import { migrationStatus, type MigrationStatus } from '../../../src/migrate/run/migration-status.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { FORCE_BACK_WORDS } from '../../../src/migrate/cutover/force-words.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { DIM, idAt, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { forAWhile, Scenario } from '../../support/migrate/migrating-scenario.js';
import { scenarioPlace } from '../../support/migrate/scenario-fixture.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const WAIT_MS = 300_000;

const place = scenarioPlace();
const env = (): Record<string, string> => ({
  QDRANT_URL: place().url,
  QDRANT_TLDR_GRPC_URL: place().grpcUrl,
});

type Migrate = (command: string, ...args: string[]) => Promise<CliResult>;

const START = ['--encoder', 'encoder.onnx', '--layout', 'two-stage', '--journal', 'journal', '--yes'];

/** The commands of a scenario's migration, as a person gives them. */
function commandsOf({ folder, source, target }: Scenario): Migrate {
  return (command, ...args) =>
    runCli(['migrate', command, source, target, '--json', ...args], { cwd: folder, env: env() });
}

/** A command that is expected to succeed. */
async function done(result: Promise<CliResult>): Promise<Record<string, unknown>> {
  const { code, stderr, json } = await result;
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return json();
}

async function refused(result: Promise<CliResult>, code: number, words: string): Promise<void> {
  const ended = await result;
  expect(ended.stderr).toContain(words);
  expect(ended.code).toBe(code);
}

const statusOf = async (migrate: Migrate): Promise<MigrationStatus> =>
  (await done(migrate('status'))) as unknown as MigrationStatus;

async function until(happened: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await happened())) {
    if (performance.now() > endMs) throw new Error('it did not come to that in time');
    await forAWhile(20);
  }
}

/** Runs a command and kills it with -9 once something has happened. */
async function killedWhen(
  { folder, source, target }: Scenario,
  args: readonly string[],
  happened: () => Promise<boolean>,
): Promise<void> {
  const [command = '', ...flags] = args;
  const child = spawn(process.execPath, [MAIN, 'migrate', command, source, target, ...flags], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', ...env() },
    stdio: 'ignore',
  });
  place().running.add(child);
  const ended = new Promise((resolve) => child.once('close', (_code, signal) => resolve(signal)));
  await until(happened);
  child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
  place().running.delete(child);
}

const processOf = (): ChildProcess => {
  const [child] = place().running;
  if (child === undefined) throw new Error('no proxy runs');
  return child;
};

async function killProxy(): Promise<void> {
  const child = processOf();
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
}

const there = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const recordOf = ({ folder, source, target }: Scenario): string =>
  join(folder, '.qdrant-tldr', `${source}--${target}.json`);

/** Waits for what `migrate status` says of the proxy; to start the command again and again would keep the machine busy. */
async function untilLiving(scenario: Scenario, living: boolean): Promise<void> {
  const { store } = place();
  const migration = { source: store, target: store, place: stateFile(recordOf(scenario)) };
  await until(async () => (await migrationStatus(migration)).journal?.living === living);
}

async function recorded(scenario: Scenario): Promise<{ phase?: string; copied: number }> {
  const text = await readFile(recordOf(scenario), 'utf8').catch(() => '{"ranges":[]}');
  const { phase, ranges } = JSON.parse(text) as { phase?: string; ranges: { points: number }[] };
  const copied = ranges.reduce((sum, { points }) => sum + points, 0);
  return { ...(phase === undefined ? {} : { phase }), copied };
}

async function endsEqual(scenario: Scenario): Promise<void> {
  await scenario.stop();
  await scenario.reported(({ open }) => open === 0);
  expect(scenario.failures).toEqual([]);
  expect(await scenario.differences()).toEqual([]);
}

/** Serves by another configuration from now on. */
async function serveBy(scenario: Scenario, collections: unknown): Promise<void> {
  const path = join(scenario.folder, 'serve.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...config, collections }));
  await scenario.serve();
}

/** Serves by what `complete` said, and searches as before. */
async function endWithPlainEntry(scenario: Scenario, collections: unknown): Promise<void> {
  await serveBy(scenario, collections);
  const found = await fetchOnce(`${scenario.rest}/collections/${scenario.source}/points/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: Array(DIM).fill(1), limit: 3 }),
  });
  expect(((await found.json()) as { result: { points: unknown[] } }).result.points).toHaveLength(3);
  expect(await scenario.end()).toBe(0);
}

describe('a migration whose writes go through the proxy', () => {
  test('start, cut-over, the way back, cut-over and end under load: nothing fails, nothing differs', async () => {
    const scenario = await Scenario.make(place(), 'whole', { faults: false });
    const migrate = commandsOf(scenario);
    await scenario.serve();
    scenario.begin(11);
    expect(await done(migrate('start', ...START, '--dry-run'))).toMatchObject({ dryRun: true });
    await done(migrate('start', ...START, '--batch-size', '16'));
    expect(await statusOf(migrate)).toMatchObject({
      phase: 'verified',
      journal: {
        folder: scenario.journal,
        living: true,
        wanted: { state: 'copied', side: 'source' },
        report: { state: 'copied', side: 'source', caughtUp: true },
      },
      next: '`migrate cutover --by proxy`',
    });
    const dry = await done(migrate('cutover', '--by', 'proxy'));
    expect(dry).toMatchObject({ dryRun: true, form: 'proxy', from: scenario.source, to: scenario.target });
    expect((await readDesiredState(scenario.journal)).side).toBe('source');
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    expect(await done(migrate('verify'))).toMatchObject({ ok: true, countsCompared: false });
    await done(migrate('rollback', '--execute'));
    await scenario.moreWrites(60);
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    await refused(migrate('complete', '--delete-source', '--execute'), 2, 'while a proxy writes to it');
    const { collections } = await done(migrate('complete'));
    await scenario.moreWrites(60);
    await endsEqual(scenario);
    expect(scenario.writes).toBeGreaterThan(100);
    expect(await scenario.end()).toBe(0);
    await refused(migrate('rollback', '--execute'), 2, 'the migration is complete');
    await endWithPlainEntry(scenario, collections);
    expect(await done(migrate('complete', '--delete-source', '--execute'))).toMatchObject({ deleted: true });
    expect(await place().store.exists(scenario.source)).toBe(false);
    await rm(scenario.folder, { recursive: true });
  });

  test('where an entry without "migrating" may have written to the target alone, the way back needs words', async () => {
    const scenario = await Scenario.make(place(), 'replaced', { faults: false });
    const migrate = commandsOf(scenario);
    const { source, target } = scenario;
    const has = async (collection: string, id: number): Promise<boolean> =>
      (await fetchOnce(`${place().directUrl}/collections/${collection}/points/${id}`)).ok;
    const insert = async (id: number): Promise<void> => {
      const points = [{ id, vector: Array(DIM).fill(1) }];
      const answer = await fetchOnce(`${scenario.rest}/collections/${source}/points?wait=true`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ points }),
      });
      expect(answer.status).toBe(200);
    };
    await scenario.serve();
    await done(migrate('start', ...START));
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    await insert(7_000_001);
    expect(await scenario.end()).toBe(0);
    await refused(migrate('rollback'), 2, `writes made to ${target} since 20`);

    // As it tells: nobody wrote there, so the proxy is started again.
    await scenario.serve();
    await scenario.reported(({ side }) => side === 'target');
    expect(await done(migrate('rollback', '--execute'))).toMatchObject({ proxyLives: true });
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    expect(await scenario.end()).toBe(0);

    const { collections } = JSON.parse(await readFile(join(scenario.folder, 'serve.json'), 'utf8')) as {
      collections: unknown;
    };
    await serveBy(scenario, { [source]: { target, encoder: 'encoder.onnx' } });
    await insert(7_000_002);
    expect(await scenario.end()).toBe(0);
    await refused(migrate('rollback', '--execute'), 2, 'was ended: writes made');
    await refused(migrate('rollback', '--execute', '--force', 'yes'), 2, '--force takes these words');
    expect((await readDesiredState(scenario.journal)).side).toBe('target');
    const forced = migrate('rollback', '--execute', '--force', FORCE_BACK_WORDS);
    expect(await done(forced)).toMatchObject({ to: source, proxyLives: false });
    expect((await readDesiredState(scenario.journal)).side).toBe('source');
    await serveBy(scenario, collections);
    await scenario.reported(({ side, caughtUp }) => side === 'source' && caughtUp);
    const there = await Promise.all(
      [7_000_001, 7_000_002].map(async (id) => [await has(source, id), await has(target, id)]),
    );
    expect(there).toEqual([
      [true, true],
      [false, true],
    ]);
    await refused(migrate('verify'), 10, 'point 7000002');
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });

  test('killed with -9 during the copy, the wait for the proxy and the cut-over, it goes on', async () => {
    const scenario = await Scenario.make(place(), 'killed', { faults: false });
    const migrate = commandsOf(scenario);
    await scenario.serve();
    const proxy = processOf();
    scenario.begin(12);
    const slowly = ['start', ...START, '--batch-size', '8', '--nice', '20'];
    await killedWhen(scenario, slowly, async () => {
      const { phase, copied } = await recorded(scenario);
      return phase === 'copying' && copied > 0;
    });
    await migrate('tune', '--nice', '0');
    // A proxy that stands still lets the wait for it last.
    await killedWhen(scenario, ['resume', '--yes', '--batch-size', '8'], async () => {
      const { state } = await readDesiredState(scenario.journal);
      if ((await recorded(scenario)).phase === 'finishing') proxy.kill('SIGSTOP');
      return state === 'copied';
    });
    proxy.kill('SIGCONT');
    expect(await done(migrate('resume', '--yes'))).toMatchObject({ resumed: true });
    await untilLiving(scenario, true);
    await killedWhen(scenario, ['cutover', '--by', 'proxy', '--execute'], async () => {
      const { side } = await readDesiredState(scenario.journal);
      return side === 'target';
    });
    const { cutOver } = await statusOf(migrate);
    expect(cutOver?.state === 'begun' || cutOver?.state === 'done').toBe(true);
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    expect(await statusOf(migrate)).toMatchObject({ cutOver: { state: 'done', form: 'proxy' } });
    await endsEqual(scenario);
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });

  test('without a living proxy nothing begins; a cut-over that takes too long is taken back', async () => {
    const scenario = await Scenario.make(place(), 'dead', { faults: true });
    const migrate = commandsOf(scenario);
    await refused(migrate('start', ...START), 8, 'no proxy mirrors the writes to dead');
    expect(await there(recordOf(scenario))).toBe(false);
    expect(await place().store.exists(scenario.target)).toBe(false);
    await scenario.serve();
    await scenario.reported(() => true);
    await tinyEncoder(2).save(join(scenario.folder, 'other.onnx'));
    const other = START.map((flag) => (flag === 'encoder.onnx' ? 'other.onnx' : flag));
    await refused(migrate('start', ...other), 9, 'its encoder is');
    scenario.begin(13);
    await done(migrate('start', ...START));

    processOf().kill('SIGSTOP');
    await refused(
      migrate('cutover', '--by', 'proxy', '--execute', '--wait-max', '1s'),
      8,
      'the plan is set back to the source',
    );
    processOf().kill('SIGCONT');
    expect(await readDesiredState(scenario.journal)).toEqual({ state: 'copied', side: 'source' });
    await untilLiving(scenario, true);
    expect(await statusOf(migrate)).toMatchObject({ cutOver: null, journal: { report: { side: 'source' } } });
    await done(migrate('cutover', '--by', 'proxy', '--execute'));

    await killProxy();
    expect(await done(migrate('rollback', '--execute'))).toMatchObject({ dryRun: false, proxyLives: false });
    expect((await statusOf(migrate)).next).toContain('run `serve`');
    await refused(migrate('cutover', '--by', 'proxy', '--execute'), 8, 'no proxy mirrors');
    await scenario.serve();
    await scenario.reported(
      ({ side, state, caughtUp }) => side === 'source' && state === 'copied' && caughtUp,
    );
    await endsEqual(scenario);
    await killProxy();
    expect(await done(migrate('abort', '--execute'))).toMatchObject({ targetExists: true });
    expect(await place().store.exists(scenario.target)).toBe(false);
    expect(await readDesiredState(scenario.journal)).toEqual({ state: 'waiting', side: 'source' });

    // The same names again, by the proxy that is told to wait.
    await scenario.serve();
    await scenario.reported(({ state }) => state === 'waiting');
    await done(migrate('start', ...START));
    await scenario.reported(({ open }) => open === 0);
    expect(await scenario.differences()).toEqual([]);

    // What differs for good is found and repaired: here what somebody did past the proxy.
    await place().store.remove(scenario.target, [idAt(1)]);
    await refused(migrate('verify'), 10, 'point 1 is missing in the target');
    await refused(migrate('cutover', '--by', 'proxy', '--execute'), 10, 'it was found to differ');
    await done(migrate('resume', '--yes'));
    expect(await scenario.differences()).toEqual([]);
    expect(await done(migrate('abort', '--execute'))).toMatchObject({ targetExists: true });
    expect(await scenario.end()).toBe(0);
    await rm(scenario.folder, { recursive: true });
  });

  test('a proxy that lives and does not report keeps the source from being deleted', async () => {
    const scenario = await Scenario.make(place(), 'silent', { faults: false });
    const migrate = commandsOf(scenario);
    const forGood = ['--delete-source', '--execute'];
    await scenario.serve();
    await done(migrate('start', ...START));
    await done(migrate('cutover', '--by', 'proxy', '--execute'));
    processOf().kill('SIGSTOP');
    await untilLiving(scenario, false);
    const stopIt = `another run (process ${processOf().pid} on ${hostname()}) works on`;
    await refused(migrate('complete', ...forGood), 5, stopIt);
    await refused(migrate('complete', ...forGood, '--without-cutover'), 5, stopIt);
    expect(await place().store.exists(scenario.source)).toBe(true);
    processOf().kill('SIGCONT');
    await untilLiving(scenario, true);
    expect(await statusOf(migrate)).toMatchObject({ completed: false });
    await scenario.reported(({ open }) => open === 0);
    expect(await scenario.differences()).toEqual([]);
    await killProxy();
    await untilLiving(scenario, false);
    expect(await done(migrate('complete', ...forGood))).toMatchObject({ deleted: true });
    expect(await place().store.exists(scenario.source)).toBe(false);
    await rm(scenario.folder, { recursive: true });
  });
});
