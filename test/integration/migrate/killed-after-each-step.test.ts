import { indexField } from '../../support/server/index-field.js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { matrix } from '../../../src/core/matrix.js';
import { sleep } from '../../../src/core/run-options.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import { cutOver } from '../../../src/migrate/cutover/cut-over-by-alias.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { rollBack } from '../../../src/migrate/cutover/roll-back.js';
import { COMPACT_DIM, contentOf, DIM, fill, idAt, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { testsOn, type TestServer } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 400;
const SEARCHERS = 4;
const CHILD = fileURLToPath(new URL('../../support/migrate/killed-after-a-step-child.js', import.meta.url));

let place: CliPlace;
let server: TestServer;
let store: QdrantStore;
let cwd: string;
const cli: CliPlace['cli'] = (...args) => place.cli(...args);
const rest: CliPlace['rest'] = (...request) => place.rest(...request);

async function makeSource(name: string): Promise<void> {
  await rest('PUT', `/collections/${name}`, { vectors: { size: DIM, distance: 'Cosine' } });
  await indexField(place.server, name, { field: 'i', schema: 'integer' });
  await fill(store, name, ROWS);
}

const placeOf = (name: string): ReturnType<typeof stateFile> => stateFile(join(cwd, `${name}.json`));

function migrate(
  source: string,
  { layout = 'compact' }: { readonly layout?: 'compact' | 'two-stage' } = {},
): ReturnType<typeof startMigration> {
  const names = { sourceCollection: source, targetCollection: `${source}-2` };
  const how = { encoder: tinyEncoder(), layout, place: placeOf(source) };
  return startMigration({ source: store, target: store, ...names, ...how });
}

beforeAll(async () => {
  place = await openCliPlace('phases', { QDRANT_API_KEY: 'key-to-hide' });
  ({ server, store, cwd } = place);
  await tinyEncoder(2).save(join(cwd, 'other.onnx'));
});

afterAll(() => place.end());

/** What a search through a name answered, and between which numbers of the count of switches it was under way. */
interface Answer {
  readonly status: number;
  readonly sides: readonly string[];
  readonly begun: number;
  readonly ended: number;
}

interface LoadState {
  /** Beginnings and ends of switches so far. */
  switches: number;
  stop: boolean;
  readonly answers: Answer[];
}

/** Returns once a search that was sent after the latest switch has its answer. */
async function answered({ answers, switches }: LoadState): Promise<void> {
  while (!answers.some(({ begun }) => begun === switches)) await sleep(10);
}

/** Searches through a name until told to stop. */
async function searchLoad(name: string, state: LoadState): Promise<void> {
  const body = JSON.stringify({
    query: Array.from({ length: DIM }, (_, i) => i + 1),
    limit: 5,
    with_payload: true,
  });
  const search = async (): Promise<void> => {
    while (!state.stop) {
      const begun = state.switches;
      const response = await fetchOnce(`${server.url}/collections/${name}/points/query`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const json = (await response.json()) as { result?: { points: { payload: { side: string } }[] } };
      const sides = [...new Set((json.result?.points ?? []).map(({ payload }) => payload.side))];
      state.answers.push({ status: response.status, sides, begun, ended: state.switches });
    }
  };
  await Promise.all(Array.from({ length: SEARCHERS }, search));
}

test.each([
  ['an alias', 'loaded', 'alias', 'loaded-clients'],
  ["the source's own name", 'loaded-bare', 'bare-name', 'loaded-bare'],
] as const)(
  'under a load of searches, %s is switched and back without a failed or wrong answer',
  async (_name, source, form, name) => {
    await makeSource(source);
    if (form === 'alias') await store.names.switch(name, source);
    await migrate(source, { layout: 'two-stage' });
    // Marked apart after the verification, so that an answer tells where it comes from.
    for (const side of [source, `${source}-2`])
      await rest('POST', `/collections/${side}/points/payload?wait=true`, { payload: { side }, filter: {} });
    const state: LoadState = { switches: 0, stop: false, answers: [] };
    const load = searchLoad(name, state);
    const sides = { source: store, target: store, place: placeOf(source) };
    for (let round = 0; round < 3; round++) {
      await answered(state);
      state.switches++;
      await cutOver({ ...sides, form, alias: name });
      state.switches++;
      await answered(state);
      state.switches++;
      await rollBack(sides);
      state.switches++;
    }
    await answered(state);
    state.stop = true;
    await load;
    const { answers } = state;
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(answers.filter((answer) => answer.sides.length !== 1)).toEqual([]);
    // Even and unchanged: no switch was under way. 0 and 4 lead to the source, 2 to the target, and so on.
    const settled = answers.filter(({ begun, ended }) => begun === ended && begun % 2 === 0);
    const wrong = settled.filter(
      ({ begun, sides: [side] }) => side !== (begun % 4 === 0 ? source : `${source}-2`),
    );
    expect(wrong).toEqual([]);
    for (const at of [0, 2, 4, 6, 8, 10, 12]) expect(settled.some(({ begun }) => begun === at)).toBe(true);
  },
);

test('killed right after any step, from the first stored state to the deletion of the source, it goes on', async () => {
  await makeSource('killed');
  await store.names.switch('killed-clients', 'killed');
  const wanted = await contentOf(store, 'killed');
  const run = async (killAfter: string): Promise<{ signal: string | null; out: string }> => {
    const args = [CHILD, server.url, server.grpcUrl, join(cwd, 'killed.json'), killAfter];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    return { signal, out };
  };
  const steps = [
    'creating',
    'call create',
    'copying',
    'call upsert',
    'finishing',
    'call finishBulkLoad',
    'verifying',
    'verified',
    'begun',
    'call names.switch',
    'done',
    'completed',
    'call drop',
  ];
  for (const step of steps)
    expect({ step, ...(await run(step)) }).toEqual({ step, signal: 'SIGKILL', out: '' });
  expect(await run('none')).toEqual({ signal: null, out: 'finished\n' });
  expect((await store.listCollections()).includes('killed')).toBe(false);
  expect((await store.names.all()).get('killed-clients')).toBe('killed-2');
  const ids = (lines: string[]): string[] => lines.map((line) => line.split(' ')[0] ?? '');
  expect(ids(await contentOf(store, 'killed-2'))).toEqual(ids(wanted));
});

test('the command line goes all the way, and every seeded fault is found by verify', async () => {
  await makeSource('docs');
  await store.names.switch('docs-clients', 'docs');
  /** An integer that gRPC does not carry; its neighbour is the same double. */
  const large = (collection: string, h: string): Promise<void> =>
    rest(
      ...(['POST', `/collections/${collection}/points/payload?wait=true`] as const),
      `{"payload":{"in":[{"h":${h}}]},"points":[10]}`,
    );
  await large('docs', '18446744073709551614');
  const on = [
    '--on',
    'finished',
    'env > finished.txt',
    '--on',
    'range-done',
    'echo "$TLDR_RANGES_DONE" >> ranges.txt',
  ];
  const started = await cli(
    'migrate',
    'docs',
    'docs-c',
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
    '--json',
    ...on,
  );
  expect(started).toMatchObject({ code: 0 });
  const seen = await readFile(join(cwd, 'finished.txt'), 'utf8');
  expect(seen).toMatch(/^TLDR_EVENT=finished$/m);
  expect(seen).toMatch(/^TLDR_TARGET=docs-c$/m);
  expect(seen).not.toMatch(/key-to-hide|QDRANT/);
  expect(await readFile(join(cwd, 'ranges.txt'), 'utf8')).toBe('1\n');
  const vector = async (id: bigint | string): Promise<void> => {
    const wrong = {
      name: '',
      matrix: matrix(1, COMPACT_DIM, new Float32Array(COMPACT_DIM).fill(1)),
      has: Uint8Array.of(1),
    };
    const { extra: bytes } = await store.retrieve('docs-c', [id], { vectorName: '' });
    await store.upsert('docs-c', { ids: [id], vectors: [wrong], extra: bytes });
  };
  const otherEncoder = async (): Promise<void> => {
    for await (const batch of store.scan('docs', { vectorName: '' })) {
      const projected = { name: '', matrix: tinyEncoder(2).project(batch.vectors), has: batch.hasVector };
      await store.upsert('docs-c', { ids: batch.ids, vectors: [projected], extra: batch.extra });
    }
  };
  const payload = { payload: { text: `${'x'.repeat(6)}y` }, points: [7] };
  const faults: [() => Promise<void>, RegExp][] = [
    [() => store.remove('docs-c', [idAt(31)]), /point 31 is missing in the target/],
    [() => rest('POST', '/collections/docs-c/points/payload?wait=true', payload), /point 7: payload/],
    [() => large('docs-c', '18446744073709551615'), /point 10: payload/],
    [() => vector(idAt(4)), /point 4: its reduced vector is not the projection/],
    [() => rest('DELETE', '/collections/docs-c/index/i?wait=true', undefined), /setting payload_schema\.i/],
    [otherEncoder, /is not the projection/],
  ];
  for (const [seed, message] of faults) {
    await seed();
    const found = await cli('migrate', 'verify', 'docs', 'docs-c');
    expect(found).toMatchObject({ code: 10, stdout: expect.stringMatching(message) });
    expect(await cli('migrate', 'resume', 'docs', 'docs-c', '--yes')).toMatchObject({ code: 0 });
  }
  expect((await cli('migrate', 'verify', 'docs', 'docs-c', '--encoder', 'other.onnx')).code).toBe(9);
  const cutover = ['migrate', 'cutover', 'docs', 'docs-c', '--alias', 'docs-clients', '--clients-project'];
  const dry = await cli(...cutover);
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/if it succeeds:[^]*if it fails:[^]*dry run/),
  });
  expect((await store.names.all()).get('docs-clients')).toBe('docs');
  expect((await cli(...cutover, '--execute', '--on', 'before-cutover', 'exit 3')).code).toBe(2);
  expect((await store.names.all()).get('docs-clients')).toBe('docs');
  expect((await cli(...cutover, '--execute')).code).toBe(0);
  expect((await store.names.all()).get('docs-clients')).toBe('docs-c');
  expect((await cli('migrate', 'abort', 'docs', 'docs-c', '--execute')).code).toBe(5);
  const status = await cli('migrate', 'status', 'docs', 'docs-c', '--json');
  expect(status.json()).toMatchObject({
    phase: 'verified',
    sourcePoints: ROWS,
    targetPoints: ROWS,
    paused: false,
  });
  expect((await cli('migrate', 'rollback', 'docs', 'docs-c')).stdout).toContain('dry run');
  expect((await cli('migrate', 'rollback', 'docs', 'docs-c', '--execute')).code).toBe(0);
  expect((await store.names.all()).get('docs-clients')).toBe('docs');
  expect((await cli('migrate', 'pause', 'docs', 'docs-c')).code).toBe(0);
  expect((await cli('migrate', 'start', 'docs', 'docs-c', '--encoder', 'enc.onnx', '--yes')).code).toBe(130);
  expect((await cli('migrate', 'complete', 'docs', 'docs-c')).code).toBe(2);
  expect((await cli('migrate', 'abort', 'docs', 'docs-c')).stdout).toContain('dry run');
  expect(await store.exists('docs-c')).toBe(true);
  expect((await cli('migrate', 'abort', 'docs', 'docs-c', '--execute')).code).toBe(0);
  expect(await store.exists('docs-c')).toBe(false);
  expect((await cli('migrate', 'status', 'docs', 'docs-c')).code).toBe(4);
});
