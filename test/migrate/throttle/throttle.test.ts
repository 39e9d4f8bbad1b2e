import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../../adapters/memory/store.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import type { PlacedMigration } from '../../../src/migrate/plan/migration-options.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { openThrottle, type Throttle, type ThrottleRequest } from '../../../src/migrate/throttle/throttle.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import type { StateLocation } from '../../../src/migrate/state/location.js';
import { latencyMsMax, retune } from '../../../src/migrate/throttle/settings.js';
import { fill, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const ROWS = 100;
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-pace-'));
afterAll(() => rm(folder, { recursive: true }));

let store: MemoryStore;
let place: StateLocation;
let path: string;
let states = 0;
/** What the source says of itself. */
let state: { latencyMs: number; queuedUpdates: number; failure: string | null; refusals: number };

beforeEach(async () => {
  path = join(folder, `state-${states++}.json`);
  place = stateFile(path);
  state = { latencyMs: 1, queuedUpdates: 0, failure: null, refusals: 0 };
  const memory = openMemory();
  store = {
    ...memory,
    load: {
      ...memory.load,
      timeSearch: () => Promise.resolve(state.latencyMs),
      rateLimitCount: () => state.refusals,
      status: () => {
        const { queuedUpdates, failure } = state;
        return Promise.resolve({ optimizing: false, queuedUpdates, failure });
      },
    },
  };
  await store.create(memorySpec('source'));
  await fill(store, 'source', ROWS);
});

const sides = (): { source: MemoryStore; target: MemoryStore; place: StateLocation } => ({
  source: store,
  target: store,
  place,
});

async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await reached())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function start(changes: Partial<PlacedMigration> = {}): ReturnType<typeof startMigration> {
  const names = { sourceCollection: 'source', targetCollection: 'target' };
  const how = {
    encoder: tinyEncoder(),
    layout: 'compact' as const,
    batchSize: 10,
    concurrency: 1,
    saveIntervalMs: 0,
  };
  return startMigration({ ...sides(), ...names, ...how, ...changes });
}

test.each([
  ['searches are slow', { latencyMs: 50 }, /search of the source takes 50 ms, more than 6/],
  ['updates wait', { queuedUpdates: 5_000 }, /source has 5000 queued updates/],
  ['the optimizer failed', { failure: '"broken"' }, /optimizer of source failed: "broken"/],
])('a copy waits while %s, says so, and goes on after', async (_name, busy, reason) => {
  const calm = { ...state };
  let upserts = 0;
  let lines = 0;
  const target: MemoryStore = {
    ...store,
    upsert: async (...args) => {
      await store.upsert(...args);
      if (++upserts === 3) {
        Object.assign(state, busy);
        await until(() => lines > 0);
      }
    },
  };
  const log: PlacedMigration['log'] = (_level, message) => {
    if (message.startsWith('the copy waits')) lines++;
  };
  const run = start({ target, log, tuning: { maxLoad: '2x' } });
  await until(async () => (await place.read())?.load?.waiting != null);
  const status = await migrationStatus(sides());
  expect(status.load?.waiting).toMatch(reason);
  expect(status).toMatchObject({ phase: 'copying', tuning: { maxLoad: '2x', nice: 0 } });
  expect(status.load).toMatchObject({ baselineMs: 1 });
  // Held back by now, it writes no more until the load is gone.
  const before = upserts;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(upserts).toBeLessThanOrEqual(before + 1);
  expect(before).toBeLessThan(ROWS / 10);
  Object.assign(state, calm);
  expect(await run).toMatchObject({ copied: ROWS, verify: { ok: true } });
});

test('what is asked for holds from then on, in later runs too, and is taken up while one runs', async () => {
  await start({ tuning: { nice: 0.5 } });
  expect(await place.readTuning()).toEqual({ maxLoad: null, nice: 0.5 });
  await start();
  expect(await place.readTuning()).toEqual({ maxLoad: null, nice: 0.5 });
  state.latencyMs = 50;
  await place.writeTuning({ maxLoad: '20ms', nice: 0 });
  await place.write({ ...(await place.read())!, phase: 'verifying' });
  const run = start();
  await until(async () => (await place.read())?.load?.waiting != null);
  await retune(place, { maxLoad: null });
  expect(await run).toMatchObject({ verify: { ok: true } });
});

test.each(['2', 'fast', '1x', '0ms', '-1ms'])(
  'max-load %s is refused before anything is made',
  async (maxLoad) => {
    await expect(start({ tuning: { maxLoad } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(start({ tuning: { nice: 1000 } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await store.exists('target')).toBe(false);
  },
);

test('a multiple allows for noise, and a spoilt tuning is told', async () => {
  expect(latencyMsMax('2x', 40)).toBe(80);
  expect(latencyMsMax('2x', 1)).toBe(6);
  expect(latencyMsMax('2ms', 40)).toBe(2);
  await writeFile(`${path}.tuning`, '{"nice":"very"}');
  await expect(start()).rejects.toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringContaining('.tuning'),
  });
});

async function paceOf(changes: Partial<ThrottleRequest> = {}): Promise<Throttle> {
  const names = { sourceCollection: 'source', targetCollection: 'source', vectorName: '' };
  return openThrottle({ ...sides(), ...names, baselineMs: null, changed: () => undefined, ...changes });
}

async function* numbers(): AsyncGenerator<number> {
  for (let i = 0; i < 3; i++) yield await Promise.resolve(i);
}

test('no batch is held back for ever', async () => {
  await place.writeTuning({ maxLoad: '0.5ms', nice: 0 });
  const throttle = await paceOf({ heldMsMax: 200 });
  expect(throttle.seen().waiting).toMatch(/more than 0.5/);
  const given: number[] = [];
  for await (const number of throttle.throttled(numbers(), undefined)) given.push(number);
  expect(given).toEqual([0, 1, 2]);
  expect(throttle.seen().waitedMs).toBeGreaterThan(0);
  throttle.end();
});

test('told to stop, it stops though it is held back', async () => {
  await place.writeTuning({ maxLoad: '0.5ms', nice: 0 });
  const throttle = await paceOf();
  const stop = new AbortController();
  const run = (async (): Promise<void> => {
    for await (const number of throttle.throttled(numbers(), stop.signal)) if (number === 0) stop.abort();
  })();
  await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
  throttle.end();
});

test('the more calls are refused the longer it rests, and less again after', async () => {
  const throttle = await paceOf();
  const refusing = setInterval(() => state.refusals++, 100);
  await until(() => throttle.seen().resting === 8);
  clearInterval(refusing);
  await until(() => throttle.seen().resting === 4);
  throttle.end();
});
