import type { PointId } from '../../core/point-id.js';

interface Standing {
  readonly entry: number;
  /** Number of points for which the entry stands. */
  points: number;
}

/**
 * Maps each point that is left for later to one open entry of the journal. One entry per point is enough;
 * without this, the journal would keep an entry for every write to the point.
 */
export class UnfinishedEntries {
  readonly #pointsMax: number;
  readonly #standing = new Map<PointId, Standing>();

  /** @param pointsMax most points in the map. Beyond that, every entry with a new point stays open. */
  constructor(pointsMax = Infinity) {
    this.#pointsMax = pointsMax;
  }

  /**
   * Lets an open entry of the journal stand for those of its points that have no entry yet.
   * @returns whether there are such points; if not, the entry may be closed
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

  /** Removes a point. @returns its entry if that stands for no other point; otherwise null */
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
