import { TldrError } from '../../src/core/errors.js';
import type { CollectionSpec, Datatype, Quantization } from '../../src/store/collection.js';
import type { CopyTarget } from '../../src/store/copy-target.js';
import { hiddenVectorOf } from '../../src/store/target-description.js';

/** Derives and compares specs. */
export function specSettings(): Pick<CopyTarget, 'deriveTarget' | 'differences'> {
  return {
    deriveTarget: (source, change) => {
      const reduced = source.vectors.find(({ name }) => name === change.vectorName);
      if (reduced === undefined) {
        throw new TldrError(
          'NOT_FOUND',
          `collection ${source.name} has no dense vector "${change.vectorName}"`,
        );
      }
      refuseOtherThanFloat32(change);
      if (reduced.multivector) throw new TldrError('UNSUPPORTED', 'a multivector cannot be reduced yet');
      const twoStage = change.layout === 'two-stage';
      const hidden = hiddenVectorOf(source, change.vectorName);
      const own = source.vectors.filter((vector) => vector.name !== hidden);
      if (twoStage && own.some(({ name }) => name === change.compactName)) {
        throw new TldrError('INVALID_ARGUMENT', `"${change.compactName}" is taken in ${source.name}`);
      }
      const kept = own.filter(({ name }) => twoStage || name !== change.vectorName);
      const { compactName: name, compactDim: dim, compactDistance: distance } = change;
      const compact = { name, dim, distance, multivector: false, componentBytes: 4 };
      const metadata = { ...source.metadata, ...change.metadata };
      return { ...source, name: change.name, vectors: [...kept, compact], metadata };
    },
    differences: (expected, actual) => {
      const text = ({ vectors, native }: CollectionSpec): string =>
        JSON.stringify([[...vectors].sort((a, b) => (a.name < b.name ? -1 : 1)), native]);
      return text(expected) === text(actual)
        ? []
        : [`vectors or settings: expected ${text(expected)}, got ${text(actual)}`];
    },
  };
}

/** @throws UNSUPPORTED for a storage other than float32 without quantisation and without a graph */
export function refuseOtherThanFloat32(storage: {
  readonly datatype?: Datatype | undefined;
  readonly quantization?: Quantization | undefined;
  readonly hnswM?: number | undefined;
}): void {
  const { datatype = 'float32', quantization = 'none', hnswM } = storage;
  if (hnswM !== undefined) throw new TldrError('UNSUPPORTED', 'vectors have no graph here');
  if (datatype !== 'float32' || quantization !== 'none') {
    throw new TldrError(
      'UNSUPPORTED',
      `vectors are kept as float32 here, not as ${datatype} ${quantization}`,
    );
  }
}
