import { squaredNorm, type Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { row, type Matrix } from '../core/matrix.js';

/** A fitted map, before it is judged. */
export interface Candidate {
  readonly name: string;
  readonly network: EncoderNetwork;
  /** Where queries have a map of their own. */
  readonly queryNetwork?: EncoderNetwork | undefined;
  /** Distances worth trying in its space; the first is the one it was made for. */
  readonly distances: readonly Distance[];
  readonly hyperParameters: Readonly<Record<string, string | number>>;
  readonly seconds: number;
}

/** Multiplications of one projection: what a candidate costs per query and per migrated point. */
export function multiplyAdds({ layers }: EncoderNetwork): number {
  return layers.reduce((sum, { weight }) => sum + weight.rows * weight.cols, 0);
}

/** How rows are compared while fitting, and which compact distances keep the meaning of a score. */
export interface Geometry {
  /** The collection's own distance. */
  readonly distance: Distance;
  /** Distance that fitting uses: `cosine` also for dot-product collections of unit vectors. */
  readonly fitDistance: Distance;
  /** Compact distances a candidate may be judged under. */
  readonly compactDistances: readonly Distance[];
}

/** Rows whose lengths differ by less than this share count as of one length. */
const UNIT_TOLERANCE = 0.01;

/**
 * Which geometry to fit in. Dot products of unit vectors are cosines, so they need not be held to maps that keep
 * norms. Compact distances keep the direction of scores: larger stays nearer for cosine and dot.
 */
export function geometryOf(x: Matrix, distance: Distance, wanted: Distance | 'auto' = 'auto'): Geometry {
  const fitDistance = distance === 'dot' && isUnit(x) ? 'cosine' : distance;
  const own: readonly Distance[] =
    distance === 'cosine' || fitDistance === 'cosine'
      ? ['cosine', 'dot']
      : [distance === 'manhattan' ? 'euclid' : distance];
  return { distance, fitDistance, compactDistances: wanted === 'auto' ? own : [wanted] };
}

function isUnit(x: Matrix): boolean {
  for (let i = 0; i < x.rows; i++) {
    if (Math.abs(Math.sqrt(squaredNorm(row(x, i))) - 1) > UNIT_TOLERANCE) return false;
  }
  return true;
}
