import type { Encoder } from '../../encoder/model.js';
import { isProjecting, type CompactForm } from '../../store/beside/projecting-source.js';
import { TldrError } from '../../core/errors.js';
import type { VectorSource } from '../../store/vector-source.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';

/**
 * Returns what the metadata of a migration's target says, after comparing it with the given encoder.
 * @throws INVALID_ARGUMENT when the collection is not a target, or when `rescore` is given for a target
 * without full vectors; MISMATCH when the target was made with another encoder
 */
async function describeMigrated(
  store: VectorSource,
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
      `${collection} was made with encoder ${description.encoder.slice(0, 16)}, the given file is ${encoder.fingerprint.slice(0, 16)}: give the encoder that the collection was made with`,
    );
  }
  if (rescore !== undefined && description.layout !== 'two-stage') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${collection} holds compact vectors only: --rescore needs the two-stage layout`,
    );
  }
  return description;
}

/**
 * Returns how a collection is searched by compact vectors: as the target of a migration or, where compact vectors stand
 * beside the full ones, as its own compact form.
 * @throws as `describeMigrated`, and NOT_FOUND when the database does not have the encoder
 */
export async function describeCompact(
  store: VectorSource,
  collection: string,
  of: {
    readonly encoder: Encoder;
    readonly rescore?: number | undefined;
    readonly vector?: string | undefined;
  },
): Promise<CompactForm> {
  if (!isProjecting(store)) {
    const description = await describeMigrated(store, collection, of);
    return { description, notes: [], warnings: [], isMigrated: true, indexBytes: null };
  }
  const { fingerprint, inputDim, outputDim, metadata } = of.encoder;
  const { compactDistance } = metadata;
  const encoder = { fingerprint, inputDim, outputDim, compactDistance };
  return store.compactForm(collection, { vectorName: of.vector, encoder });
}
