import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMemory } from '../../adapters/memory/store.js';
import type { MemoryStore } from '../../adapters/memory/index.js';
import type { Encoder } from '../../src/encoder/model.js';
import { openPointSync } from '../../src/migrate/dual-write/open-point-sync.js';
import { migrateCollection, type MigrationReport } from '../../src/migrate/run/migrate-collection.js';
import { contentOf, fill, idAt, memorySpec, tinyEncoder } from '../support/migrate/fixtures.js';

const ROWS = 60;
const [FIRST, SECOND] = [tinyEncoder(1), tinyEncoder(2)];
const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-two-stage-source-'));
afterAll(() => rm(folder, { recursive: true }));
let states = 0;

function migrated(
  store: MemoryStore,
  {
    from,
    to,
    encoder,
    layout = 'two-stage',
  }: { from: string; to: string; encoder: Encoder; layout?: 'compact' | 'two-stage' },
): Promise<MigrationReport> {
  return migrateCollection({
    source: store,
    target: store,
    sourceCollection: from,
    targetCollection: to,
    encoder,
    layout,
    statePath: join(folder, `${states++}.json`),
  });
}

/** A store with `docs`, its two-stage target `docs_1`, and a target of the same layout from `docs` by the second encoder. */
async function withTargets(): Promise<MemoryStore> {
  const store = openMemory();
  await store.create(memorySpec('docs'));
  await fill(store, 'docs', ROWS);
  await migrated(store, { from: 'docs', to: 'docs_1', encoder: FIRST });
  await migrated(store, { from: 'docs', to: 'docs_2', encoder: SECOND });
  return store;
}

describe('a migration whose source is a two-stage target', () => {
  test('makes of its full vector what it would make of the first source', async () => {
    const store = await withTargets();
    const before = await contentOf(store, 'docs_1');
    const { verify, plan } = await migrated(store, { from: 'docs_1', to: 'again', encoder: SECOND });
    expect(verify).toMatchObject({ ok: true, points: ROWS });
    expect(plan).toMatchObject({ vectorName: '', compactName: 'compact', leftOut: 'compact' });
    expect(await contentOf(store, 'again')).toEqual(await contentOf(store, 'docs_2'));
    expect(await contentOf(store, 'docs_1')).toEqual(before);
  });

  test('makes no compact target that keeps the hidden vector', async () => {
    const store = await withTargets();
    await migrated(store, { from: 'docs_1', to: 'small', encoder: SECOND, layout: 'compact' });
    await migrated(store, { from: 'docs', to: 'small_2', encoder: SECOND, layout: 'compact' });
    expect((await store.describe('small')).vectors).toEqual((await store.describe('small_2')).vectors);
    expect(await contentOf(store, 'small')).toEqual(await contentOf(store, 'small_2'));
  });

  test('is refused for another vector than its full one, whose hidden vector nobody would keep equal', async () => {
    const store = await withTargets();
    await expect(
      migrateCollection({
        source: store,
        target: store,
        sourceCollection: 'docs_1',
        targetCollection: 'other',
        vectorName: 'compact',
        encoder: SECOND,
        layout: 'two-stage',
        statePath: join(folder, 'other.json'),
      }),
    ).rejects.toThrow('its vector "compact" is made from ""');
    expect(await store.exists('other')).toBe(false);
  });

  test('repairs and follows writes without the hidden vector', async () => {
    const store = await withTargets();
    const statePath = join(folder, 'repaired.json');
    const sides = { source: store, target: store, sourceCollection: 'docs_1', targetCollection: 'again' };
    const run = (): Promise<MigrationReport> =>
      migrateCollection({ ...sides, encoder: SECOND, layout: 'two-stage', statePath });
    await run();
    await store.remove('again', [idAt(0), idAt(1)]);
    await expect(run()).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
    await run();
    await store.remove('again', [idAt(2)]);
    const sync = await openPointSync({ ...sides, encoder: SECOND });
    expect(await sync.sync([idAt(2)])).toBeNull();
    await sync.stop();
    expect(await contentOf(store, 'again')).toEqual(await contentOf(store, 'docs_2'));
  });
});
