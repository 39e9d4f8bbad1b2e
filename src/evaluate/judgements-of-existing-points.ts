import { REQUEST_IDS } from '../store/defaults.js';
import { TldrError } from '../core/errors.js';
import type { PointId } from '../core/point-id.js';
import type { VectorSource } from '../store/vector-source.js';

/** Counts of the points that are relevant by the judgements. */
export interface JudgedPoints {
  /** Distinct points with a gain above 0. */
  readonly named: number;
  /** The number of these points that are in the collection and have the vector. */
  readonly found: number;
}

/**
 * Returns the judgements without relevant points that no search can find, since every search would miss them.
 * Gains of 0 or less are kept: they affect no measure.
 * @throws INVALID_DATA when none of the relevant points exists
 */
export async function judgementsOfExistingPoints(
  place: { readonly store: VectorSource; readonly collection: string; readonly vectorName: string },
  qrels: readonly ReadonlyMap<PointId, number>[],
): Promise<{ readonly gains: readonly ReadonlyMap<PointId, number>[]; readonly points: JudgedPoints }> {
  const { store, collection, vectorName } = place;
  const named = [
    ...new Set(qrels.flatMap((gains) => [...gains].filter(([, gain]) => gain > 0).map(([id]) => id))),
  ];
  const found = new Set<PointId>();
  for (let start = 0; start < named.length; start += REQUEST_IDS) {
    const ids = named.slice(start, start + REQUEST_IDS);
    const batch = await store.retrieve(collection, ids, { vectorName });
    batch.ids.forEach((id, i) => {
      if (batch.hasVector[i] === 1) found.add(id);
    });
  }
  if (found.size === 0) {
    const [first] = named;
    const example = first === undefined ? '' : `, such as ${first},`;
    throw new TldrError(
      'INVALID_DATA',
      `none of the ${named.length.toLocaleString('en-US')} points that the judgements call relevant${example} is in ${collection} with the vector "${vectorName}": expected ids of its points`,
    );
  }
  return {
    gains: qrels.map((gains) => new Map([...gains].filter(([id, gain]) => gain <= 0 || found.has(id)))),
    points: { named: named.length, found: found.size },
  };
}
