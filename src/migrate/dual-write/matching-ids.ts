import { isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { needed } from '../../store/facets.js';
import type { PointId } from '../../core/point-id.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { PointCondition } from '../../store/points.js';
import type { NamesCheck } from './names-check.js';

interface Source {
  readonly source: CopyTarget;
  readonly sourceCollection: string;
  readonly checkNames?: NamesCheck | undefined;
}

/**
 * Yields the ids that a condition selects in the source, page by page. They are complete only if this ends
 * without an error.
 * @throws INVALID_ARGUMENT when the source refuses the condition
 * @throws UNAVAILABLE when the source does not answer, or its name led elsewhere meanwhile
 */
export async function* checkedMatchingIds(
  { source, sourceCollection, checkNames }: Source,
  condition: PointCondition,
): AsyncGenerator<readonly PointId[]> {
  try {
    await checkNames?.('recently');
    const matching = needed(
      source.changes?.matching,
      source,
      'way to look up the points that a filter selects',
    );
    yield* matching(sourceCollection, condition);
  } catch (cause) {
    const code = isTldrError(cause) ? cause.code : 'INTERNAL';
    if (code === 'UNAVAILABLE' || code === 'ABORTED') throw cause;
    // If the name led elsewhere, another collection may have refused the condition.
    await checkNames?.('now');
    if (code === 'INVALID_ARGUMENT') throw cause;
    const why = `the points that the filter selects cannot be looked up: ${messageOf(cause)}`;
    throw new TldrError(code === 'UNSUPPORTED' ? 'INVALID_ARGUMENT' : 'UNAVAILABLE', why, { cause });
  }
  await checkNames?.('now');
}
