import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import type { VectorStore } from '../../store/vector-store.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';

/**
 * What a migration's target says about itself, compared with the encoder at hand.
 * @throws INVALID_ARGUMENT for any other collection, MISMATCH when it was made with another encoder, and
 * INVALID_ARGUMENT when rescoring is asked of a target without full vectors
 */
export async function describeMigrated(
  store: VectorStore,
  collection: string,
  { encoder, rescore }: { readonly encoder: Encoder; readonly rescore?: number | undefined },
): Promise<TargetDescription> {
  const description = targetDescription(await store.describe(collection));
  if (description === null) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${collection} is not the target of a migration: expected the compact collection that \`migrate\` made`,
    );
  }
  if (description.encoder !== encoder.fingerprint) {
    throw new TldrError(
      'MISMATCH',
      `${collection} was made with encoder ${description.encoder.slice(0, 16)}, this file is ${encoder.fingerprint.slice(0, 16)}`,
    );
  }
  if (rescore !== undefined && description.layout !== 'two-stage') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${collection} holds reduced vectors only: --rescore needs the two-stage layout`,
    );
  }
  return description;
}
