import { describe, expect, test } from '@jest/globals';
import { deriveTarget, estimateMemory } from '../../../../adapters/qdrant/store/collection-settings.js';
import { deriveScratch, vectorStorage } from '../../../../adapters/qdrant/store/scratch-collection.js';
import { capabilitiesOf } from '../../../../adapters/qdrant/store/vector-storage.js';
import type { CollectionSpec, Quantization } from '../../../../src/store/collection.js';

const source: CollectionSpec = {
  name: 'docs',
  vectors: [{ name: '', dim: 64, distance: 'cosine', multivector: false, componentBytes: 4 }],
  otherVectors: [],
  partitions: [],
  metadata: {},
  native: '{"params":{"vectors":{"size":64,"distance":"Cosine"}},"hnsw_config":{"m":24}}',
};
const TURBO = ['turbo-1bit', 'turbo-1.5bit', 'turbo-2bit', 'turbo-4bit'] as const;

function changed(change: { readonly quantization?: Quantization; readonly hnswM?: number }): CollectionSpec {
  return deriveTarget(source, {
    name: 'small',
    layout: 'two-stage',
    vectorName: '',
    compactName: 'compact',
    compactDim: 16,
    compactDistance: 'cosine',
    metadata: {},
    ...change,
  });
}

/** The settings of a vector as they are sent to the server. */
function sentOf(spec: CollectionSpec, name: string): unknown {
  const native = JSON.parse(spec.native) as { params: { vectors: Record<string, unknown> } };
  return native.params.vectors[name];
}

describe('the ways of storing vectors that a version has', () => {
  test.each([
    ['1.16.3', [], []],
    ['1.17.0', [], []],
    ['1.18.0', TURBO, []],
    ['1.19.2-dev', TURBO, ['turbo4']],
    ['1.20.0', TURBO, ['turbo4']],
    ['2.0.0', TURBO, ['turbo4']],
  ])('%s', (version, codes, vectors) => {
    const { datatypes, quantizations } = capabilitiesOf(version);
    expect(quantizations.filter((name) => name.startsWith('turbo'))).toEqual(codes);
    expect(datatypes.filter((name) => name.startsWith('turbo'))).toEqual(vectors);
    expect(datatypes).toEqual(expect.arrayContaining(['float32', 'float16', 'uint8']));
    expect(quantizations).toEqual(expect.arrayContaining(['none', 'scalar', 'product-x8', 'binary-2bit']));
  });
});

describe('TurboQuant codes', () => {
  test.each([
    ['turbo-1bit', 'bits1', 1],
    ['turbo-1.5bit', 'bits1_5', 1.5],
    ['turbo-2bit', 'bits2', 2],
    ['turbo-4bit', 'bits4', 4],
  ] as const)('%s: the request, what is read of it, and its size', (quantization, bits, size) => {
    const target = changed({ quantization });
    expect(sentOf(target, 'compact')).toMatchObject({
      on_disk: true,
      quantization_config: { turboquant: { bits, always_ram: true } },
    });
    expect(vectorStorage(target, 'compact')).toMatchObject({ quantization, codesInMemory: true });
    const without = changed({ quantization: 'none' });
    const codes =
      estimateMemory(target, 1000).vectorsRamBytes -
      (estimateMemory(without, 1000).vectorsRamBytes - 1000 * 16 * 4);
    expect(codes).toBe((1000 * 16 * size) / 8);
  });

  test('have 4 bits unless the settings say so', () => {
    const native = source.native.replace(
      '"Cosine"',
      '"Cosine","quantization_config":{"turboquant":{"always_ram":true}}',
    );
    expect(vectorStorage({ ...source, native }, '')).toMatchObject({ quantization: 'turbo-4bit' });
  });

  test('in place of vectors, in a temporary collection and in no target', () => {
    const storage = { datatype: 'turbo4', quantization: 'none', onDisk: false, indexed: true } as const;
    const scratch = deriveScratch(source, {
      name: 'scratch',
      vectorName: '',
      metadata: {},
      vectors: [{ name: 'turbo', dim: 16, distance: 'cosine', storage }],
    });
    expect(sentOf(scratch, 'turbo')).toMatchObject({ size: 16, datatype: 'turbo4', on_disk: false });
    const change = { quantization: 'none', datatype: 'turbo4' } as const;
    expect(() => changed(change)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });
});

describe('links of each point', () => {
  test('are those of the collection, of the vector, or of the change', () => {
    expect(vectorStorage(source, '').hnswM).toBe(24);
    expect(vectorStorage({ ...source, native: source.native.replace('24', '0') }, '').hnswM).toBe(0);
    const own = source.native.replace('"Cosine"', '"Cosine","hnsw_config":{"m":12}');
    expect(vectorStorage({ ...source, native: own }, '').hnswM).toBe(12);
    const none = source.native.replace(',"hnsw_config":{"m":24}', '');
    expect(vectorStorage({ ...source, native: none }, '').hnswM).toBe(16);
    expect(sentOf(changed({ hnswM: 8 }), 'compact')).toMatchObject({ hnsw_config: { m: 8 } });
    expect(vectorStorage(changed({ hnswM: 8 }), 'compact').hnswM).toBe(8);
  });

  test('of the full vector of a two-stage collection are those that a target of it gets', () => {
    const target = changed({ hnswM: 8 });
    const metadata = {
      tldr: JSON.stringify({
        format: 1,
        encoder: 'f',
        layout: 'two-stage',
        source: 'docs',
        vector: '',
        compact: 'compact',
        inputDim: 64,
        outputDim: 16,
        distance: 'cosine',
      }),
    };
    expect(vectorStorage({ ...target, metadata }, '')).toMatchObject({ indexed: false, hnswM: 8 });
  });
});
