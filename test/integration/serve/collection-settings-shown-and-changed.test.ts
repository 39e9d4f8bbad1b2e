import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Rng } from '../../../src/core/rng.js';
import {
  bodyOf,
  randomChange,
  type Change,
} from '../../support/collection-settings/random-setting-changes.js';
import {
  BINARY,
  FULL,
  limitForBoth,
  limitForCompact,
  PRODUCT,
  SCALAR,
  settingsChecks,
  SMALL,
  type SettingsChecks,
} from '../../support/collection-settings/compare-settings-through-proxy.js';
import {
  startSettingsPlace,
  targetOf,
  TRANSPORTS,
  type Fields,
  type Migrated,
  type SettingsPlace,
} from '../../support/collection-settings/migrate-and-serve.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const CHANGES = Number(process.env['SETTINGS_CHANGES'] ?? 8);
const SEED = Number(process.env['SETTINGS_SEED'] ?? 1);

const MIGRATED: readonly Migrated[] = [
  { name: 'shared', vector: '', body: { vectors: FULL, quantization_config: SCALAR } },
  { name: 'own', vector: '', body: { vectors: { ...FULL, quantization_config: BINARY } } },
  {
    name: 'both',
    vector: '',
    body: {
      vectors: { ...FULL, quantization_config: BINARY, hnsw_config: { full_scan_threshold: 2_000 } },
      quantization_config: PRODUCT,
    },
  },
  { name: 'neither', vector: '', body: { vectors: FULL, hnsw_config: { inline_storage: true } } },
  {
    name: 'many',
    vector: 'text',
    body: {
      vectors: { text: FULL, other: { ...SMALL, quantization_config: PRODUCT }, third: SMALL },
      quantization_config: SCALAR,
      hnsw_config: { inline_storage: true, full_scan_threshold: 2_000 },
    },
  },
  {
    name: 'warned',
    vector: 'text',
    body: { vectors: { text: { ...FULL, hnsw_config: { inline_storage: true } }, other: SMALL } },
  },
  {
    name: 'limited',
    vector: '',
    body: { vectors: FULL, strict_mode_config: { enabled: false, max_collection_vector_size_bytes: 1_001 } },
  },
  { name: 'compact', vector: '', layout: 'compact', body: { vectors: FULL, quantization_config: SCALAR } },
];
/** A target of a target: clients know neither hidden vector, so it shows what the first source shows. */
const AGAIN: readonly Migrated[] = [
  { name: 'first', vector: '', body: { vectors: FULL, quantization_config: SCALAR } },
  { name: targetOf('first'), vector: '', compactName: 'smaller', body: null },
];

const originalOf = (name: string): string => (name === targetOf('first') ? 'first' : name);

let place: SettingsPlace;
let checks: SettingsChecks;

beforeAll(async () => {
  place = await startSettingsPlace([...MIGRATED, ...AGAIN]);
  checks = settingsChecks(place, originalOf);
});

afterAll(() => place.stop());

describe.each([...MIGRATED, AGAIN[1]!])(
  'settings of $name',
  ({ name, vector, layout, body, compactName }) => {
    const block = (body?.['vectors'] ?? FULL) as Fields;
    const vectors = 'size' in block ? [''] : Object.keys(block);
    const compact = layout === 'compact' ? vector : (compactName ?? 'compact');

    test('are those of the original', () => checks.expectSame(name));

    test('stay so through changes', async () => {
      const rng = new Rng(SEED);
      for (let i = 0; i < CHANGES; i++) {
        const transport = TRANSPORTS[rng.int(2)]!;
        const change: Change = randomChange(rng, vectors);
        await checks.update(transport, name, bodyOf(change, transport));
        await checks.expectSame(name);
        const original = await checks.effective(originalOf(name), vector);
        const expected = {
          ...original,
          fullScan: limitForCompact(original.fullScan),
          ...(layout !== 'compact' && { vectorSize: limitForBoth(original.vectorSize) }),
        };
        const searched = await checks.effective(targetOf(name), compact);
        expect({ change, searched }).toEqual({ change, searched: expected });
        if (layout === 'compact') continue;
        expect((await checks.effective(targetOf(name), vector)).codes).toBeNull();
      }
    });
  },
);
