import { compactDistance } from '../../core/distance.js';
import type { CollectionSpec, DenseVectorSpec } from '../../store/collection.js';
import { isCopyTarget } from '../../store/copy-target.js';
import type { MemoryEstimate } from '../../store/storage.js';
import type { VectorSource } from '../../store/vector-source.js';

/**
 * Returns the estimated memory of a collection; null if the store cannot say.
 * @param of.reduced one of its vectors and the dimensions it would have; without it, the collection as it is
 */
export function estimatedMemory(
  store: VectorSource,
  spec: CollectionSpec,
  {
    points,
    reduced,
  }: {
    readonly points: number;
    readonly reduced?: { readonly vector: DenseVectorSpec; readonly dim: number };
  },
): MemoryEstimate | null {
  if (store.storage === undefined) return null;
  if (reduced === undefined) return store.storage.estimate(spec, points);
  if (!isCopyTarget(store)) return null;
  const { vector, dim } = reduced;
  const target = store.deriveTarget(spec, {
    name: `${spec.name}-compact`,
    layout: 'compact',
    vectorName: vector.name,
    compactName: vector.name,
    compactDim: dim,
    compactDistance: compactDistance(vector.distance),
    metadata: {},
  });
  return store.storage.estimate(target, points);
}

/** Memory of a collection, and of its compact form. */
export interface MemoryBeforeAndAfter {
  readonly ramBytesBefore: number;
  readonly ramBytesAfter: number;
}

/** Returns the memory of a collection before and after one of its vectors is reduced; null if the store cannot say. */
export function memoryBeforeAndAfter(
  store: VectorSource,
  spec: CollectionSpec,
  how: {
    readonly points: number;
    readonly reduced: { readonly vector: DenseVectorSpec; readonly dim: number };
  },
): MemoryBeforeAndAfter | null {
  const ramBytesBefore = ramBytesOf(estimatedMemory(store, spec, { points: how.points }));
  const ramBytesAfter = ramBytesOf(estimatedMemory(store, spec, how));
  return ramBytesBefore === null || ramBytesAfter === null ? null : { ramBytesBefore, ramBytesAfter };
}

/** Returns the bytes of an estimate that stay in memory: vectors and index. */
export function ramBytesOf(estimate: MemoryEstimate | null): number | null {
  return estimate === null ? null : estimate.vectorsRamBytes + estimate.indexRamBytes;
}
