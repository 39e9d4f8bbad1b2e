import { afterAll, beforeAll, expect } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { testsOn } from '../support/server/test-server.js';
import { startFrailServer, type FrailServer } from './frail-server.js';
import { runSeed } from './run-seed.js';
import { FAULTS, noFaults, type FaultCounts } from './fault-injection.js';

const test = await testsOn('a process');

/** Together they have every kind of fault. */
const SEEDS = [18, 31];

const running = new Set<ChildProcess>();
const made = noFaults();
const kinds = Object.keys(FAULTS) as (keyof FaultCounts)[];
let server: FrailServer;

beforeAll(async () => {
  server = await startFrailServer();
});

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await server.stop();
});

test.each(SEEDS)('whatever fails meanwhile, both sides of a migration end equal (seed %d)', async (seed) => {
  const outcome = await runSeed(seed, server, running);
  for (const kind of kinds) made[kind] += outcome.made[kind];
  expect(outcome.wrong).toEqual([]);
  expect(outcome.writes).toBeGreaterThan(20);
});

test('and every kind of fault was among them', () => {
  expect(kinds.filter((kind) => made[kind] === 0)).toEqual([]);
});
