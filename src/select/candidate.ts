import { squaredNorm, type Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { row, type Matrix } from '../core/matrix.js';

/** A fitted encoder that competes; it is not scored yet. */
export interface Candidate {
  readonly name: string;
  /** How it was made, if the name does not tell. */
  readonly method?: string;
  readonly network: EncoderNetwork;
  /** The network for queries, if they have their own. */
  readonly queryNetwork?: EncoderNetwork | undefined;
  /** Distances to try in its compact space; the first is the one it was fitted for. */
  readonly distances: readonly Distance[];
  readonly hyperParameters: Readonly<Record<string, string | number>>;
  readonly seconds: number;
}

/** Multiplications per projected vector: the cost of a candidate for each query and each migrated point. */
export function multiplyAdds({ layers }: EncoderNetwork): number {
  return layers.reduce((sum, { weight }) => sum + weight.rows * weight.cols, 0);
}

/** The distance for fitting, and the compact distances that keep the meaning of a score. */
export interface Geometry {
  /** The collection's own distance. */
  readonly distance: Distance;
  /** Distance for fitting; `cosine` also for dot-product collections whose vectors have unit length. */
  readonly fitDistance: Distance;
  /** Compact distances under which a candidate is scored. */
  readonly compactDistances: readonly Distance[];
}

/** A row counts as of unit length if its length differs from 1 by at most this. */
const UNIT_TOLERANCE = 0.01;

/**
 * Chooses the distances for fitting and for the compact space. Dot products of unit vectors are cosines, so
 * their encoders need not keep norms. The compact distances keep the direction of scores: for cosine and dot,
 * larger is nearer.
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
