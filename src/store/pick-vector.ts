import { TldrError } from '../core/errors.js';
import type { CollectionSpec, DenseVectorSpec } from './collection.js';
import { hiddenVectorOf } from './target-description.js';

/**
 * Returns the vector to reduce: the named one or, without a name, the collection's only vector. The hidden
 * vector of a two-stage target does not count.
 * @throws UNSUPPORTED when the collection has no dense vector, or the vector is a multivector
 * @throws INVALID_ARGUMENT when there are several vectors and no name is given
 * @throws NOT_FOUND when there is no dense vector of that name
 */
export function pickVector(spec: CollectionSpec, wanted: string | undefined): DenseVectorSpec {
  const shown = spec.vectors.filter(({ name }) => !isHidden(spec, name));
  const names = shown.map(({ name }) => `"${name}"`).join(', ');
  if (spec.vectors.length === 0)
    throw new TldrError(
      'UNSUPPORTED',
      `${spec.name} has no dense vector${spec.otherVectors.length === 0 ? '' : ': sparse ones cannot be reduced'}`,
    );
  if (wanted === undefined && shown.length > 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${spec.name} has several vectors: name the one to reduce, one of ${names}`,
    );
  const vector = wanted === undefined ? shown[0] : spec.vectors.find(({ name }) => name === wanted);
  if (vector === undefined)
    throw new TldrError(
      'NOT_FOUND',
      `${spec.name} has no dense vector ${JSON.stringify(wanted)}: it has ${names}`,
    );
  if (vector.multivector)
    throw new TldrError(
      'UNSUPPORTED',
      `vector "${vector.name}" of ${spec.name} is a multivector, which cannot be reduced yet`,
    );
  return vector;
}

function isHidden(spec: CollectionSpec, name: string): boolean {
  return spec.vectors.some((full) => hiddenVectorOf(spec, full.name) === name);
}
