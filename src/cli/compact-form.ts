import type { Encoder } from '../encoder/model.js';
import { isProjecting } from '../store/projecting-source.js';
import type { TargetDescription } from '../store/target-description.js';
import type { VectorSource } from '../store/vector-source.js';
import { describeMigrated } from './migrate/migrated-target.js';

/**
 * Returns how a collection is searched by compact vectors: as the target of a migration or, where the database projects
 * vectors itself, as its own compact form.
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
): Promise<{ readonly description: TargetDescription; readonly notes: readonly string[] }> {
  if (!isProjecting(store)) return { description: await describeMigrated(store, collection, of), notes: [] };
  const { fingerprint, inputDim, outputDim, metadata } = of.encoder;
  const { compactDistance } = metadata;
  const encoder = { fingerprint, inputDim, outputDim, compactDistance };
  return store.compactForm(collection, { vectorName: of.vector, encoder });
}
