import { matrix, type Matrix } from '../../../src/core/matrix.js';
import type { ServedCollection, VectorProjector } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';

export const INPUT_DIM = 4;
export const OUTPUT_DIM = 2;

/** (a, b, c, d) to (a + b, c - d): exact for small whole numbers; queries are told from points by a factor of 10. */
function tinyProjector(fingerprint: string): VectorProjector {
  const project = (x: Matrix, factor: number): Matrix => {
    const y = matrix(x.rows, OUTPUT_DIM);
    for (let i = 0; i < x.rows; i++) {
      const [a = 0, b = 0, c = 0, d = 0] = x.data.subarray(i * INPUT_DIM, (i + 1) * INPUT_DIM);
      y.data.set([(a + b) * factor, (c - d) * factor], i * OUTPUT_DIM);
    }
    return y;
  };
  return {
    inputDim: INPUT_DIM,
    outputDim: OUTPUT_DIM,
    fingerprint: fingerprint.repeat(32),
    project: (x) => project(x, 1),
    projectQueries: (x) => project(x, 10),
  };
}

/**
 * Served in one layout: `docs` and its twin by their default vector, `named` by one of several, `foreign` with another
 * encoder.
 */
export function fixtureCollections(layout: Layout): ServedCollection[] {
  const served = (name: string, vector: string, fingerprint = 'ab'): ServedCollection => ({
    names: [name, `${name}-alias`],
    target: `${name}_t`,
    layout,
    vector,
    compact: layout === 'compact' ? vector : 'compact',
    distance: 'cosine',
    inputDim: INPUT_DIM,
    outputDim: OUTPUT_DIM,
    componentBytes: 4,
    visibleVectors: vector === '' ? [''] : [vector, 'other', 'words'],
    oversampling: 10,
    candidatesMax: 1000,
    allowsExact: true,
    scoreThreshold: 'pass',
    vectorAnswers: 'refuse',
    projector: tinyProjector(fingerprint),
  });
  return [served('docs', ''), served('named', 'v'), served('twin', ''), served('foreign', '', 'cd')];
}

/** The fixture's collections, each with some facts changed. */
export function changedCollections(layout: Layout, facts: Partial<ServedCollection>): ServedCollection[] {
  return fixtureCollections(layout).map((served) => ({ ...served, ...facts }));
}
