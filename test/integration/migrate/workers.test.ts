import { indexField } from '../../support/server/index-field.js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { migrationStatus } from '../../../src/migrate/run/migration-status.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { runCli } from '../../support/cli/run-cli.js';
import { contentOf, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchAgain } from '../../support/server/fetch-once.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 6_000;
const WORKERS = 4;
const CHILD = fileURLToPath(new URL('../../support/migrate/share-child.js', import.meta.url));

let server: TestServer;
let store: QdrantStore;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-workers-'));
  await fetchAgain(`${server.url}/collections/source`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vectors: { size: DIM, distance: 'Cosine' } }),
  });
  await indexField(server, 'source', { field: 'i', schema: 'integer' });
  await fill(store, 'source', ROWS);
  await tinyEncoder().save(join(folder, 'enc.onnx'));
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

interface Ended {
  readonly killed: boolean;
  readonly code: number | null;
  readonly last: string | undefined;
}

/** A worker until it ends, or is killed after so many lines about its copying. */
function runWorker(index: number, killAtLine = Infinity): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const args = [server.url, server.grpcUrl, 'target', join(folder, 'state.json')];
    const child = spawn(process.execPath, [CHILD, ...args, String(index), String(WORKERS)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let [copying, last]: [number, string | undefined] = [0, undefined];
    createInterface({ input: child.stdout }).on('line', (line) => {
      last = line;
      if (line.startsWith('copying') && ++copying === killAtLine) child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ killed: signal === 'SIGKILL', code, last }));
  });
}

const content = async (name: string): Promise<string[]> => [
  ...(await contentOf(store, name)),
  ...(await contentOf(store, name, 'compact')),
];

test('four workers at once, one killed and started again, make what one makes alone', async () => {
  const place = stateFile(join(folder, 'state.json'));
  const [one, two, three, four] = await Promise.all([
    runWorker(1),
    runWorker(2),
    runWorker(3, 5),
    runWorker(4),
  ]);
  expect(three).toMatchObject({ killed: true });
  for (const done of [one, two, four])
    expect(done).toMatchObject({ code: 0, last: expect.stringMatching(/^copied [1-9]\d* one$/) });
  const status = await migrationStatus({ source: store, target: store, place });
  expect(status).toMatchObject({ phase: 'copying', runner: null, next: 'resume' });
  expect(status.workers.map(({ rangesDone, rangesTotal }) => rangesDone === rangesTotal)).toEqual([
    true,
    true,
    false,
    true,
  ]);
  expect(status.copied).toBeLessThan(ROWS);
  const again = await runWorker(3);
  expect(again).toMatchObject({ code: 0, last: expect.stringMatching(/^copied [1-9]\d* last$/) });
  expect(await migrationStatus({ source: store, target: store, place })).toMatchObject({
    phase: 'verified',
    verifiedPoints: ROWS,
    copied: ROWS,
    workers: [],
  });
  // Nothing is left of the shares, and whoever comes late has nothing to do.
  expect((await readdir(folder)).filter((name) => name.includes('.worker-'))).toEqual([]);
  expect(await runWorker(2)).toMatchObject({ code: 0, last: 'copied 0 one' });
  const sides = { source: store, target: store, sourceCollection: 'source', targetCollection: 'alone' };
  const how = {
    encoder: tinyEncoder(),
    layout: 'two-stage',
    statePath: join(folder, 'alone.json'),
  } as const;
  await migrateCollection({ ...sides, ...how });
  expect(await content('target')).toEqual(await content('alone'));
});

test('on the command line, by the index of a job, and whoever is last verifies', async () => {
  const env = { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl, QDRANT_TLDR_WORKER: 'job/3' };
  const worker = (index: number): ReturnType<typeof runCli> =>
    runCli(
      [
        'migrate',
        'start',
        'source',
        'by-job',
        '--encoder',
        'enc.onnx',
        '--layout',
        'compact',
        '--yes',
        '--json',
      ],
      {
        cwd: folder,
        env: { ...env, JOB_COMPLETION_INDEX: String(index) },
      },
    );
  const ended = await Promise.all([0, 1, 2].map(worker));
  expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
  const results = ended.map((one) => one.json());
  expect(results.filter(({ verified }) => verified === ROWS)).toHaveLength(1);
  const copied = results.reduce((sum, one) => sum + Number(one['copied']), 0);
  expect(copied).toBe(ROWS);
  expect((await worker(3)).code).toBe(2);
});
