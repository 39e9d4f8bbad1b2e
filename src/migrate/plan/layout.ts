import type { Layout } from '../../store/collection.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { DEFAULT_LAYOUT } from '../../store/defaults.js';
import { allNames } from '../../store/facets.js';
import { targetDescription } from '../../store/target-description.js';
import type { StateLocation } from '../state/location.js';

/** What decides the layout of a migration. */
interface LayoutRequest {
  readonly layout?: Layout | undefined;
  readonly compactName?: string | undefined;
  readonly target: Pick<CopyTarget, 'names' | 'exists' | 'describe'>;
  readonly sourceCollection: string;
  readonly targetCollection: string;
}

/**
 * Returns the layout of a migration. If the request names none, a migration that was begun before keeps its layout:
 * the one in its state, or in the metadata of its target. A new migration gets the default.
 * @param place where the migration state is; absent if the caller has none
 */
export async function layoutOf(
  { layout, compactName, target, sourceCollection, targetCollection }: LayoutRequest,
  place: StateLocation | undefined,
): Promise<Layout> {
  if (layout !== undefined) return layout;
  // A compact target has no other name for its vector.
  if (compactName !== undefined) return 'two-stage';
  const state = (await place?.read()) ?? null;
  if (state?.sourceCollection === sourceCollection && state.targetCollection === targetCollection)
    return state.layout;
  const isCollection = !(await allNames(target)).has(targetCollection);
  if (!isCollection || !(await target.exists(targetCollection))) return DEFAULT_LAYOUT;
  const made = targetDescription(await target.describe(targetCollection));
  return made?.source === sourceCollection ? made.layout : DEFAULT_LAYOUT;
}
