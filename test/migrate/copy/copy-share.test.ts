import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../../adapters/memory/store.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import { copyShare, type SharedMigration, type ShareReport } from '../../../src/migrate/run/copy-share.js';
import { cutOver } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { FORCE_WORDS } from '../../../src/migrate/cutover/force-words.js';
import { abortMigration, pauseMigration } from '../../../src/migrate/cutover/end-migration.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import type { StateLocation } from '../../../src/migrate/state/location.js';
import { contentOf, fill, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const ROWS = 5_000;
const encoder = tinyEncoder();
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-share-'));
afterAll(() => rm(folder, { recursive: true }));

let store: MemoryStore;
let place: StateLocation;
let states = 0;
let wanted: string[];

async function filled(): Promise<MemoryStore> {
  const memory = openMemory();
  await memory.create(memorySpec('source'));
  await fill(memory, 'source', ROWS);
  return memory;
}

beforeAll(async () => {
  const alone = await filled();
  await startMigration({ ...request(alone), place: stateFile(join(folder, 'alone.json')) });
  wanted = await contentOf(alone, 'target');
});

beforeEach(async () => {
  place = stateFile(join(folder, `state-${states++}.json`));
  store = await filled();
});

const request = (on: MemoryStore): Omit<SharedMigration, 'place' | 'share'> => ({
  source: on,
  target: on,
  sourceCollection: 'source',
  targetCollection: 'target',
  layout: 'compact',
  encoder,
  concurrency: 1,
});
const sides = (): { source: MemoryStore; target: MemoryStore; place: StateLocation } => ({
  source: store,
  target: store,
  place,
});
const work = (index: number, of: number, changes: Partial<SharedMigration> = {}): Promise<ShareReport> =>
  copyShare({ ...request(store), place, share: { index, of }, ...changes });
const partsLeft = async (): Promise<string[]> =>
  (await readdir(folder)).filter(
    (name) => name.startsWith(`state-${states - 1}.`) && name.includes('worker'),
  );

/** A target whose first write waits until it is let go. */
function gated(): { target: MemoryStore; entered: Promise<void>; release: () => void } {
  let [enter, release] = [(): void => undefined, (): void => undefined];
  const entered = new Promise<void>((resolve) => (enter = resolve));
  const open = new Promise<void>((resolve) => (release = resolve));
  const target: MemoryStore = {
    ...store,
    upsert: async (...args) => {
      enter();
      await open;
      await store.upsert(...args);
    },
  };
  return { target, entered, release };
}

/** The state's place; `seen` is called once a run on one of its shares has seen that it is to pause. */
function watched(seen: () => void): StateLocation {
  return {
    ...place,
    share: (share) => {
      const part = place.share(share);
      const isPaused = async (): Promise<boolean> => {
        const paused = await part.isPaused();
        // The run itself is told before anything else goes on.
        if (paused) setImmediate(seen);
        return paused;
      };
      return { ...part, isPaused };
    },
  };
}

test('one after another they copy everything once, and the last one verifies', async () => {
  const [first, second, third] = [await work(2, 3), await work(3, 3), await work(1, 3)];
  expect([first.last, second.last]).toEqual([null, null]);
  expect(third.last).toMatchObject({ verify: { ok: true, points: ROWS } });
  expect(first.copied + second.copied + third.copied).toBe(ROWS);
  expect(Math.min(first.copied, second.copied, third.copied)).toBeGreaterThan(1_000);
  expect(await contentOf(store, 'target')).toEqual(wanted);
  expect(await partsLeft()).toEqual([]);
  expect(await work(2, 3)).toMatchObject({ copied: 0, last: null });
});

test('while one copies, nobody takes its share, splits anew, goes on alone or cuts over', async () => {
  const { target, entered, release } = gated();
  const run = work(1, 2, { target });
  await entered;
  const busy = { code: 'ALREADY_EXISTS' };
  await expect(work(1, 2)).rejects.toMatchObject(busy);
  await expect(work(1, 3)).rejects.toMatchObject(busy);
  await expect(startMigration({ ...request(store), place })).rejects.toMatchObject(busy);
  const forced = cutOver({ ...sides(), form: 'alias', alias: 'clients', force: FORCE_WORDS });
  await expect(forced).rejects.toMatchObject({ ...busy, message: expect.stringContaining('worker 1/2') });
  expect(await migrationStatus(sides())).toMatchObject({
    runner: expect.stringContaining('worker 1/2: process'),
    workers: [
      { worker: '1/2', rangesDone: 0 },
      { worker: '2/2', runner: null },
    ],
  });
  const other = await work(2, 2);
  release();
  const own = await run;
  expect([other.last, own.last?.verify.ok]).toEqual([null, true]);
  expect(await contentOf(store, 'target')).toEqual(wanted);
});

test('paused, split among others, then gone on with alone, nothing is lost or copied again', async () => {
  const { target, entered, release } = gated();
  const how = { target, saveIntervalMs: 0, place: watched(release) };
  const run = work(1, 2, how).catch((error: unknown) => error);
  await entered;
  const paused = pauseMigration(place);
  expect(await paused).toBe(true);
  expect(await run).toMatchObject({ code: 'ABORTED', message: expect.stringContaining('paused') });
  await expect(work(2, 2)).rejects.toMatchObject({ code: 'ABORTED' });
  await place.setPaused(false);
  const before = (await migrationStatus(sides())).copied;
  expect(before).toBeGreaterThan(0);
  const shared = await work(3, 5);
  expect(shared.copied).toBeGreaterThan(0);
  const report = await startMigration({ ...request(store), place });
  expect(report).toMatchObject({ resumed: true, copied: ROWS - before - shared.copied });
  expect(await contentOf(store, 'target')).toEqual(wanted);
  expect(await partsLeft()).toEqual([]);
});

test('given up half done, nothing is left; a target that is gone is made anew by whoever comes', async () => {
  await work(1, 2);
  expect(await partsLeft()).toHaveLength(1);
  await store.drop('target');
  await work(2, 2);
  const report = await work(1, 2);
  expect(report.last).toMatchObject({ verify: { ok: true, points: ROWS } });
  await abortMigration(sides());
  await work(1, 2);
  await abortMigration(sides());
  expect(await store.listCollections()).toEqual(['source']);
  expect(await partsLeft()).toEqual([]);
});
