import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DISTANCES } from '../../src/core/distance.js';
import { openNpyDir, writeNpyDir } from '../support/store/npy-dir.js';
import { runContract } from '../support/store/run-contract.js';

const UNUSUAL = [
  '5',
  '05',
  'A',
  'a',
  ' ',
  'a b',
  'line\nbreak',
  '"quoted"',
  'ü',
  '\u{1F600}',
  '\uFFFD',
  'null',
];

runContract('a folder of .npy files', {
  facets: [],
  open: async () => {
    const dir = await mkdtemp(join(tmpdir(), 'qdrant-tldr-npy-dir-'));
    return {
      store: await openNpyDir(dir),
      distances: DISTANCES,
      ids: (count) => [...UNUSUAL, ...Array.from({ length: count }, (_, i) => `point ${i}`)].slice(0, count),
      makeCollection: (collection) => writeNpyDir(dir, collection),
      cleanUp: () => rm(dir, { recursive: true }),
    };
  },
});
