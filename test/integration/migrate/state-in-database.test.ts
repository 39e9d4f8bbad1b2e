import { afterAll, afterEach, beforeAll, expect } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { STATE_COLLECTION } from '../../../adapters/qdrant/transport/collection-names.js';
import type { RunOptions } from '../../../src/core/run-options.js';
import type { StateStore } from '../../../src/store/state-store.js';
import { STATE_BACKEND_KEY } from '../../../src/store/target-description.js';
import { startLocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { stateInDatabase } from '../../../src/migrate/state/in-database.js';
import { Leases } from '../../../src/migrate/state/lease.js';
import { runCli } from '../../support/cli/run-cli.js';
import { contentOf, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const testOnProcess = await testsOn('a process');

const ROWS = 3_000;
const CHILD = fileURLToPath(new URL('../../support/migrate/state-in-database-child.js', import.meta.url));
const ME = `process ${process.pid} on ${hostname()}`;

let at: CliPlace;
let states: StateStore;
let elsewhere: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  at = await openCliPlace('state-in-database');
  elsewhere = await mkdtemp(join(tmpdir(), 'qdrant-tldr-elsewhere-'));
  states = (await openQdrant(at.server)).state;
  await at.rest('PUT', '/collections/source', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(at.store, 'source', ROWS);
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

afterAll(async () => {
  await at.end();
  await rm(elsewhere, { recursive: true });
});

/** The child, once it has copied something; its lines go on. */
async function startChild(target: string): Promise<{ child: ChildProcess; lines: string[] }> {
  const args = [CHILD, at.server.url, at.server.grpcUrl, target, join(at.cwd, 'not-here.onnx')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  const copying = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (lines.filter((one) => one.startsWith('copying')).length === 5) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`ended: ${lines.slice(-3).join('; ')}`)));
  });
  await copying;
  return { child, lines };
}

const content = async (name: string): Promise<string[]> => [
  ...(await contentOf(at.store, name)),
  ...(await contentOf(at.store, name, 'compact')),
];

const sidesOf = (target: string) => ({
  source: at.store,
  target: at.store,
  sourceCollection: 'source',
  targetCollection: target,
  encoder: tinyEncoder(),
  layout: 'two-stage' as const,
});

const entries = (): Promise<number> => at.store.count(STATE_COLLECTION);

test('killed in the copy and resumed from another folder with the encoder alone, the target is whole', async () => {
  const { child } = await startChild('killed');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const env = {
    QDRANT_URL: at.server.url.replace('127.0.0.1', 'localhost'),
    QDRANT_TLDR_GRPC_URL: at.server.grpcUrl,
  };
  const there = (...args: string[]): ReturnType<typeof runCli> =>
    runCli(['migrate', ...args, '--state', 'database', '--json'], { cwd: elsewhere, env });
  const lost = await there('resume', 'source', 'killed', '--yes');
  expect(lost.code).toBe(4);
  expect(lost.stderr).toContain(tinyEncoder().fingerprint);
  const resumed = await there('resume', 'source', 'killed', '--yes', '--encoder', join(at.cwd, 'enc.onnx'));
  expect(resumed.stderr).toContain(`from process ${child.pid} on ${hostname()}`);
  expect(resumed.json()).toMatchObject({ resumed: true, verified: ROWS });
  expect(resumed.json()['copied']).toBeLessThan(ROWS);
  expect(await readdir(elsewhere)).toEqual([]);
  const done = await there('status', 'source', 'killed');
  expect(done.json()).toMatchObject({ phase: 'verified', runner: null, verifiedPoints: ROWS });
  await startMigration({
    ...sidesOf('whole'),
    place: stateInDatabase(states, { source: 'source', target: 'whole' }),
  });
  expect(await content('killed')).toEqual(await content('whole'));
});

test('a second runner is refused while the first gives signs of life, and takes over once it does not', async () => {
  const { child, lines } = await startChild('taken');
  const first = `process ${child.pid} on ${hostname()}`;
  const told: string[] = [];
  const log: RunOptions['log'] = (level, message) => {
    if (level === 'warn') told.push(message);
  };
  const placeOf = (silenceMsMax: number): ReturnType<typeof stateInDatabase> =>
    stateInDatabase(states, { source: 'source', target: 'taken' }, { silenceMsMax, log });
  const place = placeOf(1_000);
  await expect(startMigration({ ...sidesOf('taken'), place: placeOf(300_000) })).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
    message: expect.stringContaining(first),
  });
  expect(child.exitCode).toBeNull();
  child.kill('SIGSTOP');
  const { verify, resumed } = await startMigration({ ...sidesOf('taken'), place });
  expect({ points: verify.points, resumed }).toEqual({ points: ROWS, resumed: true });
  expect(told).toContainEqual(expect.stringContaining(`over from ${first}, which held it since 20`));
  const before = await content('taken');
  child.kill('SIGCONT');
  await once(child, 'exit');
  expect(lines.at(-1)).toMatch(
    /^ALREADY_EXISTS another run took .* over because this run had not renewed its lease/,
  );
  expect(await content('taken')).toEqual(before);
  const status = await migrationStatus({ source: at.store, target: at.store, place });
  expect(status).toMatchObject({ phase: 'verified', verifiedPoints: ROWS, runner: null });
});

test('of many at once one gets the lease, and a loser that held it before can write nothing', async () => {
  const takers = Array.from({ length: 10 }, () => new Leases(states, { renewMs: 50, silenceMsMax: 3_000 }));
  const round = async (): Promise<number> => {
    const taken = await Promise.allSettled(takers.map((leases) => leases.take('race', { about: 'a race' })));
    const won = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    await won[0]?.write({ record: 'by the winner' });
    expect(await takers[0]?.holder('race')).toBe(ME);
    for (const lease of won) await lease.stop();
    return won.length;
  };
  expect(await round()).toBe(1);
  // Silent since: again one takes it over, and what the other still had to say is refused.
  const old = await new Leases(states, { silenceMsMax: 600 }).take('race', {});
  await old.stop();
  expect(await round()).toBe(1);
  await expect(old.write({ record: 'too late' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(old.signal.aborted).toBe(true);
  expect(await states.read('race', ['record'])).toEqual({ record: 'by the winner' });
  await states.remove('race', {});
});

testOnProcess('a holder that cannot reach its server keeps its lease: nobody else can either', async () => {
  const server = await startLocalQdrant();
  try {
    const store = (await openQdrant(server)).state;
    const lease = await new Leases(store, { renewMs: 200 }).take('held', {});
    const watching = new Leases(store, { silenceMsMax: 3_000 });
    process.kill(server.pid, 'SIGSTOP');
    const seen = watching.holder('held');
    setTimeout(() => process.kill(server.pid, 'SIGCONT'), 5_000);
    expect(await seen).toBe(ME);
    await lease.write({ record: 'still mine' });
    await lease.stop();
    expect(await watching.holder('held')).toBeNull();
  } finally {
    process.kill(server.pid, 'SIGCONT');
    await server.stop();
  }
});

test('an entry that does not say who holds it is damaged, and nobody takes it', async () => {
  await states.create('damaged', { holder: 'someone' });
  const leases = new Leases(states, {});
  const message = expect.stringContaining('does not say who works on it');
  await expect(leases.take('damaged', {})).rejects.toMatchObject({ code: 'INVALID_DATA', message });
  await states.remove('damaged', {});
});

test('the store changes under its conditions only, keeps texts as they are and leaves nothing behind', async () => {
  const before = (await at.store.listCollections()).includes(STATE_COLLECTION) ? await entries() : 0;
  const text = '{"cursor":18446744073709551615,"one":1.0}';
  await states.create('key', { holder: 'a', beat: '1', record: text });
  await states.create('key', { holder: 'b', beat: '1' });
  await states.change('key', { beat: '2' }, { holder: 'b' });
  await states.change('key', { beat: '3' }, { holder: 'a', beat: '2' });
  expect(await states.read('key')).toEqual({ holder: 'a', beat: '1', record: text });
  await states.change('key', { beat: '2' }, { holder: 'a', beat: '1' });
  expect(await states.read('key', ['beat'])).toEqual({ beat: '2' });
  await states.remove('key', { holder: 'b' });
  await states.change('none', { beat: '2' }, {});
  expect(await entries()).toBe(before + 1);
  await states.remove('key', { holder: 'a' });
  expect(await states.read('key')).toBeNull();
  expect((await at.store.listCollections()).includes(STATE_COLLECTION)).toBe(before > 0);
});

test('every command works by a state in the server, and abort removes what was written', async () => {
  const cli = (...args: string[]): ReturnType<CliPlace['cli']> =>
    at.cli('migrate', ...args, '--state', 'qdrant', '--json');
  const start = ['start', 'source', 'by-cli', '--encoder', 'enc.onnx', '--layout', 'two-stage'];
  const listed = await at.store.listCollections();
  expect((await cli(...start, '--dry-run')).code).toBe(0);
  expect(await at.store.listCollections()).toEqual(listed);
  const [one, two] = await Promise.all(['1/2', '2/2'].map((i) => cli(...start, '--yes', '--worker', i)));
  expect([one?.code, two?.code]).toEqual([0, 0]);
  const results = [one?.json(), two?.json()];
  expect(results.filter((result) => result?.['verified'] === ROWS)).toHaveLength(1);
  const pair = ['source', 'by-cli'];
  expect((await cli('tune', ...pair, '--nice', '0.5')).json()).toEqual({ maxLoad: null, nice: 0.5 });
  expect((await cli('pause', ...pair)).json()).toMatchObject({ stopped: true });
  expect((await cli('verify', ...pair)).code).toBe(130);
  expect((await cli('resume', ...pair, '--yes')).code).toBe(0);
  expect((await cli('verify', ...pair)).code).toBe(0);
  expect((await cli('status', ...pair)).json()).toMatchObject({
    phase: 'verified',
    paused: false,
    tuning: { nice: 0.5 },
    workers: [],
  });
  expect((await cli('cutover', ...pair, '--alias', 'clients', '--execute')).code).toBe(0);
  expect((await cli('abort', ...pair, '--execute')).code).toBe(5);
  expect((await cli('rollback', ...pair, '--execute')).code).toBe(0);
  expect((await cli('abort', ...pair, '--execute')).code).toBe(0);
  expect(await at.store.listCollections()).not.toContain('by-cli');
  expect((await cli('status', ...pair)).code).toBe(4);
  expect((await cli(...start, '--yes')).code).toBe(0);
  expect((await cli('cutover', ...pair, '--alias', 'clients', '--execute')).code).toBe(0);
  expect((await cli('complete', ...pair)).code).toBe(0);
  expect((await cli('status', ...pair)).json()).toMatchObject({ completed: true, runner: null });
  expect(await readdir(at.cwd)).toEqual(['enc.onnx']);
});

test('a migration recorded in a file is not gone on with by the server, nor the other way round', async () => {
  const start = (target: string, ...args: string[]): ReturnType<CliPlace['cli']> =>
    at.cli(
      'migrate',
      'start',
      'source',
      target,
      '--encoder',
      'enc.onnx',
      '--layout',
      'compact',
      '--yes',
      ...args,
    );
  expect((await start('in-file', '--record', 'one.json')).code).toBe(0);
  expect((await start('in-server', '--state', 'database')).code).toBe(0);
  const before = await entries();
  const byServer = await start('in-file', '--state', 'database');
  expect(byServer.stderr).toContain('whose metadata says that the state is in a file');
  expect(byServer.code).toBe(9);
  expect(await entries()).toBe(before);
  const byFile = await start('in-server', '--record', 'two.json');
  expect(byFile.stderr).toContain('whose metadata says that the state is in the database');
  expect(byFile.code).toBe(9);
  expect((await readdir(at.cwd)).sort()).toEqual(['enc.onnx', 'one.json']);
  // Both go on by their own, and one that was lost is begun again where it was.
  expect((await start('in-server', '--state', 'database')).code).toBe(0);
  await rm(join(at.cwd, 'one.json'));
  expect((await start('in-file', '--record', 'other.json')).code).toBe(0);
  // As older versions made them: nothing says where the state is.
  const { metadata } = await at.store.describe('in-file');
  expect(metadata[STATE_BACKEND_KEY]).toBe('"file"');
  await at.store.setMetadata('in-file', { [STATE_BACKEND_KEY]: 'null' });
  expect((await start('in-file', '--state', 'database')).code).toBe(0);
  await rm(join(at.cwd, 'other.json'));
});

test('the collection of states is neither migrated nor served, and a state has one place', async () => {
  for (const pair of [
    [STATE_COLLECTION, 'x'],
    ['source', STATE_COLLECTION],
  ]) {
    const refused = await at.cli('migrate', ...pair, '--encoder', 'enc.onnx', '--yes');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('states of migrations');
  }
  const served = await at.cli(
    'serve',
    '--collection',
    'x',
    '--target',
    STATE_COLLECTION,
    '--encoder',
    'enc.onnx',
  );
  expect(served.code).toBe(2);
  expect(served.stderr).toContain('is not served');
  const both = await at.cli('migrate', 'status', 'source', 'x', '--state', 'database', '--record', 'r.json');
  expect(both.code).toBe(2);
  await at.rest('DELETE', `/collections/${STATE_COLLECTION}`, {});
  await at.rest('PUT', `/collections/${STATE_COLLECTION}`, { vectors: { size: 4, distance: 'Dot' } });
  const args = ['source', 'x', '--encoder', 'enc.onnx', '--yes', '--state', 'database'];
  const foreign = await at.cli('migrate', 'start', ...args);
  expect(foreign.code).toBe(5);
  expect(foreign.stderr).toContain('was not made for migration states');
  await at.rest('DELETE', `/collections/${STATE_COLLECTION}`, {});
});
