import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { QdrantClient } from '@qdrant/js-client-rest';
import { withProjection } from '../../../adapters/qdrant/client/with-projection.js';
import { QUANTIZATION_KEY } from '../../../adapters/qdrant/store/source-quantization-record.js';
import {
  BINARY,
  fieldsAt,
  FULL,
  PRODUCT,
  SCALAR,
  settingsChecks,
  SMALL,
  type SettingsChecks,
} from '../../support/collection-settings/compare-settings-through-proxy.js';
import {
  startSettingsPlace,
  targetOf,
  type Fields,
  type Migrated,
  type SettingsPlace,
} from '../../support/collection-settings/migrate-and-serve.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');

/** Each is changed by one group of tests only. */
const MIGRATED: readonly Migrated[] = [
  { name: 'unrecorded', vector: '', body: { vectors: FULL, quantization_config: SCALAR } },
  { name: 'unrecorded-own', vector: '', body: { vectors: { ...FULL, quantization_config: SCALAR } } },
  {
    name: 'chosen',
    vector: '',
    body: { vectors: FULL, quantization_config: SCALAR },
    quantization: 'binary',
  },
  {
    name: 'chosen-compact',
    vector: 'text',
    layout: 'compact',
    quantization: 'none',
    body: { vectors: { text: FULL, other: SMALL }, quantization_config: SCALAR },
  },
  { name: 'wrapped', vector: '', body: { vectors: FULL, quantization_config: SCALAR } },
  { name: 'own', vector: '', body: { vectors: { ...FULL, quantization_config: BINARY } } },
  { name: 'forms', vector: '', body: { vectors: FULL, quantization_config: SCALAR } },
];

/** A StrictModeConfig by the positions of its fields, as the server takes it; the tenth is the size of all vectors. */
const STRICT_AS_ARRAY = [
  false,
  null,
  null,
  null,
  null,
  null,
  null,
  null,
  null,
  30_001,
  null,
  null,
  null,
  95,
  null,
  null,
  null,
  null,
  null,
];

let place: SettingsPlace;
let checks: SettingsChecks;

beforeAll(async () => {
  place = await startSettingsPlace(MIGRATED);
  checks = settingsChecks(place);
});

afterAll(() => place.stop());

async function codesOf(name: string, vector: string): Promise<unknown> {
  return (await checks.effective(targetOf(name), vector)).codes;
}

describe('a target of an earlier version', () => {
  const forget = async (name: string): Promise<void> => {
    await place.direct.rest('PATCH', targetOf(name), { metadata: { [QUANTIZATION_KEY]: null } });
  };

  test('gets another quantisation for the whole collection', async () => {
    await forget('unrecorded');
    await checks.update('REST', 'unrecorded', { quantization_config: PRODUCT });
    await checks.expectSame('unrecorded');
    expect(await codesOf('unrecorded', 'compact')).toEqual(PRODUCT);
    await checks.update('gRPC', 'unrecorded', { quantizationConfig: { disabled: {} } });
    await checks.expectSame('unrecorded');
    expect(await codesOf('unrecorded', 'compact')).toBeNull();
  });

  test('shows and changes that of a vector', async () => {
    await forget('unrecorded-own');
    await checks.expectSame('unrecorded-own');
    await checks.update('REST', 'unrecorded-own', { vectors: { '': { quantization_config: 'Disabled' } } });
    await checks.expectSame('unrecorded-own');
    expect(await codesOf('unrecorded-own', 'compact')).toBeNull();
  });
});

describe('a quantisation chosen for the target', () => {
  test('is shown in the place of that of the source', async () => {
    const shown = fieldsAt(await place.served.describe('REST', 'chosen'));
    expect(shown['quantization_config']).toEqual(BINARY);
    expect(fieldsAt(shown, 'params', 'vectors')['quantization_config']).toBeUndefined();
    await checks.update('gRPC', 'chosen', { quantizationConfig: { disabled: {} } });
    expect(await codesOf('chosen', 'compact')).toBeNull();
  });

  test('leaves that of other vectors to the collection', async () => {
    const shown = fieldsAt(await place.served.describe('REST', 'chosen-compact'));
    expect(shown['quantization_config']).toEqual(SCALAR);
    expect(fieldsAt(shown, 'params', 'vectors', 'other')['quantization_config']).toBeUndefined();
    await checks.update('REST', 'chosen-compact', { quantization_config: PRODUCT });
    expect(await codesOf('chosen-compact', 'other')).toEqual(PRODUCT);
    expect(await codesOf('chosen-compact', 'text')).toBeNull();
  });
});

test('the wrapped client shows and changes what the original has', async () => {
  const [plain, other] = [0, 1].map(() => new QdrantClient({ url: place.url, checkCompatibility: false }));
  const client = await withProjection(other!, {
    collections: { wrapped: { target: targetOf('wrapped'), encoder: place.encoder } },
  });
  for (const quantization_config of [undefined, PRODUCT, 'Disabled' as const]) {
    if (quantization_config !== undefined)
      for (const one of [plain!, client]) await one.updateCollection('wrapped', { quantization_config });
    const shown = await Promise.all([plain!, client].map((one) => one.getCollection('wrapped')));
    expect(shown[1]!.config.quantization_config).toEqual(shown[0]!.config.quantization_config);
    expect(shown[1]!.config.params).toEqual(shown[0]!.config.params);
  }
  expect(await codesOf('wrapped', 'compact')).toBeNull();
});

test.each<Fields | readonly unknown[]>([
  { quantization: { binary: {} } },
  [null, null, null, [17, 100, 2_000], [['int8', 0.9, true]], null, null, { label: 'x' }],
  { vectors: { '': [[null, null, 500], { product: { compression: 'x4', extra: 1 } }] } },
  { vectors: { '': { quantization: 'Disabled', hnsw_config: { full_scan_threshold_kb: 2_000 } } } },
  { hnsw_config: { full_scan_threshold_kb: 500 }, optimizers_config: { indexing_threshold_kb: 900 } },
  { optimizers_config: [0.3, null, null, null, null, 800, null, null] },
  { quantization_config: { scalar: { type: 'int8', quantile: 2 } }, metadata: { a: 1 } },
  { quantization_config: { scalar: null, binary: {} }, unknown: 1 },
  { vectors: { '': { quantization_config: { scalar: { type: 'int8', quantile: 0.1 } } } } },
  { quantization_config: 'disabled' },
  { quantization_config: { turbo: {} } },
  { quantization_config: 5 },
  { quantization_config: null, hnsw_config: null, optimizers_config: null, vectors: null, metadata: null },
  { vectors: { compact: { quantization_config: 'Disabled' } } },
  { vectors: { nope: { quantization_config: 'Disabled' } }, quantization_config: 'Disabled' },
  { hnsw_config: { full_scan_threshold: 5 } },
  { hnsw_config: { full_scan_threshold: 100.5 } },
  { hnsw_config: { full_scan_threshold: -5 } },
  { metadata: 'text', quantization_config: 'Disabled' },
  { strict_mode_config: { enabled: false, max_collection_vector_size_bytes: 50_001, max_points_count: 90 } },
  { strict_mode_config: STRICT_AS_ARRAY, optimizers_config: { indexing_threshold: 1_000 } },
  [null, null, null, null, null, null, STRICT_AS_ARRAY, { label: 'y' }],
  { strict_mode_config: { max_collection_vector_size_bytes: null, read_rate_limit: 1_000 } },
  { strict_mode_config: STRICT_AS_ARRAY.slice(0, 12) },
  { strict_mode_config: { max_collection_vector_size_bytes: 1.5 } },
  { strict_mode_config: { max_collection_vector_size_bytes: '500' } },
  { strict_mode_config: { max_collection_vector_size_bytes: -1 }, quantization_config: 'Disabled' },
  { strict_mode_config: 5 },
  { quantization_config: SCALAR },
  { quantization_config: { Disabled: null } },
  { quantization_config: { Disabled: {} } },
])('the form %j has the effect that it has at the original', async (change) => {
  await checks.update('REST', 'forms', change as Fields);
  await checks.expectSame('forms');
});

describe('where the only vector has a quantisation of its own', () => {
  test.each<Fields>([
    { quantization_config: {} },
    { quantization_config: ['Disabled'] },
    { quantization_config: { scalar: { type: 'int4' } } },
    { quantization_config: { product: {} }, metadata: { a: 2 } },
    { quantization_config: { Disabled: null } },
    { quantization_config: { scalar: ['int8', 0.9, true] } },
    { quantization_config: PRODUCT },
    { quantization_config: 'Disabled' },
  ])('the form %j has the effect that it has at the original', async (change) => {
    await checks.update('REST', 'own', change);
    await checks.expectSame('own');
  });

  test.each<Fields>([
    { quantizationConfig: {} },
    { quantizationConfig: { scalar: {} } },
    { quantizationConfig: { binary: {} } },
    { quantizationConfig: { disabled: {} } },
  ])('the message %j has the effect that it has at the original', async (change) => {
    await checks.update('gRPC', 'own', change);
    await checks.expectSame('own');
  });
});

test.each<Fields>([
  { quantizationConfig: {} },
  { quantizationConfig: { scalar: { type: 'Int8', quantile: 2 } } },
  { quantizationConfig: { scalar: {} } },
  { quantizationConfig: { product: {} }, hnswConfig: { fullScanThreshold: '5' } },
  { vectorsConfig: { params: { quantizationConfig: {} } } },
  { vectorsConfig: { paramsMap: { map: { nope: {} } } }, quantizationConfig: { disabled: {} } },
  { vectorsConfig: { paramsMap: { map: { compact: {} } } }, quantizationConfig: { disabled: {} } },
  { vectorsConfig: {}, quantizationConfig: { disabled: {} } },
  { strictModeConfig: { enabled: false, maxCollectionVectorSizeBytes: '70001', maxPointsCount: '80' } },
  { strictModeConfig: { maxCollectionVectorSizeBytes: '0' }, quantizationConfig: { disabled: {} } },
  // More digits than a number of JavaScript holds.
  { strictModeConfig: { maxCollectionVectorSizeBytes: '18446744073709551615' } },
  { strictModeConfig: { maxCollectionVectorSizeBytes: '9007199254740993' } },
  { optimizersConfig: { indexingThreshold: '9007199254740993' } },
  {
    vectorsConfig: { params: { hnswConfig: { fullScanThreshold: '9007199254740995' } } },
    hnswConfig: { fullScanThreshold: '9007199254740997' },
  },
])('the message %j has the effect that it has at the original', async (change) => {
  await checks.update('gRPC', 'forms', change);
  await checks.expectSame('forms');
});
