import { afterAll, beforeAll, expect } from '@jest/globals';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 800;

let place: CliPlace;
let server: TestServer;
let store: QdrantStore;
let cwd: string;
const cli: CliPlace['cli'] = (...args) => place.cli(...args);
const rest: CliPlace['rest'] = (...request) => place.rest(...request);

async function makeSource(name: string): Promise<void> {
  await rest('PUT', `/collections/${name}`, { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(store, name, ROWS);
}

beforeAll(async () => {
  place = await openCliPlace('pace');
  ({ server, store, cwd } = place);
});

afterAll(() => place.end());

test('a run that waits for the source says why, and goes on when it is told to mind it less', async () => {
  await makeSource('docs');
  // No search is as fast as that, so every batch waits.
  const start = [
    'migrate',
    'start',
    'docs',
    'docs-c',
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--batch-size',
    '50',
    '--yes',
  ];
  const run = cli(...start, '--max-load', '0.001ms', '--json');
  let status: Record<string, unknown> = {};
  while ((status['load'] as { waiting?: string } | null | undefined)?.waiting == null) {
    const asked = await cli('migrate', 'status', 'docs', 'docs-c', '--json');
    if (asked.code === 0) status = asked.json();
    else expect(asked.code).toBe(4);
  }
  expect(status).toMatchObject({
    phase: 'copying',
    tuning: { maxLoad: '0.001ms', nice: 0 },
    load: { waiting: expect.stringContaining('more than 0') },
  });
  const shown = await cli('migrate', 'status', 'docs', 'docs-c');
  expect(shown.stdout).toMatch(/throttle: never rests; waits while searches take over 0.001ms/);
  expect(shown.stdout).toMatch(/waiting: a search of the source takes/);
  expect((await cli('migrate', 'tune', 'docs', 'docs-c')).code).toBe(2);
  expect((await cli('migrate', 'tune', 'docs', 'docs-c', '--max-load', '7')).code).toBe(2);
  const tuned = await cli(
    'migrate',
    'tune',
    'docs',
    'docs-c',
    '--max-load',
    'off',
    '--nice',
    '0.5',
    '--json',
  );
  expect(tuned.json()).toEqual({ maxLoad: null, nice: 0.5 });
  expect((await run).json()).toMatchObject({ copied: ROWS, verified: ROWS });
});

test('a server that refuses more than so many reads a minute is asked more slowly, and nothing is lost', async () => {
  await makeSource('limited');
  await rest('PATCH', '/collections/limited', { strict_mode_config: { enabled: true, read_rate_limit: 60 } });
  const fresh = await openQdrant(server);
  let restedMost = 0;
  const place = stateFile(join(cwd, 'limited.json'));
  const report = await startMigration({
    source: fresh,
    target: fresh,
    sourceCollection: 'limited',
    targetCollection: 'limited-c',
    encoder: tinyEncoder(),
    layout: 'compact',
    batchSize: 10,
    saveIntervalMs: 0,
    place: {
      ...place,
      write: (state) => {
        restedMost = Math.max(restedMost, state.load?.resting ?? 0);
        return place.write(state);
      },
    },
    onProgress: ({ step, done }) => {
      const unlimited = { strict_mode_config: { read_rate_limit: 100_000 } };
      if (step === 'copying' && done === ROWS) void rest('PATCH', '/collections/limited', unlimited);
      if (step === 'indexing') void rest('PATCH', '/collections/limited', unlimited);
    },
  });
  expect(report).toMatchObject({ copied: ROWS, verify: { ok: true, points: ROWS } });
  expect(fresh.load.rateLimitCount()).toBeGreaterThan(0);
  expect(restedMost).toBeGreaterThan(0);
  await fresh.close();
});
