import { openMemory } from '../../../adapters/memory/index.js';
import { DISTANCES } from '../../../src/core/distance.js';
import type { PointId } from '../../../src/core/point-id.js';
import { runContract } from '../../support/store/run-contract.js';

const UNUSUAL: readonly PointId[] = [
  0n,
  1n,
  2n ** 53n + 1n,
  2n ** 64n - 1n,
  'a-text',
  'ünusual',
  '\u{1F600}',
];

runContract('memory', {
  facets: [
    'keys.split',
    'storage',
    'changes.versions',
    'changes.waitForApplied',
    'load',
    'target',
    'names',
    'names.over',
  ],
  open: () => {
    const store = openMemory();
    return Promise.resolve({
      store,
      distances: DISTANCES,
      ids: (count) =>
        [...UNUSUAL, ...Array.from({ length: count }, (_, i) => BigInt(1000 + i))].slice(0, count),
      makeCollection: ({ name, vectorName, dim, distance }) =>
        store.create({
          name,
          vectors: [{ name: vectorName, dim, distance, multivector: false, componentBytes: 4 }],
          otherVectors: [],
          partitions: [],
          metadata: {},
          native: '{}',
        }),
      measured: { codeBytes: () => 0, overheadBytesMax: 0 },
      cleanUp: () => store.close(),
    });
  },
});
