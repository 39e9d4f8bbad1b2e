import assert from 'node:assert/strict';
import { expectDefined } from '../../core/errors.js';
import { row, type Matrix } from '../../core/matrix.js';
import { DATATYPES } from '../collection.js';
import { isCopyTarget, type CopyTarget, type TargetCapabilities } from '../copy-target.js';
import type { ScratchRequest, Storage, VectorStorage } from '../storage.js';
import { allOf, nth, randomVectors, type CaseOf, type ContractPlace } from './fixtures.js';

const [ROWS, DIM] = [400, 32];
const COMPONENT_BYTES = { float32: 4, float16: 2, uint8: 1, turbo4: 0.5 };

function storageOf({ store }: ContractPlace): Storage {
  return expectDefined(store.storage, 'storage');
}

async function estimates(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const storage = storageOf(place);
  const spec = await store.describe(await place.empty('contract-estimated', { dim: 6 }));
  const { onDisk } = storage.of(spec, vectorName);
  assert.throws(() => storage.of(spec, 'nope'), { code: 'NOT_FOUND' });
  for (const dim of [6, 2]) {
    const vectors = spec.vectors.map((vector) => ({ ...vector, dim }));
    const target = isCopyTarget(store) && dim !== 6 ? derived(store, spec, { vectorName, dim }) : null;
    const found = storage.estimate(target ?? { ...spec, vectors }, 1000);
    assert.equal(onDisk ? found.vectorsDiskBytes : found.vectorsRamBytes, 1000 * dim * 4);
    assert.ok(found.indexRamBytes >= 0);
  }
}

type Spec = Awaited<ReturnType<CopyTarget['describe']>>;

function derived(
  store: CopyTarget,
  spec: Spec,
  { vectorName, dim }: { readonly vectorName: string; readonly dim: number },
): Spec {
  return store.deriveTarget(spec, {
    name: `${spec.name}-compact`,
    layout: 'compact',
    vectorName,
    compactName: vectorName,
    compactDim: dim,
    compactDistance: nth(spec.vectors, 0).distance,
    metadata: {},
  });
}

/** Every way of keeping vectors that a store is able to. */
function everyStorage(able: TargetCapabilities): readonly (VectorStorage | 'source')[] {
  const quantized = able.quantizations.filter((one) => one !== 'none');
  return [
    'source',
    ...able.datatypes.map((datatype): VectorStorage => ({
      datatype,
      quantization: 'none',
      onDisk: false,
      indexed: true,
    })),
    ...quantized.map((quantization): VectorStorage => ({
      datatype: 'float32',
      quantization,
      onDisk: true,
      indexed: true,
    })),
    { datatype: 'float32', quantization: 'none', onDisk: true, indexed: false },
  ];
}

function scratchOf(
  { vectorName, plainDistance: distance }: ContractPlace,
  storages: readonly (VectorStorage | 'source')[],
): ScratchRequest {
  return {
    name: 'contract-scratch',
    vectorName,
    metadata: { mark: '{"x":1}' },
    vectors: storages.map((storage, i) => ({ name: `v${i}`, dim: DIM, distance, storage })),
  };
}

/** Vectors of whole numbers from 0 to 255, which every datatype holds. */
function wholeNumbers(): Matrix {
  const x = randomVectors(ROWS, DIM);
  for (let i = 0; i < x.data.length; i++)
    x.data[i] = Math.min(255, Math.max(0, Math.round(nth(x.data, i) * 40 + 128)));
  return x;
}

async function measures(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const storage = storageOf(place);
  const spec = await store.describe(await place.empty('contract-measured', { dim: DIM }));
  const able = store.capabilities;
  for (const datatype of DATATYPES.filter((one) => !able.datatypes.includes(one))) {
    const other: VectorStorage = { datatype, quantization: 'none', onDisk: false, indexed: true };
    assert.throws(() => storage.scratch(spec, scratchOf(place, [other])), { code: 'UNSUPPORTED' });
  }
  const wrong = { ...scratchOf(place, ['source']), vectorName: 'nope' };
  assert.throws(() => storage.scratch(spec, wrong), { code: 'NOT_FOUND' });
  const storages = everyStorage(able);
  const scratch = storage.scratch(spec, scratchOf(place, storages));
  await store.create(scratch);
  const x = wholeNumbers();
  const ids = place.sortedIds(ROWS);
  const vectors = storages.map((_, i) => ({ name: `v${i}`, matrix: x, has: allOf(ROWS) }));
  await store.upsert(scratch.name, { ids, vectors, extra: ids.map(() => store.codec.pack('{}')) });
  await store.finishBulkLoad(scratch);
  assert.deepEqual((await store.describe(scratch.name)).metadata, { mark: '{"x":1}' });
  await checkBytes(place, storages);
  await checkLinks(place, spec);
  for (const [i] of storages.entries()) {
    // Signs do not tell these vectors apart, so that every point is rescored.
    const quantized = { rescore: true, oversampling: ROWS };
    const request = { vectorName: `v${i}`, vector: row(x, 7), limit: 3 };
    const [first] = await store.search(scratch.name, { ...request, quantized });
    assert.equal(first?.id, ids[7]);
    const prefetch = { ...request, limit: 100, quantized };
    const [staged] = await store.search(scratch.name, { ...request, vectorName: 'v0', prefetch });
    assert.equal(staged?.id, ids[7]);
  }
  await storage.dropScratch(scratch.name);
  assert.equal(await store.exists(scratch.name), false);
  await storage.dropScratch(scratch.name);
}

async function checkBytes(
  place: ContractPlace,
  storages: readonly (VectorStorage | 'source')[],
): Promise<void> {
  const { codeBytes, overheadBytesMax } = expectDefined(place.opened.measured, 'measured, for storage');
  const found = await storageOf(place).measure('contract-scratch');
  assert.deepEqual(found.map(({ name }) => name).sort(), storages.map((_, i) => `v${i}`).sort());
  const bytes = new Map(found.map((one) => [one.name, one]));
  for (const [i, storage] of storages.entries()) {
    const one = expectDefined(bytes.get(`v${i}`), `the bytes of v${i}`);
    const { datatype, quantization } =
      storage === 'source' ? { datatype: 'float32' as const, quantization: 'none' as const } : storage;
    const components = ROWS * DIM * COMPONENT_BYTES[datatype];
    const over = one.vectorBytes - components;
    assert.ok(
      over >= 0 && over <= overheadBytesMax,
      `${one.vectorBytes} bytes of ${components} as ${datatype}`,
    );
    assert.deepEqual(
      { quantization, codeBytes: one.codeBytes },
      { quantization, codeBytes: quantization === 'none' ? 0 : ROWS * codeBytes(quantization, DIM) },
    );
  }
}

/** A graph with fewer links is smaller, if the store has graphs. */
async function checkLinks(place: ContractPlace, source: Spec): Promise<void> {
  const { target: store, vectorName } = place;
  const storage = storageOf(place);
  const { hnswM } = storage.of(source, vectorName);
  if (hnswM === 0) return;
  const name = 'contract-links';
  const request = scratchOf(place, ['source', 'source']);
  const [first, second] = request.vectors;
  const fewer = { ...expectDefined(second, 'the second vector'), hnswM: 4 };
  const scratch = storage.scratch(source, {
    ...request,
    name,
    vectors: [expectDefined(first, 'the first vector'), fewer],
  });
  await store.create(scratch);
  const x = wholeNumbers();
  const ids = place.sortedIds(ROWS);
  const vectors = ['v0', 'v1'].map((vector) => ({ name: vector, matrix: x, has: allOf(ROWS) }));
  await store.upsert(name, { ids, vectors, extra: ids.map(() => store.codec.pack('{}')) });
  await store.finishBulkLoad(scratch);
  const made = await store.describe(name);
  assert.deepEqual([storage.of(made, 'v0').hnswM, storage.of(made, 'v1').hnswM], [hnswM, 4]);
  const bytes = new Map((await storage.measure(name)).map((one) => [one.name, one]));
  const [many, few] = ['v0', 'v1'].map((vector) =>
    expectDefined(bytes.get(vector), `the bytes of ${vector}`),
  );
  const [of4, ofOwn] = [expectDefined(few, 'v1').indexBytes, expectDefined(many, 'v0').indexBytes];
  assert.ok(of4 < ofOwn);
  assert.ok(of4 + ofOwn <= storage.estimate(made, ROWS).indexRamBytes);
  await storage.dropScratch(name);
}

/** The memory that vectors take up. */
export const STORAGE_CASES: readonly CaseOf[] = [
  { facet: 'storage', name: 'estimates the memory of a collection', check: estimates },
  {
    facet: 'storage',
    name: 'measures every way of keeping vectors in a scratch collection, and drops it',
    check: measures,
  },
];
