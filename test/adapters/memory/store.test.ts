import { openMemory } from '../../../adapters/memory/store.js';
import type { Distance } from '../../../src/core/distance.js';
import { describeVectorStore } from '../../contract/vector-store-contract.js';

describeVectorStore('memory', () => {
  const store = openMemory();
  return Promise.resolve({
    store,
    cleanUp: () => store.close(),
    createCollection: (name, vector) =>
      store.create({
        name,
        vectors: [
          {
            name: vector.name,
            dim: vector.dim,
            distance: vector.distance.toLowerCase() as Distance,
            multivector: false,
            componentBytes: 4,
          },
        ],
        otherVectors: [],
        partitions: [],
        metadata: {},
        native: '{}',
      }),
  });
});
