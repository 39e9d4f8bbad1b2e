import { describe, expect, test } from '@jest/globals';
import { withGraphSizes } from '../../src/plan/graph-variants.js';
import { compactVariants, fullVariants, type Variant } from '../../src/plan/variants.js';
import type { KeptVector } from '../../src/store/storage.js';

const vector = { name: '', dim: 1024, distance: 'cosine', multivector: false, componentBytes: 4 } as const;
const current: KeptVector = {
  datatype: 'float32',
  quantization: 'none',
  onDisk: false,
  indexed: true,
  codesInMemory: true,
  indexInMemory: true,
  hnswM: 16,
};
const kinds = ['float32', 'scalar', 'binary'] as const;
const variants = [
  ...fullVariants(vector, current, kinds),
  ...compactVariants(96, { distance: 'cosine', hnswM: 16 }, kinds),
];
const names = (made: readonly Variant[]): string[] => made.map(({ scratch }) => scratch.name);

describe('the numbers of links that are tried', () => {
  test('are the own one, and 8 where a vector or code takes at most 20 bytes for each link', () => {
    expect(names(withGraphSizes(variants, { own: 16 }))).toEqual([
      'current',
      'full',
      'full-scalar',
      'full-binary',
      'full-binary-m8',
      'c96-float32',
      'c96-scalar',
      'c96-scalar-m8',
      'c96-binary',
      'c96-binary-m8',
    ]);
  });

  test('are the own one alone if it is 8 or fewer, or if there is no graph', () => {
    for (const own of [8, 4, 0]) expect(names(withGraphSizes(variants, { own }))).toEqual(names(variants));
  });

  test('are those that are asked for, of everything but the collection as it is', () => {
    const made = withGraphSizes(variants, { own: 16, asked: [4, 16, 4] });
    expect(made.filter(({ kind }) => kind === 'current' || kind === 'rescoring')).toHaveLength(2);
    expect(made).toHaveLength(2 + 2 * (variants.length - 2));
    for (const { scratch, kind, hnswM } of made) {
      if (kind === 'current' || kind === 'rescoring') expect(scratch.hnswM).toBeUndefined();
      else expect([4, 16]).toContain(hnswM);
      if (scratch.name.endsWith('-m4')) expect(scratch.hnswM).toBe(4);
      else expect(scratch.hnswM).toBeUndefined();
    }
  });

  test.each([[[]], [[0]], [[8.5]], [[-1]]])('cannot be %j', (asked) => {
    expect(() => withGraphSizes(variants, { own: 16, asked })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});
