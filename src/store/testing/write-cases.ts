import { expectDefined } from '../../core/errors.js';
import assert from 'node:assert/strict';
import { compactDistance } from '../../core/distance.js';
import { matrixFromRows, row } from '../../core/matrix.js';
import {
  allOf,
  assertVector,
  nth,
  PAYLOADS,
  randomVectors,
  type CaseOf,
  type ContractPlace,
} from './fixtures.js';

async function replacesAndRemoves(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  const { name, ids, vectors, distance } = await place.fill('contract-writes');
  const others = place.otherIds(ids.length, 2);
  const [added, missing] = [nth(others, 0), nth(others, 1)];
  const other = Float32Array.from([9, 9, 9, 9, 9, 9]);
  const [replaced, first, removed] = [nth(ids, 1), nth(ids, 0), [nth(ids, 4), nth(ids, 5)]];
  await store.upsert(name, {
    ids: [added, replaced],
    vectors: [{ name: vectorName, matrix: matrixFromRows([other, other]), has: allOf(2) }],
    extra: [store.codec.pack('{"new":true}'), store.codec.pack('{"new":true}')],
  });
  await store.remove(name, [...removed, missing]);
  await store.remove(name, []);
  const found = await store.retrieve(name, [added, replaced, first, nth(removed, 0), missing], {
    vectorName,
  });
  assert.deepEqual(found.ids, [added, replaced, first].sort(store.keys.compare));
  for (const [i, id] of found.ids.entries()) {
    assertVector(row(found.vectors, i), id === first ? row(vectors, 0) : other, distance);
    if (id !== first) assert.equal(store.payloadJson(nth(found.extra, i)), '{"new":true}');
  }
  assert.equal(await store.count(name), ids.length - 1);
  const left = [...ids, added].filter((id) => !removed.includes(id)).sort(store.keys.compare);
  assert.deepEqual(await place.idsOf(name), left);
}

async function searchesInTwoStages(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  for (const distance of place.opened.distances) {
    const name = `contract-staged-${distance}`;
    const source = await store.describe(await place.empty(`${name}-source`, { dim: 8, distance }));
    const target = store.deriveTarget(source, {
      name,
      layout: 'two-stage',
      vectorName,
      compactName: 'small',
      compactDim: 2,
      compactDistance: compactDistance(distance),
      metadata: {},
    });
    await store.create(target);
    const ids = place.sortedIds(60);
    const [full, small] = [randomVectors(60, 8), randomVectors(60, 2)];
    const vectors = [
      { name: vectorName, matrix: full, has: allOf(60) },
      { name: 'small', matrix: small, has: allOf(60) },
    ];
    const extra = ids.map((_, i) => store.codec.pack(nth(PAYLOADS, i % PAYLOADS.length)));
    await store.upsert(name, { ids, vectors, extra });
    await store.finishBulkLoad(target);
    const query = { vectorName, vector: row(full, 5), limit: 4, exact: true, withPayload: true };
    const direct = await store.search(name, query);
    if (distance !== 'dot') assert.equal(nth(direct, 0).id, ids[5]);
    assert.notEqual(nth(direct, 0).payloadJson, undefined);
    const prefetch = { vectorName: 'small', vector: row(small, 5), limit: 60 };
    assert.deepEqual(
      (await store.search(name, { ...query, prefetch })).map(({ id }) => id),
      direct.map(({ id }) => id),
    );
    // The first stage chooses what the second one orders.
    const few = await store.search(name, { ...query, prefetch: { ...prefetch, limit: 2 } });
    const nearestSmall = await store.search(name, {
      vectorName: 'small',
      vector: row(small, 5),
      limit: 2,
      exact: true,
    });
    assert.deepEqual(new Set(few.map(({ id }) => id)), new Set(nearestSmall.map(({ id }) => id)));
  }
}

async function copiesOtherVectors(place: ContractPlace): Promise<void> {
  const { target: store, vectorName } = place;
  const source = await store.describe(await place.empty('contract-others-source', { dim: 8 }));
  const target = store.deriveTarget(source, {
    name: 'contract-others',
    layout: 'two-stage',
    vectorName,
    compactName: 'small',
    compactDim: 2,
    compactDistance: compactDistance(place.plainDistance),
    metadata: {},
  });
  const ids = place.sortedIds(12);
  const [full, small] = [randomVectors(12, 8), randomVectors(12, 2)];
  const extra = ids.map((_, i) => store.codec.pack(nth(PAYLOADS, i % PAYLOADS.length)));
  const has = { full: allOf(12), small: Uint8Array.from(ids, (_, i) => (i === 3 ? 0 : 1)) };
  await store.create(target);
  await store.upsert(target.name, {
    ids,
    vectors: [
      { name: vectorName, matrix: full, has: has.full },
      { name: 'small', matrix: small, has: has.small },
    ],
    extra,
  });
  // A copy writes what a scan reads: here back in turn, one vector as a column and the other in the bytes.
  const read = await place.scan(target.name);
  await store.remove(target.name, ids);
  assert.equal(await store.count(target.name), 0);
  for (const one of read) {
    const columns = [{ name: vectorName, matrix: one.vectors, has: one.hasVector }];
    await store.upsert(target.name, { ids: one.ids, vectors: columns, extra: one.extra });
  }
  const after = await place.scan(target.name, { vectorName: 'small' });
  assert.deepEqual(
    after.flatMap(({ hasVector }) => [...hasVector]),
    [...has.small],
  );
  for (const one of after) {
    for (const [i, id] of one.ids.entries()) {
      const at = ids.indexOf(id);
      if (at !== 3) assertVector(row(one.vectors, i), row(small, at), compactDistance(place.plainDistance));
      const found = store.codec.vector(nth(one.extra, i), vectorName, 8);
      assertVector(expectDefined(found, 'the full vector'), row(full, at), place.plainDistance);
    }
  }
}

/** Writes, and what is read after them. */
export const WRITE_CASES: readonly CaseOf[] = [
  { facet: 'target', name: 'replaces whole points, removes and retrieves', check: replacesAndRemoves },
  { facet: 'target', name: 'searches exactly in two stages', check: searchesInTwoStages },
  { facet: 'target', name: 'writes the bytes of a point as it read them', check: copiesOtherVectors },
];
