import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../../adapters/memory/store.js';
import { dot, normalizeRowsInPlace } from '../../../src/core/distance.js';
import { Encoder } from '../../../src/encoder/model.js';
import { largestDifference, matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { Log } from '../../../src/core/run-options.js';
import type { MemoryStore } from '../../../adapters/memory/index.js';
import { migrateCollection, startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { toWriteBatch } from '../../../src/migrate/points/project-batch.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { verifyAgain } from '../../../src/migrate/verify/from-state.js';
import { planMigration } from '../../../src/migrate/plan/migration.js';
import { verifyMigration } from '../../../src/migrate/verify/all-points.js';
import { projectNatively } from '../../support/random-encoder.js';
import { contentOf, fill, idAt, memorySpec, tinyEncoder } from '../../support/migrate/fixtures.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-native-'));
afterAll(() => rm(folder, { recursive: true }));

const sides = { sourceCollection: 'source', targetCollection: 'target', layout: 'compact' as const };

test('a large collection is copied with native products, of several ranges at a time, and every point verified', async () => {
  const rows = 20_010;
  const store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', rows);
  const logged: string[] = [];
  const statePath = join(folder, 'large.json');
  const common = { ...sides, source: store, target: store, encoder: tinyEncoder() };
  const log = (_level: string, message: string): void => void logged.push(message);
  const report = await migrateCollection({ ...common, statePath, concurrency: 3, batchSize: 100, log });
  expect(report).toMatchObject({ copied: rows, verify: { ok: true, points: rows, differenceCount: 0 } });
  expect(logged).toContain('projecting with native products');
  expect((await contentOf(store, 'target')).length).toBe(rows);
});

describe('the migration state records how the copy is projected', () => {
  const rows = 20_010;
  const statePath = join(folder, 'recorded.json');
  const store = openMemory();
  const place = stateFile(statePath);
  const common = { ...sides, source: store, target: store, encoder: tinyEncoder(), place };
  const native = 'projecting with native products';

  /** What a run logs. */
  async function loggedBy(run: (log: Log) => Promise<unknown>): Promise<readonly string[]> {
    const logged: string[] = [];
    await run((_level, message) => void logged.push(message));
    return logged;
  }

  async function edit(change: (record: Record<string, unknown>) => void): Promise<void> {
    const record = JSON.parse(await readFile(statePath, 'utf8')) as Record<string, unknown>;
    change(record);
    await writeFile(statePath, JSON.stringify(record));
  }

  beforeAll(async () => {
    await store.create(memorySpec('source'));
    await fill(store, 'source', rows);
    const stop = new AbortController();
    const stopping: MemoryStore = {
      ...store,
      upsert: async (name, batch, options) => {
        await store.upsert(name, batch, options);
        if ((await store.count('target')) > 19_000) stop.abort();
      },
    };
    await expect(
      startMigration({ ...common, target: stopping, signal: stop.signal, saveIntervalMs: 0 }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('a resumed copy projects as it began, however few points are left', async () => {
    const logged = await loggedBy(async (log) => {
      const { copied, verify } = await startMigration({ ...common, log });
      expect(copied).toBeLessThan(2_000);
      expect(verify).toMatchObject({ ok: true, points: rows });
    });
    expect(logged).toContain(native);
    expect(await place.read()).toMatchObject({ projector: 'native' });
  });

  test('a verification projects as the copy did', async () => {
    const logged = await loggedBy(async (log) => {
      expect(await verifyAgain({ ...common, log })).toMatchObject({ ok: true, points: rows });
    });
    expect(logged).toContain(native);
    expect(await place.read()).toMatchObject({ projector: 'native' });
  });

  test('a state of an earlier version does not say it: it is verified with the kernel', async () => {
    await edit((record) => delete record['projector']);
    const logged = await loggedBy(async (log) => {
      expect(await verifyAgain({ ...common, log })).toMatchObject({ ok: true, points: rows });
    });
    expect(logged).not.toContain(native);
  });

  test('an unknown projector is refused', async () => {
    await edit((record) => (record['projector'] = 'another'));
    await expect(verifyAgain(common)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });
});

test('a small collection is copied by the kernel, and its state says so', async () => {
  const store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', 10);
  const place = stateFile(join(folder, 'small.json'));
  await startMigration({ ...sides, source: store, target: store, encoder: tinyEncoder(), place });
  expect(await place.read()).toMatchObject({ projector: 'kernel' });
});

test('a projector that errs does not confirm its own copy: the kernel checks a point of each batch', async () => {
  const store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', 10);
  const encoder = tinyEncoder();
  const common = { ...sides, source: store, target: store, encoder };
  const turned = (x: Matrix): Matrix => ({ ...x, data: x.data.map((value) => -value) });
  const projector = { project: (x: Matrix) => turned(encoder.project(x)) };
  await migrateCollection({ ...common, statePath: join(folder, 'erring.json') });
  const plan = await planMigration(common);
  const ids = Array.from({ length: 10 }, (_, i) => idAt(i));
  const batch = await store.retrieve('source', ids, { vectorName: '' });
  const reduced = projector.project(batch.vectors);
  const destination = { ...plan, componentBytes: 4, keys: store.keys };
  await store.upsert('target', toWriteBatch(encoder, batch, { reduced, destination }));
  const { differences } = await verifyMigration(plan, { ...common, projector });
  expect(differences).toEqual(['point 1: its reduced vector is not the projection of the full one']);
});

/** Module hooks under which the native library is not there, as on a machine it is not made for. */
const WITHOUT = `export async function resolve(name, context, next) {
  if (name === 'onnxruntime-node') throw new Error('not made for this machine');
  return next(name, context);
}`;

/** Output of a script that migrates the collection "source" of 20,010 points on a machine without the library. */
function withoutLibrary(migrate: string): string {
  const data = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;
  const hooks = data(`import { register } from 'node:module'; register(${JSON.stringify(data(WITHOUT))});`);
  const at = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { openMemory } = await import(${at('../../../adapters/memory/store.js')});
    const { startMigration } = await import(${at('../../../src/migrate/run/migrate-collection.js')});
    const { stateFile } = await import(${at('../../../src/migrate/state/in-file.js')});
    const { verifyAgain } = await import(${at('../../../src/migrate/verify/from-state.js')});
    const { fill, memorySpec, tinyEncoder } = await import(${at('../../support/migrate/fixtures.js')});
    const store = openMemory();
    await store.create(memorySpec('source'));
    await fill(store, 'source', 20_010);
    const sides = { source: store, target: store, sourceCollection: 'source', targetCollection: 'target', layout: 'compact' };
    const place = stateFile(${JSON.stringify(join(folder, 'without.json'))});
    const log = (level, message) => console.log(level, message);
    const common = { ...sides, encoder: tinyEncoder(), place, log };
    ${migrate}`;
  return execFileSync(process.execPath, ['--import', hooks, '--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
}

test('where the native library is not there, a large collection is copied without it, and the log says so', () => {
  const said = withoutLibrary(`const { verify } = await startMigration(common);
    console.log('equal', verify.points, (await place.read()).projector);
    // As if another machine had made the copy.
    const record = await place.read();
    await place.write({ ...record, projector: 'native' });
    const again = await verifyAgain(common);
    console.log('verified', again.points, again.ok);`);
  expect(said).toContain('info projecting without native products: not made for this machine');
  expect(said).toContain('equal 20010 kernel');
  expect(said).toContain(
    'warn the copy was begun with native products, which this machine cannot load (not made for this machine): projecting with the WebAssembly kernel instead',
  );
  expect(said).toContain('verified 20010 true');
});

const DIM = 768;
const OUT = 8;

/** Unit rows of which the part in the space that `weight` keeps is of the lengths given. */
function rowsAcross(weight: Matrix, lengths: readonly number[]): Matrix {
  const axes = matrix(OUT, DIM);
  for (let j = 0; j < OUT; j++) for (let k = 0; k < DIM; k++) row(axes, j)[k] = weight.data[k * OUT + j]!;
  const rng = new Rng(3);
  const x = matrix(lengths.length, DIM);
  lengths.forEach((length, i) => {
    const values = Float64Array.from({ length: DIM }, () => rng.normal() / Math.sqrt(DIM));
    // Twice, since what the first time leaves is rounding.
    for (let time = 0; time < 2; time++)
      for (let j = 0; j < OUT; j++) {
        const axis = row(axes, j);
        const along = axis.reduce((sum, value, k) => sum + value * values[k]!, 0);
        axis.forEach((value, k) => (values[k]! -= along * value));
      }
    row(axes, i % OUT).forEach((value, k) => (values[k]! += length * value));
    row(x, i).set(values);
  });
  normalizeRowsInPlace(x);
  return x;
}

/** Columns at right angles, of unit length. */
function orthonormal(): Matrix {
  const rng = new Rng(5);
  const axes = matrix(OUT, DIM);
  axes.data.forEach((_, i) => (axes.data[i] = rng.normal()));
  for (let j = 0; j < OUT; j++) {
    const axis = row(axes, j);
    for (let other = 0; other < j; other++) {
      const along = dot(axis, row(axes, other));
      axis.forEach((value, k) => (axis[k] = value - along * row(axes, other)[k]!));
    }
    normalizeRowsInPlace(matrix(1, DIM, axis));
  }
  const weight = matrix(DIM, OUT);
  for (let j = 0; j < OUT; j++) for (let k = 0; k < DIM; k++) weight.data[k * OUT + j] = row(axes, j)[k]!;
  return weight;
}

const ids = (differences: readonly string[]): string =>
  differences.map((text) => /\d+/.exec(text)![0]).join();

/** What verification finds where the target holds these vectors instead of what was copied. */
async function verifying(
  encoder: Encoder,
  x: Matrix,
): Promise<(stored: Matrix) => Promise<readonly string[]>> {
  const store = openMemory();
  const spec = memorySpec('source', encoder.metadata.distance);
  await store.create({ ...spec, vectors: spec.vectors.map((vector) => ({ ...vector, dim: DIM })) });
  const points = {
    ids: Array.from({ length: x.rows }, (_, i) => BigInt(i)),
    extra: Array.from({ length: x.rows }, () => store.codec.pack('{}')),
  };
  const has = new Uint8Array(x.rows).fill(1);
  await store.upsert('source', { ...points, vectors: [{ name: '', matrix: x, has }] });
  const common = { ...sides, source: store, target: store, encoder };
  files++;
  await migrateCollection({ ...common, statePath: join(folder, `across-${files}.json`) });
  const plan = await planMigration(common);
  return async (stored) => {
    await store.upsert('target', { ...points, vectors: [{ name: '', matrix: stored, has }] });
    return (await verifyMigration(plan, common)).differences;
  };
}
let files = 0;

const plus = (x: Matrix, more: number): Matrix => ({ ...x, data: x.data.map((value) => value + more) });

test('a point nearly across the kept space is no difference by rounding, and one by anything more', async () => {
  const weight = orthonormal();
  const layers = [{ weight, bias: null, relu: false }];
  const { metadata } = tinyEncoder();
  const encoder = new Encoder({ normalizeInput: true, layers, normalizeOutput: true }, metadata);
  const x = rowsAcross(weight, [1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7]);
  const differences = await verifying(encoder, x);
  const native = await projectNatively(encoder, x);
  // Otherwise this test would say nothing.
  expect(largestDifference(native.data, encoder.project(x).data)).toBeGreaterThan(1e-4);
  expect(await differences(native)).toEqual([]);
  expect(ids(await differences(plus(native, 2e-5)))).toMatch(/^0,1/);
  expect(ids(await differences(plus(native, 1e-3)))).toMatch(/^0,1,2,3/);
  const turned = { ...native, data: native.data.map((value) => -value) };
  expect(ids(await differences(turned))).toMatch(/^0,1,2,3,4,5/);
});

test('nor is one near the middle of vectors that lie far from zero', async () => {
  const weight = orthonormal();
  const rng = new Rng(9);
  const x = matrix(6, DIM);
  x.data.forEach((_, i) => (x.data[i] = 1000 + rng.normal() * 10 ** -Math.floor(i / DIM)));
  const bias = new Float32Array(OUT);
  for (let j = 0; j < OUT; j++) for (let k = 0; k < DIM; k++) bias[j]! -= 1000 * weight.data[k * OUT + j]!;
  const { metadata } = tinyEncoder(1, 'euclid');
  const layers = [{ weight, bias, relu: false }];
  const encoder = new Encoder({ normalizeInput: false, layers, normalizeOutput: false }, metadata);
  const differences = await verifying(encoder, x);
  const native = await projectNatively(encoder, x);
  expect(largestDifference(native.data, encoder.project(x).data)).toBeGreaterThan(1e-4);
  expect(await differences(native)).toEqual([]);
  expect(ids(await differences(plus(native, 0.1)))).toBe('0,1,2,3,4,5');
});
