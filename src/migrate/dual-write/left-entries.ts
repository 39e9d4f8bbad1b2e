import type { PointId } from '../../core/point-id.js';

interface Standing {
  readonly entry: number;
  /** For how many points. */
  points: number;
}

/**
 * Which open entry of a journal stands for each point that is left for later. A point is written again and again, and
 * one entry is enough to remember it by: without this a journal would keep one for each of these writes.
 */
export class LeftEntries {
  readonly #pointsMax: number;
  readonly #standing = new Map<PointId, Standing>();

  /** @param pointsMax points remembered at most; an entry with another point stays open */
  constructor(pointsMax = Infinity) {
    this.#pointsMax = pointsMax;
  }

  /**
   * Lets an entry, which must be open in the journal, stand for those of its points for which no entry does.
   * @returns whether there are any: otherwise the entry may be closed
   */
  keep(entry: number, ids: readonly PointId[]): boolean {
    const standing: Standing = { entry, points: 0 };
    for (const id of ids) {
      if (this.#standing.has(id)) continue;
      standing.points++;
      if (this.#standing.size < this.#pointsMax) this.#standing.set(id, standing);
    }
    return standing.points > 0;
  }

  /** A point is left no longer. @returns its entry if that stands for no other point, otherwise null */
  release(id: PointId): number | null {
    const standing = this.#standing.get(id);
    if (standing === undefined) return null;
    this.#standing.delete(id);
    return --standing.points === 0 ? standing.entry : null;
  }

  clear(): void {
    this.#standing.clear();
  }
}
