import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../adapters/memory/store.js';
import type { MemoryStore } from '../../adapters/memory/index.js';
import { cutOver, type CutOverRequest } from '../../src/migrate/cutover/cut-over-by-alias.js';
import { FORCE_WORDS } from '../../src/migrate/cutover/force-words.js';
import {
  abortMigration,
  completeMigration,
  pauseMigration,
} from '../../src/migrate/cutover/end-migration.js';
import { startMigration } from '../../src/migrate/run/migrate-collection.js';
import type { PlacedMigration } from '../../src/migrate/plan/migration-options.js';
import type { MigrationHook } from '../../src/migrate/plan/migration-events.js';
import { migrationStatus } from '../../src/migrate/run/migration-status.js';
import { stateFile } from '../../src/migrate/state/in-file.js';
import type { StateLocation } from '../../src/migrate/state/location.js';
import { rollBack } from '../../src/migrate/cutover/roll-back.js';
import { verifyAgain, type VerifyRequest } from '../../src/migrate/verify/from-state.js';
import { contentOf, fill, idAt, memorySpec, tinyEncoder } from '../support/migrate/fixtures.js';

const ROWS = 200;
const encoder = tinyEncoder();
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-phases-'));
afterAll(() => rm(folder, { recursive: true }));

let store: MemoryStore;
let place: StateLocation;
let path: string;
let states = 0;

beforeEach(async () => {
  path = join(folder, `state-${states++}.json`);
  place = stateFile(path);
  store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', ROWS);
});

function start(changes: Partial<PlacedMigration> = {}): ReturnType<typeof startMigration> {
  return startMigration({
    source: store,
    target: store,
    sourceCollection: 'source',
    targetCollection: 'target',
    encoder,
    layout: 'compact',
    place,
    batchSize: 16,
    concurrency: 1,
    ...changes,
  });
}

const sides = (): { source: MemoryStore; target: MemoryStore; place: StateLocation } => ({
  source: store,
  target: store,
  place,
});
const cut = (changes: Partial<CutOverRequest> = {}): ReturnType<typeof cutOver> =>
  cutOver({ ...sides(), form: 'alias', alias: 'clients', clientsProject: true, ...changes });
const verify = (changes: Partial<VerifyRequest> = {}): ReturnType<typeof verifyAgain> =>
  verifyAgain({ ...sides(), encoder, ...changes });
const leadsTo = async (name = 'clients'): Promise<string | undefined> => (await store.names.all()).get(name);

describe('cut-over', () => {
  test('refuses a compact target unless clients are known to project, and never a two-stage one', async () => {
    await store.names.switch('clients', 'source');
    await start();
    for (const form of ['alias', 'bare-name'] as const)
      await expect(cut({ form, clientsProject: undefined })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        hint: 'clients-project',
        message: expect.stringContaining('clients that send full vectors'),
      });
    expect(await leadsTo()).toBe('source');
    expect((await migrationStatus(sides())).cutOver).toBeNull();
    expect(await cut()).toMatchObject({ made: false });
    // What is switched already needs no word again.
    expect(await cut({ clientsProject: undefined })).toMatchObject({ made: true });
  });

  test('switches an alias and back, and knows what it led to', async () => {
    await store.names.switch('clients', 'source');
    await start();
    expect(await cut()).toMatchObject({ from: 'source', to: 'target', made: false });
    expect(await leadsTo()).toBe('target');
    expect(await cut()).toMatchObject({ made: true });
    await expect(start()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await migrationStatus(sides())).toMatchObject({
      cutOver: { name: 'clients', previous: 'source', state: 'done', forced: false },
      targetAliases: ['clients'],
    });
    expect(await rollBack(sides())).toMatchObject({ to: 'source' });
    expect(await leadsTo()).toBe('source');
    await expect(rollBack(sides())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await cut();
    expect(await leadsTo()).toBe('target');
  });

  test('an alias that was not there is made, and removed on the way back', async () => {
    await start();
    expect(await cut()).toMatchObject({ from: null });
    await rollBack(sides());
    expect(await leadsTo()).toBeUndefined();
  });

  test("switches the source's own name and back", async () => {
    await start();
    await cut({ form: 'bare-name', alias: undefined });
    expect((await store.describe('source')).vectors).toEqual((await store.describe('target')).vectors);
    // Verifying would compare the target with itself.
    await expect(verify()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(abortMigration(sides())).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await rollBack(sides());
    expect(await verify()).toMatchObject({ ok: true });
  });

  test.each([
    ['before the copy is verified', {}, 'VERIFY_FAILED'],
    ['with other words than those', { force: 'yes' }, 'INVALID_ARGUMENT'],
  ])('is refused %s', async (_name, changes, code) => {
    await start();
    await store.remove('target', [idAt(3)]);
    expect(await verify()).toMatchObject({ ok: false });
    await expect(cut(changes)).rejects.toMatchObject({ code });
    expect(await leadsTo()).toBeUndefined();
    await cut({ force: FORCE_WORDS });
    expect(await leadsTo()).toBe('target');
  });

  test('is refused once the source was written to, for names of collections and for aliases of others', async () => {
    await start();
    await store.create(memorySpec('other'));
    await store.names.switch('clients', 'other');
    await expect(cut()).rejects.toMatchObject({
      message: expect.stringContaining('neither source nor target'),
    });
    await expect(cut({ alias: 'other' })).rejects.toMatchObject({
      message: expect.stringContaining('collection'),
    });
    await fill(store, 'source', ROWS + 1);
    await expect(cut({ alias: 'new' })).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('out of date'),
    });
  });

  test('a failing hook before it stops it; one after it does not', async () => {
    await start();
    const failing =
      (at: string): MigrationHook =>
      (event) =>
        event === at ? Promise.reject(new Error('no')) : Promise.resolve();
    await expect(cut({ hook: failing('before-cutover') })).rejects.toThrow('no');
    expect(await leadsTo()).toBeUndefined();
    await cut({ hook: failing('after-cutover') });
    expect(await leadsTo()).toBe('target');
  });

  test('what somebody else moved since is not moved back', async () => {
    await start();
    await cut();
    await store.create(memorySpec('other'));
    await store.names.switch('clients', 'other');
    await expect(rollBack(sides())).rejects.toMatchObject({ code: 'MISMATCH' });
    expect(await leadsTo()).toBe('other');
  });
});

describe('verify', () => {
  test('a sample finds what differs, and never makes a copy count as verified', async () => {
    await start();
    expect(await verify({ sample: 20 })).toMatchObject({ ok: true });
    const all = { sample: ROWS };
    await store.remove('target', [idAt(3)]);
    expect(await verify(all)).toMatchObject({ ok: false, differenceCount: 2 });
    expect(await migrationStatus(sides())).toMatchObject({ phase: 'repairing', verifiedPoints: null });
    expect(await start()).toMatchObject({ copied: 1, verify: { ok: true } });
    await verify(all);
    expect(await migrationStatus(sides())).toMatchObject({ phase: 'verified', verifiedPoints: ROWS });
  });

  test('another encoder is refused, and so is a copy that is not finished', async () => {
    await start();
    await expect(verify({ encoder: tinyEncoder(2) })).rejects.toMatchObject({ code: 'MISMATCH' });
    const state = (await place.read())!;
    await place.write({ ...state, phase: 'copying' });
    await expect(verify()).rejects.toMatchObject({ message: expect.stringContaining('not finished') });
  });
});

describe('the end', () => {
  test('complete needs a cut-over, keeps the source, and deletes it only where asked', async () => {
    await store.names.switch('clients', 'source');
    await start();
    await expect(completeMigration(sides())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await cut();
    await completeMigration(sides());
    expect(await store.exists('source')).toBe(true);
    await rollBack(sides());
    await cut();
    await store.names.switch('still', 'source');
    const deleting = { ...sides(), deleteSource: true };
    await expect(completeMigration(deleting)).rejects.toMatchObject({
      message: expect.stringContaining('"still"'),
    });
    await store.names.drop('still');
    await completeMigration(deleting);
    await completeMigration(deleting);
    expect(await store.listCollections()).toEqual(['target']);
    await expect(rollBack(sides())).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a source hidden behind its own name is deleted, and the name goes on', async () => {
    await start();
    await cut({ form: 'bare-name', alias: undefined });
    await completeMigration({ ...sides(), deleteSource: true });
    expect(await store.listCollections()).toEqual(['target']);
    expect(await leadsTo('source')).toBe('target');
  });

  test('the source is not deleted when somebody writes to it still', async () => {
    await start();
    await cut();
    await fill(store, 'source', ROWS + 1);
    await expect(completeMigration({ ...sides(), deleteSource: true })).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
    });
    expect(await store.exists('source')).toBe(true);
  });

  test('abort removes target and migration state, never a target in service or of somebody else', async () => {
    await start();
    await store.names.switch('clients', 'target');
    await expect(abortMigration(sides())).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await store.names.drop('clients');
    const before = await contentOf(store, 'source');
    await abortMigration(sides());
    expect(await store.listCollections()).toEqual(['source']);
    expect(await contentOf(store, 'source')).toEqual(before);
    expect(await place.read()).toBeNull();
    expect(await place.isPaused()).toBe(false);
    await start();
    await store.drop('target');
    await store.create(memorySpec('target'));
    await expect(abortMigration(sides())).rejects.toMatchObject({ code: 'MISMATCH' });
    expect(await store.exists('target')).toBe(true);
  });
});

test('a pause stops a run at a batch, refuses the next, and loses nothing', async () => {
  // The first batch is under way until the run has seen the pause.
  let goOn = (): void => undefined;
  const paused = new Promise<void>((resolve) => (goOn = resolve));
  const watched: StateLocation = {
    ...place,
    isPaused: async () => {
      const isPaused = await place.isPaused();
      if (isPaused) setImmediate(goOn);
      return isPaused;
    },
  };
  const waiting: MemoryStore = {
    ...store,
    upsert: async (...args) => {
      await store.upsert(...args);
      await paused;
    },
  };
  const events: string[] = [];
  const hook: MigrationHook = (event) => Promise.resolve(void events.push(event));
  const run = start({ target: waiting, place: watched, hook }).catch((error: unknown) => error);
  while (!events.includes('started')) await new Promise((resolve) => setTimeout(resolve, 5));
  await expect(start()).rejects.toMatchObject({ message: expect.stringContaining('another run') });
  await expect(cut()).rejects.toMatchObject({ message: expect.stringContaining('another run') });
  expect(await pauseMigration(place)).toBe(true);
  expect(await run).toMatchObject({ code: 'ABORTED', message: expect.stringContaining('paused') });
  await expect(start()).rejects.toMatchObject({ code: 'ABORTED' });
  expect(await migrationStatus(sides())).toMatchObject({ phase: 'copying', paused: true, runner: null });
  await place.setPaused(false);
  const report = await start({ hook });
  expect(report).toMatchObject({ resumed: true, verify: { ok: true, points: ROWS } });
  expect(report.copied).toBeLessThan(ROWS);
  expect(events).toEqual(['started', 'started', 'range-done', 'finished']);
});

test('a source given by an alias is refused: at cut-over it would become the target', async () => {
  await store.names.switch('clients', 'source');
  await expect(start({ sourceCollection: 'clients' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('is an alias of source'),
  });
});

test.each(['copying', 'done'])('a state of version 2 in phase %s goes on', async (phase) => {
  await start();
  const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  const { encoderFile, verifiedPoints, cutOver: none, completed, ...old } = record;
  expect([encoderFile, verifiedPoints, none, completed]).toEqual([null, ROWS, null, false]);
  await writeFile(path, JSON.stringify({ ...old, version: 2, phase }));
  expect(await migrationStatus(sides())).toMatchObject({
    phase: phase === 'done' ? 'verified' : 'copying',
    verifiedPoints: null,
  });
  await expect(cut()).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  expect(await start()).toMatchObject({ resumed: true, copied: 0, verify: { ok: true } });
  await cut();
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ version: 3, cutOver: { state: 'done' } });
});

test('a cut-over that was cut off before or after the switch is found out and finished, or taken back', async () => {
  await store.names.switch('clients', 'source');
  await start();
  const crash = (when: 'before' | 'after'): MemoryStore => ({
    ...store,
    names: {
      ...store.names,
      switch: async (...args) => {
        if (when === 'after') await store.names.switch(...args);
        throw new Error('killed');
      },
    },
  });
  for (const when of ['before', 'after'] as const) {
    await expect(cut({ target: crash(when) })).rejects.toThrow('killed');
    expect(await migrationStatus(sides())).toMatchObject({ cutOver: { state: 'begun', previous: 'source' } });
    expect(await cut()).toMatchObject({ made: when === 'after' });
    await rollBack(sides());
    await expect(cut({ target: crash(when) })).rejects.toThrow('killed');
    await rollBack(sides());
    expect(await leadsTo()).toBe('source');
  }
});
