import { describe, expect, test } from '@jest/globals';
import { deriveTarget, estimateMemory } from '../../../../adapters/qdrant/store/collection-settings.js';
import { deriveScratch, vectorStorage } from '../../../../adapters/qdrant/store/scratch-collection.js';
import { capabilitiesOf, lackingText } from '../../../../adapters/qdrant/store/vector-storage.js';
import type { CollectionSpec } from '../../../../src/store/collection.js';
import type { TargetChange } from '../../../../src/store/copy-target.js';

const source: CollectionSpec = {
  name: 'docs',
  vectors: [{ name: '', dim: 64, distance: 'cosine', multivector: false, componentBytes: 4 }],
  otherVectors: [],
  partitions: [],
  metadata: {},
  native: '{"params":{"vectors":{"size":64,"distance":"Cosine"}},"hnsw_config":{"m":24}}',
};
const TURBO = ['turbo-1bit', 'turbo-1.5bit', 'turbo-2bit', 'turbo-4bit'] as const;

function changed(
  change: Partial<Pick<TargetChange, 'quantization' | 'hnswM' | 'datatype' | 'layout' | 'compactName'>>,
  of = source,
): CollectionSpec {
  return deriveTarget(of, {
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

test('what a version lacks is said with the version that has it', () => {
  expect(lackingText(['turbo-2bit'], '1.16.3')).toBe(
    'Qdrant 1.16.3 cannot store vectors as turbo-2bit: Qdrant 1.18 or newer can',
  );
  expect(lackingText(['turbo4', 'turbo-2bit'], '1.18.0')).toContain('Qdrant 1.19 or newer can');
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
      quantization_config: { turbo: { bits, always_ram: true } },
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
      '"Cosine","quantization_config":{"turbo":{"always_ram":true}}',
    );
    expect(vectorStorage({ ...source, native }, '')).toMatchObject({ quantization: 'turbo-4bit' });
  });

  test('in place of vectors, in a temporary collection and beside the full vectors of a target', () => {
    const storage = { datatype: 'turbo4', quantization: 'none', onDisk: false, indexed: true } as const;
    const scratch = deriveScratch(source, {
      name: 'scratch',
      vectorName: '',
      metadata: {},
      vectors: [{ name: 'turbo', dim: 16, distance: 'cosine', storage }],
    });
    expect(sentOf(scratch, 'turbo')).toMatchObject({ size: 16, datatype: 'turbo4', on_disk: false });
    const target = changed({ quantization: 'none', datatype: 'turbo4' });
    expect(sentOf(target, 'compact')).toMatchObject({ size: 16, datatype: 'turbo4' });
    expect(sentOf(target, '')).not.toHaveProperty('datatype');
    expect(estimateMemory(target, 1000).vectorsRamBytes).toBe((1000 * 16) / 2);
    expect(() => changed({ datatype: 'turbo4', layout: 'compact', compactName: '' })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('two-stage') as unknown,
      }),
    );
  });

  test('in place of vectors, in a source: they can be reduced, and not copied', () => {
    const codes = { ...source, native: source.native.replace('"Cosine"', '"Cosine","datatype":"turbo4"') };
    const reduced = changed({ layout: 'compact', compactName: '' }, codes);
    expect(JSON.parse(reduced.native)).toMatchObject({ params: { vectors: { datatype: 'float32' } } });
    expect(() => changed({}, codes)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('turbo4') as unknown }),
    );
  });
});

describe('memory, which newer servers read in place of on_disk and always_ram', () => {
  const having = (settings: string): CollectionSpec => ({
    ...source,
    native: source.native.replace('"Cosine"', `"Cosine",${settings}`),
  });

  test('says what is held in memory', () => {
    expect(vectorStorage(having('"memory":"cold"'), '').onDisk).toBe(true);
    expect(vectorStorage(having('"memory":"cached","on_disk":true'), '').onDisk).toBe(false);
    const codes = (memory: string): boolean =>
      vectorStorage(
        having(`"on_disk":true,"quantization_config":{"scalar":{"type":"int8","memory":"${memory}"}}`),
        '',
      ).codesInMemory;
    expect([codes('pinned'), codes('cold')]).toEqual([true, false]);
  });

  test('of the source does not keep the full vector in memory, nor the compact one out of it', () => {
    const pinned = changed({}, having('"memory":"pinned"'));
    expect(sentOf(pinned, '')).toMatchObject({ on_disk: true });
    expect(sentOf(pinned, '')).not.toHaveProperty('memory');
    const cold = changed({ quantization: 'none' }, having('"memory":"cold"'));
    expect(sentOf(cold, 'compact')).toMatchObject({ on_disk: false });
    expect(sentOf(cold, 'compact')).not.toHaveProperty('memory');
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
