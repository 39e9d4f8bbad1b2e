import type { Encoder } from '../encoder/model.js';
import { expectDefined, TldrError } from '../core/errors.js';
import { score, type Distance } from '../core/distance.js';
import { row, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import type { TargetDescription } from '../store/target-description.js';
import type { VectorSource } from '../store/vector-source.js';
import type { ScoredPoint } from '../store/search.js';
import { byScore, exactByScan } from '../evaluate/exact-by-scan.js';

export interface ExactSearch {
  readonly collection: string;
  readonly description: TargetDescription;
  readonly encoder: Encoder;
  /** One row of full size. */
  readonly query: Matrix;
  readonly limit: number;
  readonly rescore: number | undefined;
}

/**
 * Searches a migration's target exactly by reading all of it, and returns results with payloads. For servers
 * that do not allow exact search.
 */
export async function exactSearchByReading(
  store: VectorSource,
  search: ExactSearch,
  run: RunOptions,
): Promise<readonly ScoredPoint[]> {
  const { collection, description, encoder, query, limit, rescore } = search;
  const compact = {
    store,
    collection,
    vectorName: description.compact,
    distance: encoder.metadata.compactDistance,
  };
  const firstStage = Math.max(limit, rescore ?? 0);
  const [found = []] = await exactByScan(compact, encoder.projectQueries(query), {
    ...run,
    limit: firstStage,
  });
  const ids = found.map(({ id }) => id);
  const points = await store.retrieve(collection, ids, { vectorName: description.vector });
  const at = new Map(points.ids.map((id, i) => [id, i]));
  const distance = distanceOf(description, encoder.metadata.distance);
  const scored = found.flatMap((one): ScoredPoint[] => {
    const i = at.get(one.id);
    if (i === undefined) return [];
    const payloadJson = store.payloadJson(expectDefined(points.extra[i], 'the payload of a result'));
    const full = (): number => score(row(query, 0), row(points.vectors, i), distance);
    return [{ id: one.id, score: rescore === undefined ? one.score : full(), payloadJson }];
  });
  if (rescore !== undefined) scored.sort(byScore(distance));
  return scored.slice(0, limit);
}

/** @throws MISMATCH when target and encoder name different distances */
function distanceOf({ distance }: TargetDescription, known: Distance): Distance {
  if (distance === known) return known;
  throw new TldrError(
    'MISMATCH',
    `the target has distance ${distance}, but the encoder was trained for ${known}`,
  );
}
