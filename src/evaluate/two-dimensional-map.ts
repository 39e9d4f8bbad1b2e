import { normalizedRows, type Distance } from '../core/distance.js';
import { matrix, row, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { fitMoments, principalAxes } from '../baselines/pca.js';

/** Labels of the points of a map, and where they come from. */
export interface MapLabels {
  readonly field: string;
  /** A text for each row; null for none. */
  readonly labels: readonly (string | null)[];
}

/** Labels that a map has colours for, and the least by which neighbours on it must agree beyond chance. */
const COLOURS = { max: 8, agreementMin: 0.03 } as const;

/**
 * Returns the two first principal components of the rows (n x 2), computed in a worker thread; null if there are none.
 */
export async function mapInTwoDimensions(
  x: Matrix,
  { distance, ...run }: { readonly distance: Distance; readonly threads?: number } & RunOptions,
): Promise<Matrix | null> {
  if (x.rows < 3 || x.cols < 2) return null;
  const moments = await fitMoments(x, { distance, ...run });
  const { mean, vectors, values } = await principalAxes(moments, { ...run, d: 2, centred: true });
  if (values.length < 2) return null;
  const points = matrix(x.rows, 2);
  const compared = distance === 'cosine' ? normalizedRows(x) : x;
  for (let i = 0; i < x.rows; i++) {
    let [first, second] = [0, 0];
    row(compared, i).forEach((value, j) => {
      const centred = value - (mean?.[j] ?? 0);
      first += centred * (vectors[2 * j] ?? 0);
      second += centred * (vectors[2 * j + 1] ?? 0);
    });
    points.data.set([first, second], 2 * i);
  }
  return points;
}

/**
 * Turns and, if need be, mirrors a map in place, so that its points lie as near as possible to where they lie on the
 * other map (orthogonal Procrustes in two dimensions). Principal axes have no direction of their own.
 */
export function alignMap(points: Matrix, to: Matrix): void {
  // Sums of products of the coordinates: own x or y, with the other's x or y.
  let [xx, xy, yx, yy] = [0, 0, 0, 0];
  for (let i = 0; i < points.rows; i++) {
    const [x = 0, y = 0] = row(points, i);
    const [otherX = 0, otherY = 0] = row(to, i);
    xx += x * otherX;
    xy += x * otherY;
    yx += y * otherX;
    yy += y * otherY;
  }
  const isMirrored = Math.hypot(xx - yy, xy + yx) > Math.hypot(xx + yy, xy - yx);
  const side = isMirrored ? -1 : 1;
  const angle = Math.atan2(xy - side * yx, xx + side * yy);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let i = 0; i < points.rows; i++) {
    const [x = 0, y = 0] = row(points, i);
    points.data.set([x * cos - side * y * sin, x * sin + side * y * cos], 2 * i);
  }
}

/**
 * Returns the labels that suit the map best: those that a point and its nearest point on the map share most often,
 * beyond chance, and that a few colours cover. Null if no labels suit.
 */
export function labelsForMap(points: Matrix, found: readonly MapLabels[]): MapLabels | null {
  const nearest = nearestOnMap(points);
  const scored = found.map((one) => ({ one, score: suitability(one.labels, nearest) }));
  const best = scored.sort((a, b) => b.score - a.score)[0];
  return best === undefined || best.score < COLOURS.agreementMin ? null : best.one;
}

/** The agreement of nearest points beyond chance, times the share of points that get a colour of their own. */
function suitability(labels: readonly (string | null)[], nearest: Int32Array): number {
  const counts = new Map<string, number>();
  for (const label of labels) if (label !== null) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts.values()].sort((a, b) => b - a);
  const all = sorted.reduce((sum, count) => sum + count, 0);
  if (all === 0) return 0;
  const chance = sorted.reduce((sum, count) => sum + (count / all) ** 2, 0);
  const coloured = sorted.slice(0, COLOURS.max).reduce((sum, count) => sum + count, 0);
  let [same, pairs] = [0, 0];
  labels.forEach((label, i) => {
    const other = labels[nearest[i] ?? -1] ?? null;
    if (label === null || other === null) return;
    pairs++;
    if (label === other) same++;
  });
  if (pairs === 0 || chance >= 1) return 0;
  return ((same / pairs - chance) / (1 - chance)) * (coloured / labels.length);
}

/** The nearest other point of each point, by comparing all pairs; -1 if there is none. */
function nearestOnMap({ rows, data }: Matrix): Int32Array {
  const nearest = new Int32Array(rows).fill(-1);
  for (let i = 0; i < rows; i++) {
    let best = Infinity;
    for (let j = 0; j < rows; j++) {
      if (i === j) continue;
      const [dx, dy] = [data[2 * i]! - data[2 * j]!, data[2 * i + 1]! - data[2 * j + 1]!];
      const square = dx * dx + dy * dy;
      if (square >= best) continue;
      best = square;
      nearest[i] = j;
    }
  }
  return nearest;
}
