import { score, type Distance } from '../core/distance.js';
import { concatRows, gatherRows, row, type Matrix } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import type { RunOptions } from '../core/run-options.js';
import type { VectorSource } from '../store/vector-source.js';
import type { ScoredPoint } from '../store/search.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';

/** Points that are compared at a time. */
const BLOCK_POINTS = 8192;

/** One vector of a collection. */
export interface ScannedVector {
  readonly store: VectorSource;
  readonly collection: string;
  readonly vectorName: string;
  readonly distance: Distance;
}

/** Vectors of points that were read but not compared yet. */
interface Block {
  readonly ids: PointId[];
  readonly parts: Matrix[];
}

/**
 * Finds the `limit` nearest points of each query, best first, by reading the whole collection once. It
 * replaces exact search if the store does not allow that.
 */
export async function exactByScan(
  { store, collection, vectorName, distance }: ScannedVector,
  queries: Matrix,
  { limit, signal, onProgress }: RunOptions & { readonly limit: number },
): Promise<readonly (readonly ScoredPoint[])[]> {
  const total = await store.count(collection);
  let best: ScoredPoint[][] = Array.from({ length: queries.rows }, () => []);
  let block: Block = { ids: [], parts: [] };
  let done = 0;
  const compare = async (): Promise<void> => {
    if (block.ids.length === 0) return;
    const base = concatRows(block.parts, queries.cols);
    const found = await exactTopK(base, queries, { k: limit, distance, signal });
    best = best.map((before, q) => {
      const query = row(queries, q);
      const nearest = [...found.subarray(q * limit, (q + 1) * limit)].flatMap((at): ScoredPoint[] => {
        const id = block.ids[at];
        return id === undefined ? [] : [{ id, score: score(query, row(base, at), distance) }];
      });
      return [...before, ...nearest].sort(byScore(distance)).slice(0, limit);
    });
    block = { ids: [], parts: [] };
  };
  for await (const batch of store.scan(collection, { vectorName, signal })) {
    const having = batch.ids.map((_, i) => i).filter((i) => batch.hasVector[i] !== 0);
    block.ids.push(...batch.ids.filter((_, i) => batch.hasVector[i] !== 0));
    block.parts.push(gatherRows(batch.vectors, having));
    done += batch.ids.length;
    onProgress?.({ step: 'reading for exact search', done: Math.min(done, total), total, unit: 'points' });
    if (block.ids.length >= BLOCK_POINTS) await compare();
  }
  await compare();
  return best;
}

/** Returns a sort function that puts the best first: the largest similarity, or the smallest distance. */
export function byScore(distance: Distance): (a: ScoredPoint, b: ScoredPoint) => number {
  const sign = distance === 'euclid' || distance === 'manhattan' ? 1 : -1;
  return (a, b) => sign * (a.score - b.score);
}
