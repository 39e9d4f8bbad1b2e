import { concatRows, gatherRows } from '../../core/matrix.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import type { PointId } from '../../core/point-id.js';
import { Rng } from '../../core/rng.js';
import { throwIfAborted } from '../../core/run-options.js';
import type { CompareCollectionsOptions } from '../../evaluate/compare-collections.js';
import type { QuerySet } from '../../evaluate/send-queries.js';
import { checkPoints } from '../../store/check-points.js';
import { needed } from '../../store/facets.js';
import { jsonCondition } from '../adapters.js';
import type { ConsoleRun } from '../console/command-output.js';

/** Points that a filter calls new, and as many others, to be searched with. */
export interface NewAndOldPoints {
  readonly queries: QuerySet;
  readonly queriesFrom: string;
  /** 1 for each query that is a new point. */
  readonly isNew: Uint8Array;
}

/**
 * Draws `size` stored points, half of them from those that the filter selects.
 * @throws INVALID_ARGUMENT when the database does not take the filter
 * @throws INVALID_DATA when it selects no point with a vector, or every point
 */
export async function newAndOldPoints(
  source: CompareCollectionsOptions['source'],
  { filter, size, seed }: { readonly filter: string; readonly size: number; readonly seed: number },
  run: ConsoleRun,
): Promise<NewAndOldPoints> {
  const { store, collection, vectorName, distance } = source;
  const { signal, onProgress } = run;
  const drawn = await store.sample(collection, { vectorName, size, signal, onProgress });
  const old = new Map(drawn.ids.map((id, i) => [id, i]));
  const part = Math.ceil(size / 2);
  const rng = new Rng(seed);
  const chosen: PointId[] = [];
  let selected = 0;
  const matching = needed(store.changes?.matching, store, 'way to list the points that a filter selects');
  for await (const page of matching(collection, jsonCondition(filter))) {
    throwIfAborted(signal);
    for (const id of page) {
      old.delete(id);
      // Every selected point has the same chance to be among the chosen ones.
      const at = rng.int(++selected);
      if (chosen.length < part) chosen.push(id);
      else if (at < part) chosen[at] = id;
    }
  }
  const found = await store.retrieve(collection, chosen, { vectorName });
  const having = found.ids.map((_, i) => i).filter((i) => found.hasVector[i] === 1);
  const others = [...old.values()].slice(0, Math.max(1, size - part));
  if (having.length === 0 || others.length === 0)
    throw new TldrError(
      'INVALID_DATA',
      `--new-filter selects ${selected.toLocaleString('en-US')} points of ${collection}${having.length === 0 ? ', none with the vector' : ', and no other is left to compare with'}: expected a part of them`,
    );
  const vectors = concatRows(
    [gatherRows(found.vectors, having), gatherRows(drawn.vectors, others)],
    found.vectors.cols,
  );
  const ids = [
    ...having.map((i) => expectDefined(found.ids[i], 'the id of a point')),
    ...others.map((i) => expectDefined(drawn.ids[i], 'the id of a point')),
  ];
  checkPoints({ ids, vectors }, { collection, vectorName, distance, keys: store.keys });
  return {
    queries: { vectors, ids },
    queriesFrom: `${having.length} of the ${selected.toLocaleString('en-US')} points of ${collection} that --new-filter selects, and ${others.length} others, each left out of its own results`,
    isNew: Uint8Array.from(ids, (_, i) => (i < having.length ? 1 : 0)),
  };
}
