import assert from 'node:assert/strict';
import { normalizedRows, type Distance } from '../../core/distance.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { largestDifference, matrix, matrixFromRows, row, type Matrix } from '../../core/matrix.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import { isCopyTarget, type CopyTarget } from '../copy-target.js';
import type { PointBatch, ScanOptions } from '../points.js';
import type { VectorSource } from '../vector-source.js';
import type { ContractFacet, ContractPoint, ContractStore } from './contract.js';

/** Payloads that a store must give back with every number and text as they are. */
export const PAYLOADS = [
  '{"a":1,"b":1.0,"c":-0.0}',
  '{"n":9007199254740993}',
  '{"s":"ü\\n\\"","l":[1,[2.5,null,true]],"o":{"x":{}}}',
  '{}',
];

/** What a filled collection holds. */
export interface Filled {
  readonly name: string;
  readonly distance: Distance;
  /** In the store's order of ids. */
  readonly points: readonly ContractPoint[];
  readonly ids: readonly PointId[];
  readonly vectors: Matrix;
}

/** How a collection is filled. */
export interface FillOptions {
  /** If absent: the first seven. */
  readonly ids?: readonly PointId[];
  readonly dim?: number;
  readonly distance?: Distance;
  /** Whether the point of this number has no vector. */
  readonly lacksVector?: (i: number) => boolean;
}

/** An item at an index that a check knows to be there. */
export function nth<T>(items: ArrayLike<T>, i: number): T {
  return expectDefined(items[i], `item ${i} of ${items.length}`);
}

/** A flag for every row. */
export function allOf(rows: number): Uint8Array {
  return new Uint8Array(rows).fill(1);
}

/** Random vectors that are the same in every run. */
export function randomVectors(rows: number, cols: number): Matrix {
  const rng = new Rng(rows + cols);
  const x = matrix(rows, cols);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
  return x;
}

/** Fails unless a store gives back a vector as it was written, or at unit length if it searches by cosine. */
export function assertVector(actual: Float32Array, written: Float32Array, distance: Distance): void {
  if (distance !== 'cosine') {
    assert.deepEqual([...actual], [...written]);
    return;
  }
  assert.equal(actual.length, written.length);
  const unit = normalizedRows(matrixFromRows([written])).data;
  const difference = largestDifference(actual, unit);
  assert.ok(difference < 1e-6, `a vector differs by ${difference} from the one written, at unit length`);
}

/** Fails unless this is rejected with an error of this package and this code. */
export async function assertCode(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, { name: 'TldrError', code });
}

/** A store under test, and collections in it. */
export class ContractPlace {
  readonly store: VectorSource;
  readonly vectorName: string;

  constructor(readonly opened: ContractStore) {
    ({ store: this.store, vectorName: this.vectorName = '' } = opened);
  }

  /** The store as a copy target. */
  get target(): CopyTarget {
    const { store } = this;
    if (isCopyTarget(store)) return store;
    throw new TldrError('UNSUPPORTED', `a ${store.kind} store is only read: it promises no target`);
  }

  /** A distance for which vectors are stored as they are written, if there is one. */
  get plainDistance(): Distance {
    const { distances } = this.opened;
    const order: readonly Distance[] = ['euclid', 'dot', 'manhattan', 'cosine'];
    return expectDefined(
      order.find((one) => distances.includes(one)),
      'a distance',
    );
  }

  /** Different ids, in the store's order. */
  sortedIds(count: number): readonly PointId[] {
    const ids = this.opened.ids(count);
    assert.equal(new Set(ids.map((id) => this.store.keys.format(id))).size, count, 'ids are not different');
    return [...ids].sort(this.store.keys.compare);
  }

  /** The ids that `ids` gives beyond the first `from` ones: none of them is in a collection of those. */
  otherIds(from: number, count: number): readonly PointId[] {
    return this.opened.ids(from + count).slice(from);
  }

  /** Makes an empty collection of one vector. */
  async empty(name: string, { dim = 6, distance = this.plainDistance }: FillOptions = {}): Promise<string> {
    await this.opened.makeCollection({ name, vectorName: this.vectorName, dim, distance, points: [] });
    return name;
  }

  /** Makes a collection with random vectors and the payloads above in turn. */
  async fill(name: string, options: FillOptions = {}): Promise<Filled> {
    const { dim = 6, distance = this.plainDistance, lacksVector = () => false } = options;
    const ids = [...(options.ids ?? this.sortedIds(7))].sort(this.store.keys.compare);
    const vectors = randomVectors(ids.length, dim);
    const points = ids.map((id, i) => ({
      id,
      vector: lacksVector(i) ? null : row(vectors, i),
      payloadJson: nth(PAYLOADS, i % PAYLOADS.length),
    }));
    const { store, vectorName } = this;
    if (!isCopyTarget(store)) {
      await this.opened.makeCollection({ name, vectorName, dim, distance, points });
    } else {
      await this.empty(name, { dim, distance });
      const has = Uint8Array.from(points, ({ vector }) => (vector === null ? 0 : 1));
      const extra = points.map(({ payloadJson }) => store.codec.pack(payloadJson));
      await store.upsert(name, { ids, vectors: [{ name: vectorName, matrix: vectors, has }], extra });
    }
    return { name, distance, points, ids, vectors };
  }

  async scan(name: string, options: Partial<ScanOptions> = {}): Promise<PointBatch[]> {
    const batches: PointBatch[] = [];
    for await (const batch of this.store.scan(name, { vectorName: this.vectorName, ...options }))
      batches.push(batch);
    return batches;
  }

  async idsOf(name: string, options: Partial<ScanOptions> = {}): Promise<PointId[]> {
    return (await this.scan(name, options)).flatMap(({ ids }) => [...ids]);
  }
}

/** A case before it is bound to an adapter. */
export interface CaseOf {
  readonly facet: ContractFacet;
  readonly name: string;
  readonly check: (place: ContractPlace) => Promise<void>;
}
