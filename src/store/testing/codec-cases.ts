import assert from 'node:assert/strict';
import { compactDistance } from '../../core/distance.js';
import { matrixFromRows } from '../../core/matrix.js';
import { expectDefined } from '../../core/errors.js';
import { allOf, nth, PAYLOADS, type CaseOf, type ContractPlace } from './fixtures.js';

async function packs(place: ContractPlace): Promise<void> {
  const { target: store } = place;
  const { codec } = store;
  const canonical = (extra: Uint8Array): string => Buffer.from(codec.canonical(extra)).toString('hex');
  assert.notEqual(codec.format, '');
  assert.notEqual(canonical(codec.pack('{"v":1}')), canonical(codec.pack('{"v":1.0}')));
  assert.equal(canonical(codec.pack('{"v":1}')), canonical(codec.pack('{"v":1}')));
  assert.equal(store.payloadJson(codec.pack('{"n":9007199254740993}')), '{"n":9007199254740993}');
  // What the store gives back is what was packed.
  const { name, points } = await place.fill('contract-packed');
  const found = (await place.scan(name)).flatMap(({ extra }) => extra.map(canonical));
  assert.deepEqual(
    found,
    points.map(({ payloadJson }) => canonical(codec.pack(payloadJson))),
  );
}

async function readsVectors(place: ContractPlace): Promise<void> {
  const { target: store, vectorName, plainDistance } = place;
  const { codec } = store;
  const source = await store.describe(await place.empty('contract-bytes-source', { dim: 4 }));
  const target = store.deriveTarget(source, {
    name: 'contract-bytes',
    layout: 'two-stage',
    vectorName,
    compactName: 'small',
    compactDim: 2,
    compactDistance: compactDistance(plainDistance),
    metadata: {},
  });
  await store.create(target);
  const vectors = [
    { name: vectorName, matrix: matrixFromRows([[1, 2, 3, 4]]), has: allOf(1) },
    { name: 'small', matrix: matrixFromRows([[0.6, 0.8]]), has: allOf(1) },
  ];
  await store.upsert(target.name, {
    ids: place.sortedIds(1),
    vectors,
    extra: [codec.pack(nth(PAYLOADS, 0))],
  });
  const [batch] = await place.scan(target.name);
  const extra = nth(expectDefined(batch, 'a batch').extra, 0);
  const small = expectDefined(codec.vector(extra, 'small', 2), 'the small vector');
  assert.equal(small.length, 2);
  assert.ok(Math.abs(nth(small, 0) - 0.6) < 1e-6 && Math.abs(nth(small, 1) - 0.8) < 1e-6);
  assert.equal(codec.vector(extra, 'none', 2), null);
  assert.deepEqual(codec.floats(extra, 'small'), small);
  assert.equal(codec.floats(extra, 'none'), null);
  const without = codec.canonical(extra, { withoutVectors: ['small'] });
  assert.ok(without.length < codec.canonical(extra).length, 'the bytes still hold the vector');
  assert.deepEqual(Buffer.from(without), Buffer.from(codec.canonical(codec.pack(nth(PAYLOADS, 0)))));
  // The same as bytes of the format, which a store takes back.
  const left = codec.withoutVector(extra, 'small');
  assert.equal(codec.vector(left, 'small', 2), null);
  assert.deepEqual(Buffer.from(codec.canonical(left)), Buffer.from(without));
  assert.equal(store.payloadJson(left), store.payloadJson(extra));
  const all = Buffer.from(codec.canonical(extra));
  assert.deepEqual(Buffer.from(codec.canonical(codec.withoutVector(extra, 'none'))), all);
}

/** The bytes of a point. */
export const CODEC_CASES: readonly CaseOf[] = [
  { facet: 'target', name: 'packs payloads and tells them apart', check: packs },
  { facet: 'target', name: "reads other vectors from a point's bytes", check: readsVectors },
];
