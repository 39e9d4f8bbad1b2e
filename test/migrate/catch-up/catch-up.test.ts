import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../../adapters/memory/store.js';
import { matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import type { CatchUpRequest } from '../../../src/migrate/catch-up/repeat-passes.js';
import {
  cutOver,
  type CutOverReport,
  type CutOverRequest,
} from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { openCatchUpPasses } from '../../../src/migrate/catch-up/one-pass.js';
import {
  startWithCatchUp,
  startMigration,
  type StartWithCatchUpReport,
} from '../../../src/migrate/run/migrate-collection.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import type { StateLocation } from '../../../src/migrate/state/location.js';
import { contentOf, DIM, fill, idAt, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const ROWS = 3_000;
const encoder = tinyEncoder();
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-catch-up-'));
afterAll(() => rm(folder, { recursive: true }));

let store: MemoryStore;
let place: StateLocation;
let states = 0;
let scanned: number;

beforeEach(async () => {
  place = stateFile(join(folder, `state-${states++}.json`));
  const memory = openMemory();
  store = {
    ...memory,
    async *scan(...args) {
      for await (const batch of memory.scan(...args)) {
        scanned += batch.ids.length;
        yield batch;
      }
    },
  };
  scanned = 0;
  await store.create(memorySpec('source'));
  await fill(store, 'source', ROWS);
});

const names = {
  sourceCollection: 'source',
  targetCollection: 'target',
  encoder,
  layout: 'compact' as const,
};
const sides = (): { source: MemoryStore; target: MemoryStore; place: StateLocation } => ({
  source: store,
  target: store,
  place,
});
const follow = (
  changes: Partial<Parameters<typeof startWithCatchUp>[0]> = {},
): Promise<StartWithCatchUpReport> => startWithCatchUp({ ...sides(), ...names, lagMax: 0, ...changes });
const cut = (
  changes: Partial<CutOverRequest> = {},
  how: Partial<CatchUpRequest> = {},
): Promise<CutOverReport> => {
  const catchUp = { encoder, lagMax: 5, freezeMsMax: 60_000, ...how };
  return cutOver({ ...sides(), form: 'alias', alias: 'clients', clientsProject: true, catchUp, ...changes });
};
const leadsTo = async (): Promise<string | undefined> => (await store.names.all()).get('clients');

/** Writes points of the source anew, with a payload that says when. */
async function write(ids: readonly PointId[], mark: string): Promise<void> {
  const vectors = matrix(ids.length, DIM);
  vectors.data.forEach((_, i) => (vectors.data[i] = 1 + ((i * 7) % 13)));
  const has = new Uint8Array(ids.length).fill(1);
  const rest = ids.map(() => store.codec.pack(JSON.stringify({ mark })));
  await store.upsert('source', { ids, vectors: [{ name: '', matrix: vectors, has }], extra: rest });
}

/** The target as a migration at this moment would make it. */
async function expectEqual(): Promise<void> {
  const fresh = stateFile(join(folder, `fresh-${states++}.json`));
  await startMigration({ source: store, target: store, ...names, targetCollection: 'fresh', place: fresh });
  expect(await contentOf(store, 'target')).toEqual(await contentOf(store, 'fresh'));
  await store.drop('fresh');
}

test('each pass finds what was written since, wherever it is, and reads little else', async () => {
  await follow();
  const plan = await planMigration({ ...sides(), ...names });
  const dualWriter = await openCatchUpPasses(plan, { ...sides(), encoder });
  expect(dualWriter.byVersions).toBe(true);
  expect(await dualWriter.pass()).toBe(0);
  scanned = 0;
  expect(await dualWriter.pass()).toBe(0);
  expect(scanned).toBe(0);
  await write([0n, idAt(4), idAt(2_000), idAt(2_999)], 'again');
  await store.remove('source', [idAt(7), idAt(11)]);
  await write(['ffffffff-ffff-4fff-bfff-ffffffffffff'], 'last');
  expect(await dualWriter.pass()).toBe(7);
  expect(scanned).toBeLessThan(ROWS);
  expect(await dualWriter.pass()).toBe(0);
  // Many new ids in one place: as many points that differ, and small steps again afterwards.
  await write(
    Array.from({ length: 2_000 }, (_, i) => 2n ** 62n + BigInt(i)),
    'many',
  );
  expect(await dualWriter.pass()).toBe(2_000);
  expect(await dualWriter.pass()).toBe(0);
  scanned = 0;
  await write([2n ** 62n + 1_000n], 'one');
  expect(await dualWriter.pass()).toBe(1);
  expect(scanned).toBeLessThan(1_200);
  await expectEqual();
});

test('where versions say nothing every pass compares everything', async () => {
  store = { ...store, changes: { ...store.changes, versions: () => Promise.resolve(null) } };
  await follow();
  const plan = await planMigration({ ...sides(), ...names });
  const dualWriter = await openCatchUpPasses(plan, { ...sides(), encoder });
  expect(dualWriter.byVersions).toBe(false);
  await write([idAt(4)], 'again');
  await store.remove('source', [idAt(7)]);
  expect([await dualWriter.pass(), await dualWriter.pass()]).toEqual([2, 0]);
  await expectEqual();
});

test('writes during the copy and up to the freeze are all in the target at the switch', async () => {
  let writes = 0;
  const busy: MemoryStore = {
    ...store,
    upsert: async (...args) => {
      await store.upsert(...args);
      writes++;
      if (writes % 3 !== 0 || writes > 60) return;
      await write([idAt(writes * 31), BigInt(writes)], `during ${writes}`);
      await store.remove('source', [idAt(writes * 17 + 1)]);
    },
  };
  const report = await follow({ target: busy, lagMax: 3 });
  expect(report.caughtUp.lag).toBeLessThanOrEqual(3);
  expect(await migrationStatus(sides())).toMatchObject({
    phase: 'following',
    next: 'cut-over-catch-up',
  });
  await expect(cut({ catchUp: undefined })).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  await write([5n, 6n], 'later');
  const before = async (event: string): Promise<void> => {
    if (event === 'before-cutover') await write([7n], 'the last');
  };
  const switched = await cut({ hook: before });
  expect(switched).toMatchObject({ to: 'target', caughtUp: { lag: 0, byVersions: true } });
  expect(switched.frozenMs).toBeGreaterThanOrEqual(0);
  expect(await leadsTo()).toBe('target');
  await expectEqual();
  const { verifiedPoints, phase, targetPoints } = await migrationStatus(sides());
  expect({ verifiedPoints, phase }).toEqual({ verifiedPoints: targetPoints, phase: 'verified' });
});

test.each([
  ['the writers go on', {}, 'VERIFY_FAILED', /nobody should write/],
  ['it takes too long', { freezeMsMax: -1 }, 'TIMEOUT', /nothing was switched/],
])('where %s nothing is switched, and those who were stopped are told', async (_name, how, code, message) => {
  await follow();
  const events: string[] = [];
  let stopped = false;
  const source: MemoryStore = {
    ...store,
    load: {
      ...store.load,
      status: async (name) => {
        if (stopped) await write([1n], `still ${events.length} ${performance.now()}`);
        return store.load.status(name);
      },
    },
  };
  const hook = (event: string): Promise<void> => {
    events.push(event);
    stopped = true;
    return Promise.resolve();
  };
  await expect(cut({ source, hook }, how)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
  expect(events).toEqual(['before-cutover', 'cutover-failed']);
  expect(await leadsTo()).toBeUndefined();
  stopped = false;
  await cut();
  expect(await leadsTo()).toBe('target');
});

test('a lag may be allowed, and the migration state keeps it; the target in service is not changed any more', async () => {
  await follow();
  await write([1n, 2n, 3n], 'late');
  const report = await cut({}, { lagMax: 3, withoutFreeze: true });
  expect(report).toMatchObject({ caughtUp: { passes: 1, lag: 3 } });
  expect(await migrationStatus(sides())).toMatchObject({ phase: 'following', cutOver: { lag: 3 } });
  await expect(follow()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
});

test('writes that come faster than they are followed end with a reason, and a bound that holds ends it', async () => {
  let turn = 0;
  const source: MemoryStore = {
    ...store,
    changes: {
      ...store.changes,
      versions: async (...args) => {
        await write([1n, 2n], `turn ${turn++}`);
        return store.changes.versions(...args);
      },
    },
  };
  await expect(follow({ source })).rejects.toMatchObject({
    code: 'VERIFY_FAILED',
    message: expect.stringMatching(/after 20 passes 2 points still differed/),
  });
  expect(await follow({ source, lagMax: 2 })).toMatchObject({ resumed: true, copied: 0 });
});

test('neither a target that clients use nor one with other settings is followed', async () => {
  await follow();
  await store.names.switch('others', 'target');
  await expect(follow()).rejects.toMatchObject({ message: expect.stringContaining('in service') });
  await expect(cut()).rejects.toMatchObject({ message: expect.stringContaining('in service') });
  await store.names.drop('others');
  const target: MemoryStore = {
    ...store,
    differences: (...args) => (args[2] === undefined ? ['m: 16'] : store.differences(...args)),
  };
  await expect(cut({ target })).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  expect(await leadsTo()).toBeUndefined();
});
