import { leanvecSphering } from '../baselines/leanvec-sphering.js';
import {
  fitMoments,
  pcaNetwork,
  prefixNetwork,
  principalAxes,
  randomProjection,
  type PrincipalAxes,
} from '../baselines/pca.js';
import type { Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { SPHERING_PRIORS, TEMPERING_EXPONENTS } from '../hyper-parameters/fit-of-candidates.js';
import type { Candidate, Geometry } from './candidate.js';
import { principalDirections, type Directions } from './principal-directions.js';

/** Candidates in closed form, and results that the learned candidates reuse. */
export interface ClosedForms {
  readonly candidates: readonly Candidate[];
  /** Uncentred principal axes, from which learned candidates start. */
  readonly axes: PrincipalAxes;
  readonly directions: Directions;
}

/** Names, and weight of the points' moment. */
const SPHERINGS = [
  ['leanvec-sphering', SPHERING_PRIORS.near],
  ['leanvec-sphering-0.1', SPHERING_PRIORS.far],
] as const;

/** Names of the candidates that `fitClosedForms` can return. */
export const CLOSED_FORMS = [
  'pca-uncentred',
  'pca',
  'pca-uncentred-tempered-0.25',
  'pca-tempered-0.25',
  'pca-uncentred-tempered-0.5',
  'pca-tempered-0.5',
  'prefix',
  'random-projection',
  'leanvec-sphering',
  'leanvec-sphering-0.1',
] as const;

/**
 * Fits the candidates that need no training: PCA in its forms, prefix, random projection, LeanVec-Sphering.
 */
export async function fitClosedForms(
  x: Matrix,
  options: {
    readonly dim: number;
    readonly seed: number;
    readonly geometry: Geometry;
    /** Queries to fit LeanVec-Sphering to. Candidates are not scored with these. */
    readonly fitQueries: Matrix | null;
    readonly threads?: number;
  },
  run: RunOptions = {},
): Promise<ClosedForms> {
  const { dim, seed, geometry, fitQueries, threads } = options;
  const distance = geometry.fitDistance;
  const candidates: Candidate[] = [];
  let startedAt = performance.now();
  const add = (
    name: (typeof CLOSED_FORMS)[number],
    fields: Pick<Candidate, 'network' | 'queryNetwork' | 'hyperParameters'>,
  ): void => {
    const seconds = (performance.now() - startedAt) / 1000;
    candidates.push({ name, seconds, distances: geometry.compactDistances, ...fields });
    startedAt = performance.now();
  };
  const shared = { ...run, ...(threads === undefined ? {} : { threads }) };
  const moments = await fitMoments(x, { ...shared, distance, dim });
  const forMoments = performance.now() - startedAt;
  const directions = await principalDirections(x, moments, { ...shared, distance });
  const near = { ...shared, d: dim, start: directions.axes };
  // The time of PCA includes mean and second moment, but not the directions, which are for training.
  startedAt = performance.now() - forMoments;
  const axes = await principalAxes(moments, { ...near, centred: false });
  const pca = (of: PrincipalAxes, gamma: number): Pick<Candidate, 'network' | 'hyperParameters'> => ({
    network: pcaNetwork(of, { dim, distance, gamma }),
    hyperParameters: gamma === 0 ? {} : { gamma },
  });
  add('pca-uncentred', pca(axes, 0));
  if (distance !== 'dot') {
    const centred = await principalAxes(moments, { ...near, centred: true });
    add('pca', pca(centred, 0));
    for (const gamma of TEMPERING_EXPONENTS) {
      add(`pca-uncentred-tempered-${gamma}`, pca(axes, gamma));
      add(`pca-tempered-${gamma}`, pca(centred, gamma));
    }
  }
  add('prefix', { network: prefixNetwork(x.cols, { dim, distance }), hyperParameters: {} });
  add('random-projection', {
    network: randomProjection(x.cols, { dim, distance, seed }),
    hyperParameters: {},
  });
  if (fitQueries !== null && (distance === 'cosine' || distance === 'dot')) {
    const queries = await fitMoments(fitQueries, { ...shared, distance, like: moments });
    for (const [name, prior] of SPHERINGS) {
      const pointsShare = (prior * x.cols) / (prior * x.cols + fitQueries.rows);
      const maps = await leanvecSphering(moments, queries, { ...shared, dim, distance, pointsShare });
      add(name, { ...maps, hyperParameters: { queries: fitQueries.rows, pointsShare } });
    }
  }
  return { candidates, axes, directions };
}
