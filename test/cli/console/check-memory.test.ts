import { expect, test } from '@jest/globals';
import { checkReadMemory } from '../../../src/cli/console/check-memory.js';

test('vectors that do not fit into memory are refused by their size', () => {
  const shape = { rows: 1_000_000, cols: 1000 };
  expect(() => checkReadMemory('base.npy', shape, 12e9)).not.toThrow();
  expect(() => checkReadMemory('base.npy', shape, 11.9e9)).toThrow(
    'base.npy holds 1,000,000 vectors of 1,000 dimensions: evaluating them takes about 12 GB of memory, and this process may use 11.9 GB; give fewer vectors',
  );
});
