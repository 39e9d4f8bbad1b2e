import assert from 'node:assert/strict';
import { compactDistance } from '../../core/distance.js';
import { expectDefined, isTldrError } from '../../core/errors.js';
import { DATATYPES, QUANTIZATIONS, TARGET_DATATYPES } from '../collection.js';
import type { CollectionSpec } from '../collection.js';
import type { TargetChange } from '../copy-target.js';
import { METADATA_KEY } from '../target-description.js';
import { assertCode, nth, type CaseOf, type ContractPlace } from './fixtures.js';

/** A change to a compact collection of two dimensions. */
function compactChange({ vectorName }: ContractPlace, source: CollectionSpec, name: string): TargetChange {
  return {
    name,
    layout: 'compact',
    vectorName,
    compactName: vectorName,
    compactDim: 2,
    compactDistance: compactDistance(nth(source.vectors, 0).distance),
    metadata: { tldr: '{"x":1}' },
  };
}

async function createsOnce(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const { name } = await place.fill('contract-derive');
  const source = await store.describe(name);
  const change = compactChange(place, source, 'contract-derive-compact');
  const target = store.deriveTarget(source, change);
  await store.create(target);
  await store.finishBulkLoad(target);
  const actual = await store.describe(target.name);
  const { dim, distance } = { dim: 2, distance: change.compactDistance };
  assert.deepEqual(actual.vectors, [{ ...nth(source.vectors, 0), dim, distance }]);
  assert.deepEqual(JSON.parse(expectDefined(actual.metadata['tldr'], 'the metadata')), { x: 1 });
  assert.deepEqual(store.differences(target, actual), []);
  assert.notDeepEqual(store.differences(source, actual), []);
  assert.equal(await store.count(target.name), 0);
  await assertCode(store.create(target), 'ALREADY_EXISTS');
  const wrong = { ...change, vectorName: 'nope' };
  assert.throws(() => store.deriveTarget(source, wrong), {
    code: 'NOT_FOUND',
    message: /no dense vector "nope"/,
  });
  const taken = { ...change, layout: 'two-stage' as const };
  assert.throws(() => store.deriveTarget(source, taken), { name: 'TldrError' });
}

async function resumes(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const { name } = await place.fill('contract-resume');
  const source = await store.describe(name);
  const target = store.deriveTarget(source, compactChange(place, source, 'contract-resume-compact'));
  await store.create(target, { resume: true });
  await store.finishBulkLoad(target);
  await store.setMetadata(target.name, { more: '"y"' });
  // A store may have something of its own to remember.
  const { metadata } = target;
  assert.deepEqual(
    Object.keys((await store.describe(target.name)).metadata).sort(),
    [...Object.keys(metadata), 'more'].sort(),
  );
  assert.ok(Object.keys(metadata).includes('tldr'));
  // Added metadata does not matter: it is still the collection that was begun. A collection with another value of a key is another one.
  const again = (other: CollectionSpec['metadata']): Promise<void> =>
    store.create({ ...target, metadata: other }, { resume: true });
  await again(metadata);
  await again({ ...metadata, mine: '2' });
  for (const tldr of ['{"x":2}', '{"x":1,"y":2}', '{}'])
    await assertCode(again({ ...metadata, tldr }), 'ALREADY_EXISTS');
  for (const other of [{}, { more: '"z"' }, { more: '"y"', other: '1' }])
    await assertCode(again(other), 'ALREADY_EXISTS');
  await again({ more: '"y"' });
}

async function derivesAgain(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  const name = await place.empty('contract-again', { dim: 8, distance: nth(place.opened.distances, 0) });
  const source = await store.describe(name);
  const { distance } = nth(source.vectors, 0);
  const made = (from: CollectionSpec, to: string, compactDim: number): CollectionSpec => {
    const description = {
      format: 1,
      encoder: String(compactDim),
      layout: 'two-stage' as const,
      source: from.name,
      vector: vectorName,
      compact: 'small',
      inputDim: 8,
      outputDim: compactDim,
      distance,
    };
    return store.deriveTarget(from, {
      name: to,
      layout: description.layout,
      vectorName,
      compactName: description.compact,
      compactDim,
      compactDistance: compactDistance(distance),
      metadata: { [METADATA_KEY]: JSON.stringify(description) },
    });
  };
  const first = made(source, 'contract-again-first', 4);
  await store.create(first);
  await store.finishBulkLoad(first);
  // From a target with a hidden vector as from the collection that it was made of.
  const again = made(await store.describe(first.name), 'contract-again-second', 2);
  assert.deepEqual(store.differences(made(source, 'contract-again-third', 2), again), []);
  await store.create(again);
  await store.finishBulkLoad(again);
  const actual = await store.describe(again.name);
  assert.deepEqual(store.differences(again, actual), []);
  assert.deepEqual(
    actual.vectors.map((vector) => [vector.name, vector.dim]).sort(),
    [
      [vectorName, 8],
      ['small', 2],
    ].sort(),
  );
}

async function keepsInOtherWays(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  const name = await place.empty('contract-kept', { dim: 8, distance: nth(place.opened.distances, 0) });
  const source = await store.describe(name);
  const able = store.capabilities;
  for (const [i, quantization] of QUANTIZATIONS.entries()) {
    for (const datatype of DATATYPES) {
      const change: TargetChange = {
        name: `contract-kept-${datatype}-${i}`,
        layout: 'two-stage',
        vectorName,
        compactName: 'small',
        compactDim: 4,
        compactDistance: compactDistance(nth(source.vectors, 0).distance),
        metadata: {},
        datatype,
        quantization,
      };
      // Whole numbers from 0 to 255, and codes of 4 bits, cannot hold reduced vectors.
      const can =
        TARGET_DATATYPES.some((name) => name === datatype) &&
        able.datatypes.includes(datatype) &&
        able.quantizations.includes(quantization);
      if (!can) {
        assert.throws(() => store.deriveTarget(source, change), { code: 'UNSUPPORTED' });
        continue;
      }
      const target = store.deriveTarget(source, change);
      await store.create(target);
      await store.finishBulkLoad(target);
      const actual = await store.describe(change.name);
      assert.deepEqual(store.differences(target, actual), []);
      if (store.storage === undefined) continue;
      const kept = store.storage.of(actual, 'small');
      assert.deepEqual(
        [kept.datatype, kept.quantization, kept.onDisk, kept.codesInMemory],
        [datatype, quantization, quantization !== 'none', true],
      );
      assert.equal(store.storage.of(actual, vectorName).quantization, 'none');
    }
  }
}

async function keepsLinks(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  const source = await store.describe(await place.empty('contract-links-source', { dim: 8 }));
  const change: TargetChange = {
    name: 'contract-links-target',
    layout: 'compact',
    vectorName,
    compactName: vectorName,
    compactDim: 4,
    compactDistance: compactDistance(nth(source.vectors, 0).distance),
    metadata: {},
    hnswM: 5,
  };
  const links = store.storage?.of(source, vectorName).hnswM ?? null;
  let target: CollectionSpec;
  try {
    target = store.deriveTarget(source, change);
  } catch (error) {
    // A store without graphs refuses. One with graphs makes them as it is asked.
    assert.ok(isTldrError(error, 'UNSUPPORTED') && (links === null || links === 0));
    return;
  }
  await store.create(target);
  await store.finishBulkLoad(target);
  const actual = await store.describe(change.name);
  assert.deepEqual(store.differences(target, actual), []);
  if (store.storage !== undefined) assert.equal(store.storage.of(actual, vectorName).hnswM, 5);
}

async function drops(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const [a, b] = [await place.fill('contract-drop-a'), await place.fill('contract-drop-b')];
  await store.drop(a.name);
  assert.equal(await store.exists(a.name), false);
  assert.ok(!(await store.listCollections()).includes(a.name));
  assert.equal(await store.count(b.name), b.ids.length);
}

/** Collections that a migration makes. */
export const TARGET_CASES: readonly CaseOf[] = [
  {
    facet: 'target',
    name: 'derives a compact target, creates it once and sees its differences',
    check: createsOnce,
  },
  { facet: 'target', name: 'resumes only the collection that was begun', check: resumes },
  {
    facet: 'target',
    name: 'derives a target kept in another way, or says that it cannot',
    check: keepsInOtherWays,
  },
  {
    facet: 'target',
    name: 'derives from a two-stage target as from the collection that it was made of',
    check: derivesAgain,
  },
  { facet: 'target', name: 'derives a target with fewer links, or says that it cannot', check: keepsLinks },
  { facet: 'target', name: 'drops a collection and no other', check: drops },
];
