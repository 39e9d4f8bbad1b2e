import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { Rng } from '../../src/core/rng.js';
import type { VectorStore } from '../../src/core/vector-store.js';
import { contentOf, DIM, fill } from '../migrate/fixtures.js';
import { startTestServer, type TestServer } from './test-server.js';

const ROWS = 6_000;
const KILLS = 10;
const CHILD = fileURLToPath(new URL('./migrate-child.js', import.meta.url));

let server: TestServer;
let store: VectorStore;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-kill-'));
  const params = { vectors: { size: DIM, distance: 'Cosine' } };
  await store.create({
    name: 'source',
    vectors: [],
    otherVectors: [],
    shardKeys: [],
    metadata: {},
    native: JSON.stringify({ params }),
  });
  await fill(store, 'source', ROWS);
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** Runs the child until it ends, or kills it with SIGKILL after so many lines of progress. */
function runChild(
  target: string,
  killAfterLines: number | null,
): Promise<{ killed: boolean; code: number | null }> {
  return new Promise((resolve, reject) => {
    const args = [CHILD, server.url, server.grpcUrl, target, join(folder, `${target}.json`)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let lines = 0;
    createInterface({ input: child.stdout }).on('line', () => {
      lines++;
      if (lines === killAfterLines) child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ killed: signal === 'SIGKILL', code }));
  });
}

test('killed ten times at random moments and resumed, the target equals an uninterrupted one', async () => {
  expect(await runChild('whole', null)).toEqual({ killed: false, code: 0 });
  const rng = new Rng(21);
  let kills = 0;
  for (let i = 0; i < KILLS; i++) kills += Number((await runChild('killed', 1 + rng.int(16))).killed);
  expect(kills).toBe(KILLS);
  expect(await runChild('killed', null)).toEqual({ killed: false, code: 0 });
  const [whole, killed] = [await contentOf(store, 'whole'), await contentOf(store, 'killed')];
  expect(whole).toHaveLength(ROWS);
  expect(killed).toEqual(whole);
});
