import { TldrError } from '../../core/errors.js';
import type { Encoder } from '../../encoder/model.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { allNames } from '../../store/facets.js';
import { targetDescription, type TargetDescription } from '../../store/target-description.js';
import type { MigrationRequest } from './migration.js';

/** Characters of the fingerprint in the name of the new collection. */
const NAME_CHARS = 8;

/** A two-stage target, and the migration that gives it a new encoder. */
export interface ReEncoding {
  /** What the target's metadata says of the migration that made it. */
  readonly before: TargetDescription;
  /** The new collection has full vectors as they are, and a hidden vector by the new encoder. */
  readonly request: Pick<MigrationRequest, 'sourceCollection' | 'targetCollection' | 'datatype'> & {
    readonly layout: 'two-stage';
    readonly vectorName: string;
    readonly compactName: string;
  };
}

/**
 * Returns the migration that encodes the full vectors of a two-stage target again. Null if the target already
 * has this encoder. Whether the encoder fits the vectors is checked by `planMigration`.
 * @param into name of the new collection; if absent, the target's name and the beginning of the fingerprint,
 * so that the same call finds the same collection again
 * @throws INVALID_ARGUMENT when the collection is an alias, no target of a migration, or holds compact vectors
 * only
 * @throws NOT_FOUND when it does not exist
 */
export async function planReEncoding(
  store: CopyTarget,
  {
    collection,
    encoder,
    into,
  }: { readonly collection: string; readonly encoder: Encoder; readonly into?: string | undefined },
): Promise<ReEncoding | null> {
  const aliased = (await allNames(store)).get(collection);
  if (aliased !== undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${collection}" is an alias of ${aliased}, and an alias can be moved meanwhile: give the collection's own name`,
    );
  const before = targetDescription(await store.describe(collection));
  if (before === null)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${collection} was not made by a migration, so it has no encoder that could be replaced: migrate it first`,
    );
  if (before.layout !== 'two-stage')
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${collection} holds compact vectors only, and a new encoder needs the full ones: migrate the collection that has them (${before.source}, if it still exists) again, into a new collection`,
    );
  if (before.encoder === encoder.fingerprint) return null;
  const { vector: vectorName, compact: compactName, datatype } = before;
  return {
    before,
    request: {
      sourceCollection: collection,
      targetCollection: into ?? `${collection}_${encoder.fingerprint.slice(0, NAME_CHARS)}`,
      layout: 'two-stage',
      vectorName,
      compactName,
      datatype,
    },
  };
}
