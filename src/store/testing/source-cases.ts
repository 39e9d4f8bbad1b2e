import { expectDefined } from '../../core/errors.js';
import assert from 'node:assert/strict';
import { score } from '../../core/distance.js';
import { row } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { assertCode, assertVector, nth, type CaseOf, type ContractPlace, type Filled } from './fixtures.js';

async function describesCollection(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const { name, distance, ids } = await place.fill('contract-described', { dim: 6 });
  const spec = await store.describe(name);
  assert.equal(spec.name, name);
  assert.deepEqual(spec.vectors, [
    { name: vectorName, dim: 6, distance, multivector: false, componentBytes: 4 },
  ]);
  assert.deepEqual([spec.otherVectors, spec.partitions], [[], []]);
  assert.equal(await store.count(name), ids.length);
  assert.equal(await store.exists(name), true);
  assert.equal(await store.exists('contract-missing'), false);
  const listed = await store.listCollections();
  assert.ok(listed.includes(name) && !listed.includes('contract-missing'), `lists ${listed.join(', ')}`);
  assert.ok(store.kind !== '' && store.endpoint !== '', 'a store has a kind and an endpoint');
}

async function givesBackExactly(place: ContractPlace): Promise<void> {
  const { store } = place;
  const { name, points, distance, ids } = await place.fill('contract-round-trip');
  assert.deepEqual(await place.idsOf(name), ids);
  for (const batch of await place.scan(name)) {
    for (const [i, id] of batch.ids.entries()) {
      const point = nth(points, ids.indexOf(id));
      assert.equal(batch.hasVector[i], 1);
      assertVector(row(batch.vectors, i), expectDefined(point.vector, 'the vector'), distance);
      const payload = store.payloadJson(nth(batch.extra, i));
      assert.deepEqual(JSON.parse(payload), JSON.parse(point.payloadJson));
      // Numbers keep their form, also those that JavaScript would round.
      for (const number of point.payloadJson.match(/-?\d+(\.\d+)?/g) ?? [])
        assert.ok(payload.includes(number), `${payload} lacks ${number}`);
      if (point.payloadJson === '{"n":9007199254740993}') assert.equal(payload, point.payloadJson);
    }
    assert.ok(batch.sizeBytes > 0);
  }
}

async function scansRanges(place: ContractPlace): Promise<void> {
  const { compare } = place.store.keys;
  const every = place.sortedIds(400);
  const there = every.filter((_, i) => i % 5 !== 3);
  const { name } = await place.fill('contract-ranges', { ids: there });
  const sizes = (await place.scan(name, { batchSize: 50 })).map(({ ids }) => ids.length);
  assert.ok(Math.max(...sizes) <= 50, `batches of ${sizes.join(', ')} points, asked for 50`);
  assert.deepEqual(await place.idsOf(name, { batchSize: 50 }), there);
  const check = async (from: PointId | null, to: PointId | null): Promise<void> => {
    const wanted = there.filter(
      (id) => (from === null || compare(id, from) >= 0) && (to === null || compare(id, to) < 0),
    );
    assert.deepEqual(await place.idsOf(name, { range: { from, to }, batchSize: 7 }), wanted);
  };
  const last = every.length - 1;
  // Around both ends, where unusual ids often are, and in the middle; with bounds that exist and that do not.
  const starts = [0, 1, 2, 3, 198, 200, ...Array.from({ length: 8 }, (_, i) => last - 7 + i)];
  for (const i of starts) {
    await check(nth(every, i), nth(every, Math.min(i + 3, last)));
    await check(nth(every, i), null);
    await check(null, nth(every, i));
  }
  await check(null, null);
}

async function keepsPointsWithoutVector(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const lacksVector = (i: number): boolean => i % 3 === 0;
  const { name, ids, vectors, distance } = await place.fill('contract-lacking', {
    ids: place.sortedIds(120),
    dim: 3,
    lacksVector,
  });
  const has = (await place.scan(name)).flatMap(({ hasVector }) => [...hasVector]);
  assert.deepEqual(
    has,
    ids.map((_, i) => (lacksVector(i) ? 0 : 1)),
  );
  for (const size of [20, 80, 500]) {
    const sample = await store.sample(name, { vectorName, size });
    assert.equal(sample.ids.length, Math.min(size, 80));
    assert.equal(new Set(sample.ids).size, sample.ids.length, 'a sample holds a point twice');
    for (const [i, id] of sample.ids.entries()) {
      const at = ids.indexOf(id);
      assert.ok(!lacksVector(at), 'a sample holds a point without the vector');
      assertVector(row(sample.vectors, i), row(vectors, at), distance);
    }
  }
}

async function retrieves(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const { name, ids, vectors, distance } = await place.fill('contract-retrieved', {
    ids: place.sortedIds(20),
    lacksVector: (i) => i === 4,
  });
  const wanted = [9, 0, 19, 4].map((i) => nth(ids, i));
  const found = await store.retrieve(name, [...wanted, ...place.otherIds(20, 3)], { vectorName });
  assert.deepEqual(
    found.ids,
    [0, 4, 9, 19].map((i) => nth(ids, i)),
  );
  assert.deepEqual([...found.hasVector], [1, 0, 1, 1]);
  for (const [i, at] of [0, 4, 9, 19].entries())
    if (at !== 4) assertVector(row(found.vectors, i), row(vectors, at), distance);
  assert.deepEqual((await store.retrieve(name, [], { vectorName })).ids, []);
}

/** Returns the nearest points, computed here and not by the store. */
function nearest({ ids, vectors, distance }: Filled, query: Float32Array, limit: number): PointId[] {
  const sign = distance === 'cosine' || distance === 'dot' ? -1 : 1;
  return ids
    .map((id, i) => ({ id, rank: sign * score(query, row(vectors, i), distance) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, limit)
    .map(({ id }) => id);
}

async function searches(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  for (const distance of place.opened.distances) {
    const filled = await place.fill(`contract-search-${distance}`, {
      ids: place.sortedIds(60),
      dim: 8,
      distance,
    });
    const vector = row(filled.vectors, 5);
    const request = { vectorName, vector, limit: 4, exact: true };
    const found = await store.search(filled.name, { ...request, withPayload: true });
    assert.deepEqual(
      found.map(({ id }) => id),
      nearest(filled, vector, 4),
    );
    if (distance !== 'dot') assert.equal(nth(found, 0).id, filled.ids[5]);
    for (const { id, score: told, payloadJson } of found) {
      const at = filled.ids.indexOf(id);
      const expected = score(vector, row(filled.vectors, at), distance);
      assert.ok(Math.abs(told - expected) < 1e-3, `a score of ${told}, expected ${expected} by ${distance}`);
      assert.deepEqual(JSON.parse(payloadJson ?? '0'), JSON.parse(nth(filled.points, at).payloadJson));
    }
    assert.equal((await store.search(filled.name, { ...request, limit: 1000 })).length, 60);
  }
}

async function saysWhatIsMissing(place: ContractPlace): Promise<void> {
  const { store, vectorName } = place;
  const missing = 'contract-missing';
  const [id] = place.opened.ids(1);
  await assertCode(store.describe(missing), 'NOT_FOUND');
  await assertCode(store.count(missing), 'NOT_FOUND');
  await assertCode(place.scan(missing), 'NOT_FOUND');
  await assertCode(store.retrieve(missing, id === undefined ? [] : [id], { vectorName }), 'NOT_FOUND');
  await assertCode(store.sample(missing, { vectorName, size: 3 }), 'NOT_FOUND');
  const vector = new Float32Array([1, 2, 3, 4, 5, 6]);
  await assertCode(store.search(missing, { vectorName, vector, limit: 3 }), 'NOT_FOUND');
  const { name } = await place.fill('contract-found');
  await assertCode(place.scan(name, { vectorName: 'nope' }), 'NOT_FOUND');
  await assertCode(store.sample(name, { vectorName: 'nope', size: 3 }), 'NOT_FOUND');
}

async function stops(place: ContractPlace): Promise<void> {
  const { name } = await place.fill('contract-stopped', { ids: place.sortedIds(100) });
  const signal = AbortSignal.abort();
  await assertCode(place.scan(name, { signal }), 'ABORTED');
  await assertCode(place.store.sample(name, { vectorName: place.vectorName, size: 3, signal }), 'ABORTED');
  const stop = new AbortController();
  const inBetween = async (): Promise<void> => {
    const { vectorName } = place;
    const batches = place.store.scan(name, { vectorName, batchSize: 10, signal: stop.signal });
    for await (const { ids } of batches) if (ids.length > 0) stop.abort();
  };
  await assertCode(inBetween(), 'ABORTED');
}

/** What every store does. */
export const SOURCE_CASES: readonly CaseOf[] = [
  { facet: 'source', name: 'describes, counts and lists collections', check: describesCollection },
  {
    facet: 'source',
    name: 'gives back ids, vectors and payloads exactly, in id order',
    check: givesBackExactly,
  },
  {
    facet: 'source',
    name: 'scans from any id, existing or not, up to any id, in batches of the size asked for',
    check: scansRanges,
  },
  {
    facet: 'source',
    name: 'keeps points without the vector, and samples only those with it',
    check: keepsPointsWithoutVector,
  },
  { facet: 'source', name: 'retrieves those points that exist, in id order', check: retrieves },
  { facet: 'source', name: 'searches exactly by every distance', check: searches },
  { facet: 'source', name: 'says NOT_FOUND for what is missing', check: saysWhatIsMissing },
  { facet: 'source', name: 'says ABORTED when told to stop', check: stops },
];
