import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../adapters/memory/store.js';
import { TldrError } from '../../src/core/errors.js';
import { matrix } from '../../src/core/matrix.js';
import type { MemoryStore } from '../../adapters/memory/index.js';
import {
  migrateCollection,
  startMigration,
  type MigrateOptions,
} from '../../src/migrate/run/migrate-collection.js';
import { stateFile } from '../../src/migrate/state/in-file.js';
import { targetDescription } from '../../src/store/target-description.js';
import { planMigration } from '../../src/migrate/plan/migration.js';
import { verifyMigration } from '../../src/migrate/verify/all-points.js';
import { watched } from '../support/store/watch-calls.js';
import {
  COMPACT_DIM,
  contentOf,
  DIM,
  fill,
  idAt,
  memorySpec,
  tinyEncoder,
} from '../support/migrate/fixtures.js';

const ROWS = 300;
const encoder = tinyEncoder();
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-migrate-'));
afterAll(() => rm(folder, { recursive: true }));

let store: MemoryStore;
let states = 0;

function options(changes: Partial<MigrateOptions> = {}): MigrateOptions {
  return {
    source: store,
    target: store,
    sourceCollection: 'source',
    targetCollection: 'target',
    encoder,
    layout: 'compact',
    statePath: join(folder, `state-${states}.json`),
    batchSize: 16,
    concurrency: 1,
    ...changes,
  };
}

beforeEach(async () => {
  states++;
  store = openMemory();
  await store.create(memorySpec('source'));
  await fill(store, 'source', ROWS);
});

describe.each(['compact', 'two-stage'] as const)('%s', (layout) => {
  test('copies every point, leaves the source alone and says what the target is', async () => {
    const before = await contentOf(store, 'source');
    const report = await migrateCollection(options({ layout }));
    expect(report).toMatchObject({
      copied: ROWS,
      resumed: false,
      verify: { ok: true, points: ROWS, differenceCount: 0 },
    });
    expect(await contentOf(store, 'source')).toEqual(before);
    const target = await store.describe('target');
    expect(target.vectors.map(({ name, dim }) => [name, dim])).toEqual(
      layout === 'compact'
        ? [['', COMPACT_DIM]]
        : [
            ['', DIM],
            ['compact', COMPACT_DIM],
          ],
    );
    expect(target.metadata['kept']).toBe('"yes"');
    expect(targetDescription(target)).toMatchObject({
      encoder: encoder.fingerprint,
      layout,
      source: 'source',
      inputDim: DIM,
      outputDim: COMPACT_DIM,
    });
    const again = await migrateCollection(options({ layout }));
    expect(again).toMatchObject({ copied: 0, resumed: true });
  });

  test.each([
    ['a missing point', 'is missing in the target', () => store.remove('target', [idAt(31)])],
    ['a point too many', 'is in the target only', () => write(999n, '{}')],
    ['a changed payload', 'payload or another vector differs', () => write(idAt(31), '{"i":31,"f":1}')],
    [
      'a wrong vector',
      'is not the projection',
      () => write(idAt(31), `{"i":31,"f":1.0,"text":"${'x'.repeat(31)}"}`),
    ],
  ])('verify finds %s', async (_name, message, spoil) => {
    await migrateCollection(options({ layout }));
    const [name] = layout === 'compact' ? [''] : ['compact'];
    const whole = await contentOf(store, 'target', name);
    await spoil();
    const plan = await planMigration(options({ layout }));
    const report = await verifyMigration(plan, { source: store, target: store, encoder });
    expect(report.ok).toBe(false);
    expect(report.differences.join('\n')).toContain(message);
    await expect(migrateCollection(options({ layout }))).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('run the migration again'),
    });
    expect(await migrateCollection(options({ layout }))).toMatchObject({ copied: 1, verify: { ok: true } });
    expect(await contentOf(store, 'target', name)).toEqual(whole);
  });

  /** Replaces a point of the target; its reduced vector becomes the unit vector of the first axis. */
  async function write(id: bigint | string, payload: string): Promise<void> {
    const reduced = matrix(1, COMPACT_DIM);
    reduced.data[0] = 1;
    const has = Uint8Array.of(1);
    const full = { name: '', matrix: matrix(1, DIM, new Float32Array(DIM).fill(1)), has };
    const vectors =
      layout === 'compact'
        ? [{ name: '', matrix: reduced, has }]
        : [full, { name: 'compact', matrix: reduced, has }];
    await store.upsert('target', { ids: [id], vectors, extra: [store.codec.pack(payload)] });
  }
});

test('the two-stage target keeps the full vectors bit for bit', async () => {
  await migrateCollection(options({ layout: 'two-stage' }));
  const strip = (lines: string[]): string[] => lines.map((line) => line.split(' ').slice(0, 2).join(' '));
  expect(strip(await contentOf(store, 'target'))).toEqual(strip(await contentOf(store, 'source')));
});

test('planning writes nothing, nowhere', async () => {
  const before = await readdir(folder);
  const plan = await planMigration(options());
  expect(plan).toMatchObject({ points: ROWS, inputDim: DIM, outputDim: COMPACT_DIM, targetExists: false });
  expect(await store.listCollections()).toEqual(['source']);
  expect(await readdir(folder)).toEqual(before);
});

describe('refuses', () => {
  test('a target that is something else, without touching it', async () => {
    await store.create(memorySpec('target'));
    await expect(migrateCollection(options())).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await store.count('target')).toBe(0);
  });

  test('a target made with another encoder', async () => {
    await migrateCollection(options());
    const before = await contentOf(store, 'target');
    await expect(migrateCollection(options({ encoder: tinyEncoder(2) }))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    expect(await contentOf(store, 'target')).toEqual(before);
  });

  test('a state of another migration', async () => {
    await migrateCollection(options());
    const other = migrateCollection(options({ targetCollection: 'elsewhere' }));
    await expect(other).rejects.toMatchObject({
      code: 'MISMATCH',
      message: expect.stringContaining('targetCollection'),
    });
    expect(await store.exists('elsewhere')).toBe(false);
  });

  test.each([
    ['an encoder of another distance', { encoder: tinyEncoder(1, 'euclid') }, 'MISMATCH'],
    ['source and target alike', { targetCollection: 'source' }, 'INVALID_ARGUMENT'],
    ['a missing source', { sourceCollection: 'nope' }, 'NOT_FOUND'],
    ['a missing vector', { vectorName: 'nope' }, 'NOT_FOUND'],
  ])('%s', async (_name, changes, code) => {
    await expect(migrateCollection(options(changes))).rejects.toMatchObject({ code });
    expect(await store.exists('target')).toBe(false);
  });

  test('a state of other servers', async () => {
    await migrateCollection(options());
    await expect(
      migrateCollection(options({ source: { ...store, endpoint: 'elsewhere' } })),
    ).rejects.toMatchObject({ code: 'MISMATCH', message: expect.stringContaining('now elsewhere') });
  });

  test('a state that cannot be kept', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    const run = migrateCollection(options({ statePath: join(file, 'state.json') }));
    await expect(run).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await store.exists('target')).toBe(false);
  });

  test('another way of keeping the reduced vector than the run before', async () => {
    await migrateCollection(options({ datatype: 'float32', quantization: 'none' }));
    expect(targetDescription(await store.describe('target'))).toMatchObject({
      datatype: 'float32',
      quantization: 'none',
    });
    expect(JSON.parse(await readFile(options().statePath, 'utf8'))).toMatchObject({ datatype: 'float32' });
    const again = await migrateCollection(options({ datatype: 'float32', quantization: 'none' }));
    expect(again).toMatchObject({ copied: 0, resumed: true });
    await expect(migrateCollection(options())).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining('datatype: it has "float32", wanted that of the source'),
    });
    await store.drop('target');
    await expect(migrateCollection(options())).rejects.toMatchObject({
      code: 'MISMATCH',
      message: expect.stringContaining('datatype: recorded float32, now (unset)'),
    });
    await expect(
      migrateCollection(options({ targetCollection: 'other', quantization: 'scalar' })),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('a damaged state', async () => {
    await writeFile(options().statePath, '{"version":3,"phase":"copying","ranges":[{}]}');
    await expect(migrateCollection(options())).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });

  test('vectors that are not finite, naming the point', async () => {
    const broken = matrix(1, DIM);
    broken.data[3] = Infinity;
    await store.create(memorySpec('broken', 'euclid'));
    await store.upsert('broken', {
      ids: [5n],
      vectors: [{ name: '', matrix: broken, has: Uint8Array.of(1) }],
      extra: [store.codec.pack('{}')],
    });
    const run = migrateCollection(options({ sourceCollection: 'broken', encoder: tinyEncoder(1, 'euclid') }));
    await expect(run).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('point 5'),
    });
  });
});

test('stopped anywhere, with any batches and ranges, it ends equal when run again', async () => {
  const whole = options();
  await migrateCollection({ ...whole, targetCollection: 'whole', statePath: `${whole.statePath}.whole` });
  const expected = await contentOf(store, 'whole');
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 90 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
      async (batchSize, concurrency, stops) => {
        const target = `target-${run++}`;
        const statePath = join(folder, `${target}.json`);
        for (const stop of stops) {
          const controller = new AbortController();
          // Fails the nth write after it was applied or before, as a crash between write and stored state would.
          let writes = 0;
          const failing: MemoryStore = {
            ...store,
            upsert: async (...args) => {
              writes++;
              if (writes === stop && stop % 2 === 0) throw new Error('connection lost');
              await store.upsert(...args);
              if (writes === stop) throw new Error('connection lost');
            },
          };
          await migrateCollection(
            options({
              target: failing,
              targetCollection: target,
              statePath,
              batchSize,
              concurrency,
              signal: controller.signal,
            }),
          ).catch((error: unknown) => expect(error).toMatchObject({ message: 'connection lost' }));
        }
        await migrateCollection(options({ targetCollection: target, statePath, batchSize, concurrency }));
        expect(await contentOf(store, target)).toEqual(expected);
        expect(JSON.parse(await readFile(statePath, 'utf8'))).toMatchObject({ phase: 'verified' });
      },
    ),
    { numRuns: 25, seed: 4 },
  );
});

describe('without a layout', () => {
  const unsaid = (changes: Partial<MigrateOptions> = {}): MigrateOptions =>
    options({ layout: undefined, ...changes });

  test('a new migration gets the two-stage layout', async () => {
    expect(await migrateCollection(unsaid())).toMatchObject({ plan: { layout: 'two-stage' } });
    const { vectors } = await store.describe('target');
    expect(vectors.map(({ name }) => name).sort()).toEqual(['', 'compact']);
  });

  test('a migration that was begun before keeps its layout', async () => {
    const controller = new AbortController();
    const begun = options({ signal: controller.signal, onProgress: () => controller.abort() });
    await expect(migrateCollection(begun)).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await migrateCollection(unsaid())).toMatchObject({ resumed: true, plan: { layout: 'compact' } });
  });

  test('a state alone says the layout, before its target is made', async () => {
    const begun = options();
    const create = (): Promise<never> => Promise.reject(new Error('connection lost'));
    await expect(migrateCollection({ ...begun, target: { ...store, create } })).rejects.toThrow(
      'connection lost',
    );
    expect(await store.exists('target')).toBe(false);
    expect(await migrateCollection(unsaid())).toMatchObject({ resumed: true, plan: { layout: 'compact' } });
  });

  test('a target alone says the layout, after its state is lost', async () => {
    await migrateCollection(options());
    const again = unsaid({ statePath: join(folder, `lost-${states}.json`) });
    expect(await migrateCollection(again)).toMatchObject({ resumed: false, plan: { layout: 'compact' } });
  });
});

test('an abort stops cleanly and can be resumed', async () => {
  const controller = new AbortController();
  const run = migrateCollection(options({ signal: controller.signal, onProgress: () => controller.abort() }));
  await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
  const rest = await migrateCollection(options());
  expect(rest.resumed).toBe(true);
  expect(rest.copied).toBeLessThan(ROWS);
});

test.each([true, false])(
  'the source is counted once before the copy (planned before: %s)',
  async (planned) => {
    const calls: string[] = [];
    const counted = watched(store, ({ name, args, go }) => {
      calls.push(`${name} ${String(args[0])}`);
      return go();
    });
    const { statePath, ...request } = options({ source: counted, target: counted });
    const place = stateFile(statePath);
    await startMigration({
      ...request,
      place,
      ...(planned ? { planned: await planMigration(request) } : {}),
    });
    const before = calls.slice(0, calls.indexOf('upsert target'));
    expect(before.filter((call) => call === 'count source')).toHaveLength(1);
  },
);

test('a state whose ranges hold no ids is refused before anything is copied, with what to do', async () => {
  const given = options();
  await migrateCollection(given);
  const state = JSON.parse(await readFile(given.statePath, 'utf8')) as { phase: string; ranges: object[] };
  state.phase = 'copying';
  state.ranges = state.ranges.map((range) => ({ ...range, cursor: 'no id', complete: false }));
  await writeFile(given.statePath, JSON.stringify(state));
  const strict: MemoryStore = {
    ...store,
    keys: {
      ...store.keys,
      parse: (text) => {
        if (!/^\d+$|-/.test(text)) throw new TldrError('INVALID_ARGUMENT', `"${text}" is no id`);
        return store.keys.parse(text);
      },
    },
  };
  await expect(migrateCollection({ ...given, source: strict, target: strict })).rejects.toMatchObject({
    code: 'INVALID_DATA',
    hint: 'restore-state',
    message: expect.stringMatching(/state-.*is damaged: "no id" is no id/),
  });
});
