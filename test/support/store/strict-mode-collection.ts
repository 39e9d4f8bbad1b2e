import { DIM } from '../migrate/fixtures.js';
import type { CliPlace } from '../cli/cli-on-test-server.js';

/** Switches strict mode of a collection on, with these limits. */
export function limit(place: CliPlace, collection: string, limits: object): Promise<void> {
  return place.rest('PATCH', `/collections/${collection}`, {
    strict_mode_config: { enabled: true, ...limits },
  });
}

/** The first vector of the point with the id `i` + 1 of `fillCollection`. */
export function vectorOf(i: number): number[] {
  return Array.from({ length: DIM }, (_, c) => Math.sin(i * 13.7 + c * c * 1.3) + Math.cos(i * c));
}

/** Makes a collection with vectors of every kind, an indexed payload field, and `count` points with ids from 1. */
export async function fillCollection(place: CliPlace, collection: string, count: number): Promise<void> {
  await place.rest('PUT', `/collections/${collection}`, {
    vectors: {
      '': { size: DIM, distance: 'Cosine' },
      many: { size: 2, distance: 'Dot', multivector_config: { comparator: 'max_sim' } },
    },
    sparse_vectors: { words: {} },
  });
  await place.rest('PUT', `/collections/${collection}/index?wait=true`, {
    field_name: 'shelf',
    field_schema: 'keyword',
  });
  const points = Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    vector: {
      '': vectorOf(i),
      many: [
        [i + 0.5, 1],
        [1, i + 0.5],
      ],
      words: { indices: [1, 2, 3], values: [1, 2, i] },
    },
    payload: { n: i, shelf: `shelf ${i % 7}` },
  }));
  await place.rest('PUT', `/collections/${collection}/points?wait=true`, { points });
}
