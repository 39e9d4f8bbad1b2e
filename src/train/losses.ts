import { expectDefined } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import type { Ops } from './engine/ops.js';

/**
 * Barlow Twins (Zbontar et al. 2021, equation 1) on two stacked views p [2B, P]: s (sum_i (1 - C_ii)^2 +
 * lambda sum_{i != j} C_ij^2), C = z1^T z2 / B, z batch-normalised per view. Written as s (lambda sum_ij
 * C_ij^2 + sum_i ((1 - C_ii)^2 - lambda C_ii^2)), with C_ii computed directly from the rows, it needs no P x
 * P mask.
 */
export function barlowTwins<T>(ops: Ops<T>, p: T, settings: { lambda: number; scale: number }): T {
  const { lambda, scale } = settings;
  const [z1, z2] = ops.halves(ops.batchNorm(p, 2));
  const batch = expectDefined(ops.shape(z1)[0], 'the number of rows');
  const correlation = ops.matmul(z1, z2, { transposeA: true, scale: 1 / batch });
  const diagonal = ops.scale(ops.sumColumns(ops.mul(z1, z2)), 1 / batch);
  const offOne = ops.sub(diagonal, ops.constant(1));
  const onDiagonal = ops.sub(ops.sumSquares(offOne), ops.scale(ops.sumSquares(diagonal), lambda));
  return ops.scale(ops.add(ops.scale(ops.sumSquares(correlation), lambda), onDiagonal), scale);
}

/**
 * Pairwise similarities [n, n] of the rows x [n, d], times `scale`: the inner product for cosine (of unit
 * rows) and dot, otherwise the negative squared Euclidean distance plus a constant per row, which a softmax
 * cancels.
 */
function similarity<T>(ops: Ops<T>, x: T, { distance, scale }: { distance: Distance; scale: number }): T {
  const rows = distance === 'cosine' ? ops.normalizeRows(x) : x;
  if (distance === 'cosine' || distance === 'dot') {
    return ops.matmul(rows, rows, { transposeB: true, scale });
  }
  const products = ops.matmul(rows, rows, { transposeB: true, scale: 2 * scale });
  return ops.sub(products, ops.scale(ops.sumRowsAsRow(ops.mul(rows, rows)), scale));
}

/**
 * Mean over rows of KL(softmax(S / tau) || softmax(R / tau)), the objective of stochastic neighbour embedding
 * (Hinton and Roweis 2002) with one temperature for all rows. S are the similarities of the original rows y
 * [n, inputDim], R those of the encoded rows z [n, outputDim] under `compactDistance` (by default the same
 * distance). Each row's similarity to itself is left out.
 */
export function neighbourhoodKl<T>(
  ops: Ops<T>,
  rows: { readonly y: T; readonly z: T },
  settings: { tau: number; distance: Distance; compactDistance?: Distance },
): T {
  const { tau, distance, compactDistance = distance } = settings;
  const logits = (x: T, by: Distance): T =>
    ops.maskDiagonal(similarity(ops, x, { distance: by, scale: 1 / tau }));
  return ops.meanKl(logits(rows.y, distance), logits(rows.z, compactDistance));
}
