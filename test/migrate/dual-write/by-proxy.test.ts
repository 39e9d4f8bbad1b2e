import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../../adapters/memory/store.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import { copyShare } from '../../../src/migrate/run/copy-share.js';
import { cutOver, type CutOverRequest } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { FORCE_WORDS } from '../../../src/migrate/cutover/force-words.js';
import { abortMigration, completeMigration } from '../../../src/migrate/cutover/end-migration.js';
import { DualWriter } from '../../../src/migrate/dual-write/mirror-writes.js';
import {
  readDesiredState,
  readReport,
  writeDesiredState,
} from '../../../src/migrate/dual-write/proxy-state-files.js';
import { startWithCatchUp, startMigration } from '../../../src/migrate/run/migrate-collection.js';
import type { PlacedMigration } from '../../../src/migrate/plan/migration-options.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { runReconciler } from '../../../src/migrate/dual-write/reconciler.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { rollBack } from '../../../src/migrate/cutover/roll-back.js';
import { verifyMigration } from '../../../src/migrate/verify/all-points.js';
import { WriteJournal } from '../../../src/migrate/dual-write/write-journal.js';
import { fill, idAt, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const encoder = tinyEncoder();
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-by-proxy-'));
afterAll(() => rm(folder, { recursive: true }));

const names = { sourceCollection: 'source', targetCollection: 'target' };
let store: MemoryStore;
let journal: string;
let options: PlacedMigration;
let made = 0;

beforeEach(async () => {
  store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', 200);
  journal = join(folder, `journal-${++made}`);
  const place = stateFile(join(folder, `state-${made}.json`));
  options = {
    source: store,
    target: store,
    ...names,
    encoder,
    layout: 'compact',
    place,
    journal,
    batchSize: 16,
    concurrency: 1,
  };
});

const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** What follows the writes in `serve`, without its listeners. Returns what ends it. */
async function follow(): Promise<() => Promise<void>> {
  const kept = await WriteJournal.open(journal);
  const dualWriter = new DualWriter({ source: store, target: store, ...names, encoder, journal: kept });
  const facts = { folder: journal, source: 'source', target: 'target', encoder: encoder.fingerprint };
  const end = runReconciler({
    ...facts,
    dualWriter,
    copied: () => Promise.resolve(),
    switchReads: () => Promise.resolve(),
  });
  while ((await readReport(journal)) === null) await aMoment();
  return async () => {
    await end();
    await dualWriter.close();
  };
}

const cut = (changes: Partial<CutOverRequest> = {}): ReturnType<typeof cutOver> =>
  cutOver({ ...options, form: 'proxy', waitMs: 300_000, ...changes });

describe('a migration by the proxy', () => {
  test('is cut over by it alone, ended by words alone, and given up only after the way back', async () => {
    const end = await follow();
    await startMigration(options);
    await expect(cut({ form: 'alias', alias: 'clients' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: 'switch-by-proxy',
    });
    await expect(cut({ catchUp: { encoder, lagMax: 1, freezeMsMax: 1_000 } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(completeMigration(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await cut()).toMatchObject({ from: 'source', to: 'target', made: false });
    expect(await cut()).toMatchObject({ from: 'target', made: true });
    await expect(startMigration(options)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await expect(abortMigration(options)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await completeMigration(options);
    await expect(completeMigration({ ...options, deleteSource: true })).rejects.toMatchObject({
      message: expect.stringContaining('while a proxy writes to it'),
    });
    expect(await rollBack(options)).toMatchObject({ to: 'source', proxyLives: true });
    expect(await migrationStatus(options)).toMatchObject({
      completed: false,
      journal: { living: true, wanted: { side: 'source' }, report: { side: 'source', open: 0 } },
    });
    await abortMigration(options);
    expect(await store.exists('target')).toBe(false);
    expect(await readDesiredState(journal)).toEqual({ state: 'waiting', side: 'source' });
    await end();
  });

  test('does not lose its source once its journal is gone', async () => {
    const end = await follow();
    await startMigration(options);
    await cut();
    await end();
    const ended = { ...options, deleteSource: true };
    await rm(join(journal, 'writes.journal'));
    for (const lose of ['writes.journal', 'proxy.json', '']) {
      await rm(join(journal, lose), { recursive: true, force: true });
      await expect(completeMigration({ ...ended, withoutCutOver: true })).rejects.toMatchObject({
        code: 'INVALID_DATA',
        message: expect.stringContaining('would lose these for good'),
      });
    }
    expect(await store.exists('source')).toBe(true);
  });

  test('needs a journal from the start, the same one, and one runner', async () => {
    await expect(startMigration(options)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await options.place.read()).toBeNull();
    const end = await follow();
    await expect(startMigration({ ...options, encoder: tinyEncoder(2) })).rejects.toThrow('its encoder is');
    await expect(copyShare({ ...options, share: { index: 1, of: 2 } })).rejects.toMatchObject({
      hint: 'omit-worker',
    });
    await expect(startWithCatchUp({ ...options, lagMax: 1 })).rejects.toMatchObject({
      hint: 'omit-catch-up',
    });
    const plain = { ...options, journal: undefined, place: stateFile(join(folder, 'plain.json')) };
    await startMigration(plain);
    await expect(cut({ place: plain.place })).rejects.toMatchObject({
      hint: 'migrate-with-journal',
      message: expect.stringContaining('without a journal'),
    });
    await expect(startMigration({ ...options, place: plain.place })).rejects.toMatchObject({
      code: 'MISMATCH',
      message: expect.stringContaining('begun without a journal'),
    });
    await end();
  });

  test('is not cut over while the proxy has not caught up, unless forced in words', async () => {
    const end = await follow();
    await startMigration(options);
    await writeDesiredState(journal, { state: 'copying', side: 'source' });
    while ((await migrationStatus(options)).journal?.report?.state !== 'copying') await aMoment();
    await expect(cut()).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
    expect(await cut({ force: FORCE_WORDS })).toMatchObject({ to: 'target' });
    await rollBack(options);
    await end();
    await expect(cut({ waitMs: 1_000 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('is verified by what goes on differing: not by a point that is just being brought over', async () => {
    const end = await follow();
    await startMigration(options);
    const plan = await planMigration(options);
    await store.remove('target', [idAt(3)]);
    let readings = 0;
    const retrieve: MemoryStore['retrieve'] = async (...args) => {
      // Gone from the source as well, as after a deletion that is followed a moment later.
      if (++readings === 3) await store.remove('source', [idAt(3)]);
      return store.retrieve(...args);
    };
    const source = new Proxy(store, {
      get: (of, name) => (name === 'retrieve' ? retrieve : bound(of, name)),
    });
    const sides = { source, target: store, encoder };
    expect((await verifyMigration(plan, sides, { writing: true })).differences).toEqual([]);
    expect(readings).toBe(3);
    await end();
  });
});

function bound(of: MemoryStore, name: string | symbol): unknown {
  const value: unknown = Reflect.get(of, name);
  return typeof value === 'function' ? (value.bind(of) as unknown) : value;
}
