import type { Distance } from '../../../src/core/distance.js';
import { Encoder, type EncoderNetwork } from '../../../src/encoder/model.js';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { Rng } from '../../../src/core/rng.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import type { CopyTarget } from '../../../src/store/copy-target.js';
import type { PointBatch } from '../../../src/store/points.js';
import type { MirroredCollection } from '../../../src/store/write-interceptor.js';

export const DIM = 16;
export const COMPACT_DIM = 4;

/** A linear encoder with seeded weights. */
export function tinyEncoder(seed = 1, distance: Distance = 'cosine'): Encoder {
  const rng = new Rng(seed);
  const weight = matrix(DIM, COMPACT_DIM);
  weight.data.forEach((_, i) => (weight.data[i] = rng.normal()));
  const normalize = distance === 'cosine';
  return new Encoder(
    { normalizeInput: normalize, layers: [{ weight, bias: null, relu: false }], normalizeOutput: normalize },
    {
      method: 'test',
      distance,
      compactDistance: distance,
      source: 'test',
      seed,
      dataFingerprint: '',
      hyperParameters: {},
      metrics: {},
      createdBy: 'test',
    },
  );
}

/**
 * The same inner products from two maps: output j of points grows by 4^j, that of queries shrinks by it. With the map
 * of points for queries only the last outputs count.
 */
export function twoMaps({ network, metadata }: Encoder): Encoder {
  const scaled = (factor: number): EncoderNetwork => ({
    ...network,
    layers: network.layers.map(({ weight, ...layer }) => ({
      ...layer,
      weight: { ...weight, data: weight.data.map((value, at) => value * factor ** (at % weight.cols)) },
    })),
    normalizeOutput: false,
  });
  return new Encoder(scaled(4), { ...metadata, compactDistance: 'dot' }, scaled(1 / 4));
}

/** A collection with one unnamed vector, for the reference adapter. */
export function memorySpec(name: string, distance: Distance = 'cosine'): CollectionSpec {
  return {
    name,
    vectors: [{ name: '', dim: DIM, distance, multivector: false, componentBytes: 4 }],
    otherVectors: [],
    partitions: [],
    metadata: { kept: '"yes"' },
    native: '{"setting":1}',
  };
}

/** Ids of both kinds, some far above 2^53. */
export function idAt(i: number): PointId {
  if (i % 3 === 2) return `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
  return i % 3 === 1 ? BigInt(i) : 2n ** 60n + BigInt(i);
}

/** Fills a collection; every 10th point lacks the vector. */
export async function fill(store: CopyTarget, collection: string, rows: number): Promise<Matrix> {
  const rng = new Rng(7);
  const vectors = matrix(rows, DIM);
  vectors.data.forEach((_, i) => (vectors.data[i] = rng.normal()));
  const ids = Array.from({ length: rows }, (_, i) => idAt(i));
  const has = Uint8Array.from(ids, (_, i) => (i % 10 === 9 ? 0 : 1));
  const rest = ids.map((_, i) => store.codec.pack(`{"i":${i},"f":1.0,"text":"${'x'.repeat(i % 50)}"}`));
  await store.upsert(collection, { ids, vectors: [{ name: '', matrix: vectors, has }], extra: rest });
  return vectors;
}

/** Everything of a collection as comparable text, one line per point. */
export async function contentOf(store: CopyTarget, collection: string, vectorName = ''): Promise<string[]> {
  const lines: string[] = [];
  const line = (batch: PointBatch, i: number): string => {
    const vector = batch.vectors.data.subarray(i * batch.vectors.cols, (i + 1) * batch.vectors.cols);
    const rest = Buffer.from(store.codec.canonical(batch.extra[i]!)).toString('latin1');
    return `${String(batch.ids[i])} ${batch.hasVector[i] === 0 ? 'none' : vector.join()} ${rest}`;
  };
  for await (const batch of store.scan(collection, { vectorName }))
    batch.ids.forEach((_, i) => lines.push(line(batch, i)));
  return lines;
}

/** A collection whose writes are mirrored to its target. */
export const MIRRORED: MirroredCollection = {
  name: 'docs',
  source: 'docs',
  target: 'docs_c4',
  vectors: [{ name: '', distance: 'dot', componentBytes: 4 }],
  compactBytes: 4,
  projector: tinyEncoder(),
};
