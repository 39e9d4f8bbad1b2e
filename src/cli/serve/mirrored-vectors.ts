import { TldrError } from '../../core/errors.js';
import type { Encoder } from '../../encoder/model.js';
import type { MirroredFacts } from '../../store/write-interceptor.js';
import { hiddenVectorOf, targetDescription } from '../../store/target-description.js';
import type { CopyTarget } from '../../store/copy-target.js';

const FLOAT32_BYTES = 4;

/**
 * Returns the vectors that writes to a source are checked for. The target says which vector is reduced and
 * how it is stored. Before the target exists, each vector that the encoder could reduce counts.
 * @throws INVALID_ARGUMENT when the source has a hidden vector, which writes would lack
 * @throws the error of reading the collections
 */
export async function mirroredVectors(
  store: CopyTarget,
  { source, target }: Pick<MirroredFacts, 'source' | 'target'>,
  encoder: Encoder,
): Promise<Pick<MirroredFacts, 'vectors' | 'compactBytes'>> {
  const sourceSpec = await store.describe(source);
  const { vectors } = sourceSpec;
  const hidden = vectors.map(({ name }) => hiddenVectorOf(sourceSpec, name)).find((name) => name !== null);
  if (hidden !== undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${source} is itself a two-stage target: writes that are sent to it as they are would lack its vector "${hidden}"; serve it by a plain entry with its own encoder, and bring writes over with --catch-up`,
    );
  const able = vectors
    .filter(({ dim, multivector }) => dim === encoder.inputDim && !multivector)
    .map(({ name, distance, componentBytes }) => ({ name, distance, componentBytes }));
  const spec = (await store.exists(target)) ? await store.describe(target) : null;
  const description = spec === null ? null : targetDescription(spec);
  if (description?.source !== source) return { vectors: able, compactBytes: FLOAT32_BYTES };
  const compact = spec?.vectors.find(({ name }) => name === description.compact);
  return {
    vectors: able.filter(({ name }) => name === description.vector),
    compactBytes: compact?.componentBytes ?? FLOAT32_BYTES,
  };
}
