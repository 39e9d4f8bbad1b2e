import { targetDescription } from '../../store/target-description.js';
import type { VectorStore } from '../../store/vector-store.js';
import type { MigrationState } from './migration-state.js';

/** An alias that leads clients to a collection, if there is one. */
export async function aliasTo(store: VectorStore, collection: string): Promise<string | undefined> {
  return [...(await store.aliases())].find(([, to]) => to === collection)?.[0];
}

/** Whether the collection of the target's name is there, and says that it was made by this migration. */
export async function isOwnTarget(target: VectorStore, record: MigrationState): Promise<boolean> {
  const { targetCollection, sourceCollection, encoderFingerprint, layout, compactName } = record;
  if (!(await target.listCollections()).includes(targetCollection)) return false;
  const found = targetDescription(await target.describe(targetCollection));
  return (
    found !== null &&
    found.source === sourceCollection &&
    found.encoder === encoderFingerprint &&
    found.layout === layout &&
    found.compact === compactName
  );
}
