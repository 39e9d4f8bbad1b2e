import { indexField } from '../../support/server/index-field.js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { PointBatch } from '../../../src/store/points.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

const ROWS = 4_000;
/** All but the last digit of integers from 2^63 on, which are one double. */
const LARGE = '1844674407370955160';
/** A point that is only ever written as a whole, with the same payload. */
const LAST = 9_999;
const LAST_PAYLOAD = `{"large":${LARGE}4}`;
/** Ids that the writer makes, changes and removes: some of the source's own, some new ones. */
const NUMBERS = 6_000;

let place: CliPlace;
let store: QdrantStore;
let cwd: string;
/** Clients write more often than this, however slow the machine is. */
const WRITES_MIN = 100;
const cli: CliPlace['cli'] = (...args) => place.cli(...args);
/** Changing a point that is not there is refused, and is one of the things clients do. */
const rest = (method: string, path: string, body: unknown): Promise<void> =>
  place.rest(method, path, body, ({ status }) => status === 404 && path.includes('/points/'));

beforeAll(async () => {
  place = await openCliPlace('catch-up');
  ({ store, cwd } = place);
});

afterAll(() => place.end());

/** A change of payload with an integer that gRPC does not carry. */
const withLarge = (ids: readonly number[], value: string): string =>
  `{"payload":{"large":${value},"in":[{"deeper":${value}}]},"points":[${ids.join()}]}`;

const withLast = (vector: readonly number[]): string =>
  `{"points":[{"id":${LAST},"vector":[${vector.join()}],"payload":${LAST_PAYLOAD}}]}`;

/** Writes of every kind, one after another, each waited for, until `stop` is there; then `stopped` is. */
async function writeUntil(
  collection: string,
  { stop, stopped }: { stop: string; stopped: string },
): Promise<number> {
  const rng = new Rng(5);
  const points = `/collections/${collection}/points`;
  const id = (): number => rng.int(NUMBERS);
  const ids = (): number[] => Array.from({ length: 1 + rng.int(4) }, id);
  const vector = (): number[] => Array.from({ length: DIM }, () => rng.normal());
  const kinds: (() => Promise<void>)[] = [
    () =>
      rest('PUT', `${points}?wait=true`, {
        points: ids().map((one) => ({ id: one, vector: vector(), payload: { i: one, at: rng.int(1000) } })),
      }),
    () => rest('POST', `${points}/delete?wait=true`, { points: ids() }),
    () =>
      rest('POST', `${points}/delete?wait=true`, {
        filter: { must: [{ key: 'i', range: { gte: id(), lt: 3 } }] },
      }),
    () => rest('POST', `${points}/payload?wait=true`, { payload: { set: rng.int(1000) }, points: ids() }),
    () => rest('POST', `${points}/payload?wait=true`, withLarge(ids(), `${LARGE}${rng.int(10)}`)),
    () => rest('PUT', `${points}?wait=true`, withLast(vector())),
    () => rest('PUT', `${points}/payload?wait=true`, { payload: { over: 1.0 }, points: ids() }),
    () => rest('POST', `${points}/payload/delete?wait=true`, { keys: ['text'], points: ids() }),
    () => rest('POST', `${points}/payload/clear?wait=true`, { points: ids() }),
    () => rest('POST', `${points}/vectors/delete?wait=true`, { vector: [''], points: ids() }),
  ];
  let writes = 0;
  while (!existsSync(stop) || writes <= WRITES_MIN) {
    await kinds[rng.int(kinds.length)]!();
    writes++;
  }
  await writeFile(stopped, '');
  return writes;
}

/** Points by id: their other parts, and the vector that the target should hold or holds. */
async function pointsOf(
  name: string,
  vectorOf: (batch: PointBatch, i: number) => Float32Array,
): Promise<Map<string, { rest: string; vector: Float32Array | null }>> {
  const found = new Map<string, { rest: string; vector: Float32Array | null }>();
  for await (const batch of store.scan(name, { vectorName: '' }))
    batch.ids.forEach((id, i) => {
      const bytes = Buffer.from(store.codec.canonical(batch.extra[i]!)).toString('base64');
      found.set(String(id), {
        rest: bytes,
        vector: batch.hasVector[i] === 0 ? null : Float32Array.from(vectorOf(batch, i)),
      });
    });
  return found;
}

test('under writes of every kind the target is equal at the switch, and the freeze is measured', async () => {
  // Indexed from the first points on: the server then replaces points only in part.
  const optimizers_config = { indexing_threshold: 1, default_segment_number: 1 };
  await rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' }, optimizers_config });
  await indexField(place.server, 'docs', { field: 'i', schema: 'integer' });
  await fill(store, 'docs', ROWS);
  await store.names.switch('clients', 'docs');
  const [stop, stopped] = [join(cwd, 'stop'), join(cwd, 'stopped')];
  const writer = writeUntil('docs', { stop, stopped });
  const names = ['docs', 'docs-c'];
  const start = [
    'migrate',
    'start',
    ...names,
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
    '--json',
    '--batch-size',
    '64',
  ];
  const started = await cli(...start, '--catch-up', '--lag-max', '50');
  expect(started).toMatchObject({ code: 0 });
  expect(started.json()).toMatchObject({ caughtUp: { byVersions: true } });
  // Equal at no moment while they write: verification says so, and what follows does not mind.
  const project = '--clients-project';
  const cutover = ['migrate', 'cutover', ...names, '--alias', 'clients', '--catch-up', project];
  const early = ['migrate', 'cutover', ...names, '--alias', 'clients', '--execute', project];
  expect((await cli(...early)).code).toBe(10);
  const frozen = await cli('migrate', 'cutover', ...names, '--alias', 'clients', '--freeze-max', '20s');
  expect(frozen).toMatchObject({ code: 2, stderr: expect.stringContaining('--freeze-max needs --catch-up') });
  const dry = await cli(...cutover);
  expect(dry.stdout).toMatch(/then the before-cutover hook, which must stop the writers/);
  const unstopped = await cli(...cutover, '--execute', '--freeze-max', '20s');
  expect([8, 10]).toContain(unstopped.code);
  expect((await store.names.all()).get('clients')).toBe('docs');
  const hook = 'touch stop; while [ ! -e stopped ]; do sleep 0.05; done';
  const switched = await cli(...cutover, '--execute', '--json', '--on', 'before-cutover', hook);
  expect(switched).toMatchObject({ code: 0 });
  expect(switched.json()).toMatchObject({ caughtUp: { lag: 0 }, frozenMs: expect.any(Number) });
  expect(await writer).toBeGreaterThan(WRITES_MIN);
  expect((await store.names.all()).get('clients')).toBe('docs-c');
  const encoder = tinyEncoder();
  const source = await pointsOf('docs', (batch, i) => row(encoder.project(batch.vectors), i));
  const target = await pointsOf('docs-c', (batch, i) => row(batch.vectors, i));
  expect([...target.keys()]).toEqual([...source.keys()]);
  let vectors = 0;
  for (const [id, wanted] of source) {
    const got = target.get(id)!;
    expect({ id, rest: got.rest, has: got.vector !== null }).toEqual({
      id,
      rest: wanted.rest,
      has: wanted.vector !== null,
    });
    if (wanted.vector === null || got.vector === null) continue;
    vectors++;
    for (let j = 0; j < COMPACT_DIM; j++) expect(got.vector[j]).toBeCloseTo(wanted.vector[j]!, 4);
  }
  expect(vectors).toBeGreaterThan(1_000);
  // As the server tells it, past the product's own way of reading.
  for (const name of ['docs', 'docs-c'])
    expect(await place.text(`/collections/${name}/points/${LAST}`)).toContain(`"payload":${LAST_PAYLOAD}`);
});

test('settings of the source that change while the target follows are brought over by resume', async () => {
  await rest('PUT', '/collections/limited', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(store, 'limited', 200);
  await store.names.switch('limited-clients', 'limited');
  const names = ['limited', 'limited-c'];
  const start = [
    'migrate',
    'start',
    ...names,
    '--encoder',
    'enc.onnx',
    '--layout',
    'compact',
    '--yes',
    '--catch-up',
  ];
  expect(await cli(...start)).toMatchObject({ code: 0 });
  await rest('PATCH', '/collections/limited', {
    optimizers_config: { indexing_threshold: 4000 },
    hnsw_config: { full_scan_threshold: 2000 },
    metadata: { mine: 1 },
  });
  const clients = ['--alias', 'limited-clients', '--clients-project'];
  const cutover = ['migrate', 'cutover', ...names, ...clients, '--catch-up', '--execute'];
  expect((await cli(...cutover)).stderr).toContain('full_scan_threshold: expected 500, got 2500');
  expect(await cli('migrate', 'resume', ...names, '--yes', '--catch-up')).toMatchObject({ code: 0 });
  expect(await cli(...cutover)).toMatchObject({ code: 0 });
  expect((await store.names.all()).get('limited-clients')).toBe('limited-c');
});
