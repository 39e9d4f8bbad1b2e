import { afterAll, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../adapters/memory/memory-store.js';
import { dot, normalizeRowsInPlace } from '../../src/core/distance.js';
import { Encoder } from '../../src/core/encoder.js';
import { matrix, row, type Matrix } from '../../src/core/matrix.js';
import { NativeProjector } from '../../src/core/native-projector.js';
import { Rng } from '../../src/core/rng.js';
import { migrateCollection } from '../../src/migrate/migrate-collection.js';
import { planMigration } from '../../src/migrate/plan-migration.js';
import { verifyMigration } from '../../src/migrate/verify-migration.js';
import { contentOf, fill, memorySpec, tinyEncoder } from './fixtures.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-native-'));
afterAll(() => rm(folder, { recursive: true }));

const sides = { sourceCollection: 'source', targetCollection: 'target' };

test('a large collection is copied with native products, in several lanes, and every point verified', async () => {
  const rows = 20_010;
  const store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', rows);
  const logged: string[] = [];
  const recordPath = join(folder, 'large.json');
  const common = { ...sides, source: store, target: store, encoder: tinyEncoder() };
  const log = (_level: string, message: string): void => void logged.push(message);
  const report = await migrateCollection({ ...common, recordPath, lanes: 3, batchSize: 100, log });
  expect(report).toMatchObject({ copied: rows, verify: { ok: true, points: rows, differenceCount: 0 } });
  expect(logged).toContain('projecting with native products');
  expect((await contentOf(store, 'target')).length).toBe(rows);
});

/** Module hooks under which the native library is not there, as on a machine it is not made for. */
const WITHOUT = `export async function resolve(name, context, next) {
  if (name === 'onnxruntime-node') throw new Error('not made for this machine');
  return next(name, context);
}`;

test('where the native library is not there, a large collection is copied without it, and the log says so', () => {
  const data = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;
  const hooks = data(`import { register } from 'node:module'; register(${JSON.stringify(data(WITHOUT))});`);
  const at = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { openMemory } = await import(${at('../../adapters/memory/memory-store.js')});
    const { migrateCollection } = await import(${at('../../src/migrate/migrate-collection.js')});
    const { fill, memorySpec, tinyEncoder } = await import(${at('./fixtures.js')});
    const store = openMemory();
    await store.create(memorySpec('source'));
    await fill(store, 'source', 20_010);
    const sides = { source: store, target: store, sourceCollection: 'source', targetCollection: 'target' };
    const recordPath = ${JSON.stringify(join(folder, 'without.json'))};
    const log = (_level, message) => console.log(message);
    const { verify } = await migrateCollection({ ...sides, encoder: tinyEncoder(), recordPath, log });
    console.log('equal', verify.points);`;
  const said = execFileSync(process.execPath, ['--import', hooks, '--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect(said).toContain('projecting without native products: not made for this machine');
  expect(said).toContain('equal 20010');
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

test('a point nearly across the kept space is no difference by rounding, and one by anything else', async () => {
  const weight = orthonormal();
  const layers = [{ weight, bias: null, relu: false }];
  const { metadata } = tinyEncoder();
  const encoder = new Encoder({ normalizeInput: true, layers, normalizeOutput: true }, metadata);
  const lengths = [1, 1e-1, 1e-2, 1e-3, 1e-5, 1e-6, 1e-7];
  const x = rowsAcross(weight, lengths);
  const ids = lengths.map((_, i) => BigInt(i));
  const has = new Uint8Array(ids.length).fill(1);

  const store = openMemory();
  const spec = memorySpec('source');
  await store.create({ ...spec, vectors: spec.vectors.map((vector) => ({ ...vector, dim: DIM })) });
  const rest = ids.map(() => store.packRest('{}'));
  await store.upsert('source', { ids, vectors: [{ name: '', matrix: x, has }], rest });
  const common = { ...sides, source: store, target: store, encoder };
  await migrateCollection({ ...common, recordPath: join(folder, 'across.json') });

  const plan = await planMigration(common);
  const differences = async (stored: Matrix): Promise<readonly string[]> => {
    await store.upsert('target', { ids, vectors: [{ name: '', matrix: stored, has }], rest });
    return (await verifyMigration(plan, common)).differences;
  };
  const kernel = encoder.project(x);
  const projector = await NativeProjector.open(encoder.network);
  const native = await projector.project(x);
  await projector.close();
  const apart = lengths.map((_, i) =>
    Math.max(...row(kernel, i).map((value, j) => Math.abs(value - row(native, i)[j]!))),
  );
  // Otherwise this test would say nothing.
  expect(Math.max(...apart)).toBeGreaterThan(1e-4);
  expect(await differences(native)).toEqual([]);
  const turned = { ...native, data: native.data.map((value) => -value) };
  expect((await differences(turned)).length).toBeGreaterThanOrEqual(4);
  const moved = { ...native, data: native.data.map((value) => value + 1e-3) };
  expect((await differences(moved)).length).toBeGreaterThanOrEqual(3);
});
