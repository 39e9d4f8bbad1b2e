import { allNames } from '../../store/facets.js';
import { targetDescription } from '../../store/target-description.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { MigrationState } from './migration-state.js';

/** Returns an alias of a collection; undefined if it has none. */
export async function aliasTo(store: CopyTarget, collection: string): Promise<string | undefined> {
  return [...(await allNames(store))].find(([, to]) => to === collection)?.[0];
}

/** Returns whether the target exists and its metadata says that this migration made it. */
export async function isOwnTarget(target: CopyTarget, state: MigrationState): Promise<boolean> {
  const { targetCollection, sourceCollection, encoderFingerprint, layout, compactName } = state;
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
