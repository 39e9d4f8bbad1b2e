import { fitMoments, pcaFromMoments } from '../../../src/baselines/pca.js';
import { compactDistance, type Distance } from '../../../src/core/distance.js';
import { Encoder } from '../../../src/encoder/model.js';
import type { Matrix } from '../../../src/core/matrix.js';

/** Uncentred PCA of rows, as an encoder to migrate and search with. */
export async function pcaEncoder(
  x: Matrix,
  dim: number,
  { source = 'docs', distance = 'cosine' }: { readonly source?: string; readonly distance?: Distance } = {},
): Promise<Encoder> {
  const moments = await fitMoments(x, { distance });
  const network = await pcaFromMoments(moments, { dim, centred: false, distance });
  return new Encoder(network, {
    method: 'pca-uncentred',
    distance,
    compactDistance: compactDistance(distance),
    source,
    seed: 0,
    dataFingerprint: '',
    hyperParameters: {},
    metrics: {},
    createdBy: 'test',
  });
}
