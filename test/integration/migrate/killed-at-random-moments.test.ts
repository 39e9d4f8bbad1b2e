import { indexField } from '../../support/server/index-field.js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { Rng } from '../../../src/core/rng.js';
import { sleep } from '../../../src/core/run-options.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { MigrationState } from '../../../src/migrate/state/migration-state.js';
import { contentOf, DIM, fill } from '../../support/migrate/fixtures.js';
import { startRelay, type Relay } from '../../support/serve/relay.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 6_000;
const CHILD = fileURLToPath(new URL('../../support/migrate/migrate-child.js', import.meta.url));

/**
 * Where a run is killed: at the nth request that begins so, or at the nth line of progress of a step; while it copies, as
 * soon after that as its state says how far a range has come.
 */
type KillAt =
  { readonly request: string; readonly nth: number } | { readonly step: string; readonly nth: number };

interface Ended {
  readonly killed: boolean;
  readonly code: number | null;
  readonly lines: readonly string[];
}

let server: TestServer;
let relay: Relay;
let store: QdrantStore;
let folder: string;
/** Told of every request to the REST interface; true holds it back. */
let onRequest: (head: string) => boolean = () => false;

beforeAll(async () => {
  server = await startTestServer();
  relay = await startRelay(
    () => server.url,
    ({ bytes, from }) => (from === 'client' && onRequest(bytes.toString('latin1', 0, 200)) ? 'hold' : 'pass'),
  );
  store = await openQdrant(server);
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-kill-'));
  const params = { vectors: { size: DIM, distance: 'Cosine' } };
  await store.create({
    name: 'source',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify({ params }),
  });
  for (const [field, schema] of [
    ['i', 'integer'],
    ['f', 'float'],
    ['text', 'keyword'],
  ] as const)
    await indexField(server, 'source', { field, schema });
  await fill(store, 'source', ROWS);
});

afterAll(async () => {
  await store.close();
  await relay.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

const stateFileOf = (target: string): string => join(folder, `${target}.json`);

async function readState(target: string): Promise<MigrationState> {
  return JSON.parse(await readFile(stateFileOf(target), 'utf8')) as MigrationState;
}

/** Whether a range was copied in part. */
function isUnderWay({ phase, ranges }: MigrationState): boolean {
  return phase === 'copying' && ranges.some(({ cursor, complete }) => cursor !== null && !complete);
}

/** Until the state says so, or the child is gone. */
async function untilCursor(target: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && !isUnderWay(await readState(target))) await sleep(1);
}

/** Runs the child until it ends, or kills it with SIGKILL where asked. */
function runChild(target: string, at: KillAt | null): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const args = [CHILD, relay.url, server.grpcUrl, target, stateFileOf(target)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    let hits = 0;
    const isNow = (here: boolean): boolean => here && ++hits === at?.nth;
    onRequest = (head) => {
      const now = at !== null && 'request' in at && isNow(head.startsWith(at.request));
      if (now) child.kill('SIGKILL');
      return now;
    };
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (at === null || !('step' in at) || !isNow(line.startsWith(at.step))) return;
      const ready = at.step === 'copying' ? untilCursor(target, child) : Promise.resolve();
      ready.then(() => child.kill('SIGKILL'), reject);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ killed: signal === 'SIGKILL', code, lines }));
  });
}

test('killed in every phase at seeded moments and resumed, the target equals an uninterrupted one', async () => {
  expect(await runChild('whole', null)).toMatchObject({ killed: false, code: 0 });
  const rng = new Rng(21);
  const kills: KillAt[] = [
    { request: 'PUT /collections/killed ', nth: 1 },
    { request: 'PUT /collections/killed/index', nth: 1 + rng.int(3) },
    ...Array.from({ length: 6 }, () => ({ step: 'copying', nth: 4 + rng.int(14) })),
    ...Array.from({ length: 2 }, () => ({ step: 'indexing', nth: 1 + rng.int(2) })),
    ...Array.from({ length: 2 }, () => ({ step: 'verifying', nth: 1 + rng.int(4) })),
  ];
  const phases = new Map<string, number>();
  let fromCursors = 0;
  for (const at of kills) {
    expect(await runChild('killed', at)).toMatchObject({ killed: true });
    const state = await readState('killed');
    phases.set(state.phase, (phases.get(state.phase) ?? 0) + 1);
    if (isUnderWay(state)) fromCursors++;
  }
  expect([...phases.keys()].sort()).toEqual(['copying', 'creating', 'finishing', 'verifying']);
  expect(fromCursors).toBeGreaterThanOrEqual(3);
  const last = await runChild('killed', null);
  expect(last).toMatchObject({ killed: false, code: 0 });
  expect(last.lines.at(-1)).toBe('copied 0');
  const content = async (name: string): Promise<string[]> => [
    ...(await contentOf(store, name)),
    ...(await contentOf(store, name, 'compact')),
  ];
  const [whole, killed] = [await content('whole'), await content('killed')];
  expect(whole).toHaveLength(2 * ROWS);
  expect(killed).toEqual(whole);
});
