import { describe, expect, test } from '@jest/globals';
import { EXACT_KEY } from '../../../../adapters/qdrant/store/clients-exact-search.js';
import { LIFTED_KEY } from '../../../../adapters/qdrant/store/lifted-limits.js';
import { deriveScratch, vectorStorage } from '../../../../adapters/qdrant/store/scratch-collection.js';
import {
  deriveTarget,
  differences,
  patchToFinish,
  specFromInfo,
} from '../../../../adapters/qdrant/store/collection-settings.js';
import { readThresholds, THRESHOLDS_KEY } from '../../../../adapters/qdrant/store/scaled-limits.js';
import { tarSizes } from '../../../../adapters/qdrant/store/sizes-of-files-in-snapshot.js';
import { numberAt, parseJson, stringifyJson } from '../../../../adapters/qdrant/transport/json.js';
import type { CollectionSpec, Quantization } from '../../../../src/store/collection.js';

const source = specFromInfo(
  'docs',
  parseJson(`{"config": {
    "params": {"vectors": {"a": {"size": 64, "distance": "Cosine", "hnsw_config": {"m": 24}},
                           "b": {"size": 8, "distance": "Dot", "on_disk": true}}},
    "hnsw_config": {"m": 16, "ef_construct": 77, "on_disk": true},
    "quantization_config": {"scalar": {"type": "int8", "always_ram": false}}}}`),
  [],
);
const change = (quantization: Quantization): Parameters<typeof deriveTarget>[1] => ({
  name: 'target',
  layout: 'two-stage',
  vectorName: 'a',
  compactName: 'small',
  compactDim: 8,
  compactDistance: 'cosine',
  metadata: {},
  datatype: 'float16',
  quantization,
});

test('a quantisation of the whole collection moves to the vectors when the reduced one gets its own', () => {
  expect(vectorStorage(source, 'a')).toEqual({
    datatype: 'float32',
    quantization: 'scalar',
    onDisk: false,
    indexed: true,
    codesInMemory: true,
    indexInMemory: false,
    hnswM: 24,
  });
  expect(vectorStorage(source, 'b')).toMatchObject({ onDisk: true, codesInMemory: false });
  const target = deriveTarget(source, change('none'));
  expect(vectorStorage(target, 'small')).toMatchObject({
    datatype: 'float16',
    quantization: 'none',
    onDisk: false,
  });
  expect(vectorStorage(target, 'a')).toMatchObject({ quantization: 'none', onDisk: true, indexed: false });
  expect(vectorStorage(target, 'b')).toMatchObject({ quantization: 'scalar' });
  expect(vectorStorage(deriveTarget(source, change('product-x8')), 'small')).toMatchObject({
    quantization: 'product-x8',
    onDisk: true,
    codesInMemory: true,
  });
});

test('a binary quantisation is named by its bits for points and for queries', () => {
  const named = (binary: object): string => {
    const native = { params: { vectors: { size: 300, distance: 'Dot', quantization_config: { binary } } } };
    return vectorStorage({ ...source, native: JSON.stringify(native) }, '').quantization;
  };
  expect(named({})).toBe('binary');
  expect(named({ encoding: 'one_bit', query_encoding: 'default', always_ram: true })).toBe('binary');
  expect(named({ query_encoding: 'scalar4bits' })).toBe('binary-1bit');
  expect(named({ encoding: 'one_and_half_bits' })).toBe('binary-1.5bit');
  expect(named({ encoding: 'two_bits', query_encoding: 'scalar8bits' })).toBe('binary-2bit');
});

test('a scratch collection takes the index settings of the source and walks its indexes', () => {
  const scratch = deriveScratch(source, {
    name: 's',
    vectorName: 'a',
    metadata: {},
    vectors: [{ name: 'v', dim: 8, distance: 'cosine', storage: 'source' }],
  });
  expect(JSON.parse(scratch.native)).toMatchObject({
    params: {
      vectors: {
        v: { size: 8, hnsw_config: { m: 24, ef_construct: 77, on_disk: true, full_scan_threshold: 10 } },
      },
    },
  });
  expect(vectorStorage(scratch, 'v')).toEqual(vectorStorage(source, 'a'));
});

test('a scratch collection for a two-stage collection walks a graph, though its full vector has none', () => {
  const metadata = {
    tldr: JSON.stringify({
      format: 1,
      encoder: 'e',
      layout: 'two-stage',
      source: 'docs',
      vector: 'a',
      compact: 'small',
      inputDim: 64,
      outputDim: 8,
      distance: 'cosine',
    }),
  };
  const target = deriveTarget(source, { ...change('none'), metadata });
  const scratch = deriveScratch(target, {
    name: 's',
    vectorName: 'a',
    metadata: {},
    vectors: [{ name: 'v', dim: 8, distance: 'cosine', storage: 'source' }],
  });
  expect(JSON.parse(scratch.native)).toMatchObject({
    params: { vectors: { v: { hnsw_config: { m: 24 } } } },
  });
});

describe('limits in kilobytes that a smaller vector reaches with as many points', () => {
  const small = { size: 8, distance: 'Dot' };
  interface Settings {
    readonly indexing?: number;
    readonly fullScan?: number;
    /** Of the vector `a`, 64 components that become 8. */
    readonly a?: object;
    readonly b?: object;
    readonly metadata?: object;
  }

  function sourceOf({ indexing, fullScan, a, b, metadata }: Settings): CollectionSpec {
    const config = {
      params: { vectors: { a: { size: 64, distance: 'Cosine', ...a }, ...(b && { b }) } },
      ...(fullScan !== undefined && { hnsw_config: { m: 16, full_scan_threshold: fullScan } }),
      optimizer_config: { indexing_threshold: indexing },
      metadata,
    };
    return specFromInfo('docs', parseJson(JSON.stringify({ config })), []);
  }

  /** The limits of a collection after its vector was reduced, and what the metadata tells of them. */
  function derived(
    settings: Settings,
    { layout = 'compact', datatype }: { layout?: 'compact' | 'two-stage'; datatype?: 'float16' } = {},
  ): object {
    const name = layout === 'compact' ? 'a' : 'small';
    const target = deriveTarget(sourceOf(settings), {
      name: 'target',
      layout,
      vectorName: 'a',
      compactName: name,
      compactDim: 8,
      compactDistance: 'cosine',
      metadata: { tldr: '{}' },
      datatype,
    });
    const told = target.metadata[THRESHOLDS_KEY];
    const native = parseJson(target.native);
    return {
      indexing: numberAt(native, 'optimizer_config', 'indexing_threshold'),
      fullScan: numberAt(native, 'hnsw_config', 'full_scan_threshold'),
      own: numberAt(native, 'params', 'vectors', name, 'hnsw_config', 'full_scan_threshold'),
      told: told === undefined ? undefined : readThresholds(String(JSON.parse(told))),
    };
  }

  test('both are divided, and what they were is told', () => {
    expect(derived({ indexing: 20_000, fullScan: 10_001 })).toEqual({
      indexing: 2500,
      fullScan: 1251,
      told: {
        indexing_threshold: { source: 20_000, target: 2500 },
        full_scan_threshold: { source: 10_001, target: 1251 },
      },
    });
    expect(derived({ indexing: 20_000, fullScan: 10_001 }, { datatype: 'float16' })).toMatchObject({
      indexing: 1250,
      fullScan: 626,
    });
  });

  test('a limit that the vector has of its own is what counts for it', () => {
    const a = { hnsw_config: { full_scan_threshold: 800 } };
    expect(derived({ indexing: 0, fullScan: 10_000, a })).toEqual({
      indexing: 0,
      fullScan: 10_000,
      own: 100,
      told: { vector_full_scan_threshold: { source: 800, target: 100 } },
    });
  });

  test('beside other vectors it gets one of its own, and theirs stays', () => {
    expect(derived({ indexing: 0, fullScan: 10_000, b: small })).toEqual({
      indexing: 0,
      fullScan: 10_000,
      own: 1250,
      told: { vector_full_scan_threshold: { source: null, target: 1250 } },
    });
  });

  test('none falls below what the server takes, and what cannot become smaller stays', () => {
    expect(derived({ indexing: 1, fullScan: 10 })).toEqual({ indexing: 1, fullScan: 10 });
    expect(derived({ indexing: 2, fullScan: 40 })).toMatchObject({ indexing: 1, fullScan: 10 });
    expect(derived({})).toEqual({});
    const bytes = { datatype: 'uint8' };
    expect(derived({ indexing: 1000, fullScan: 1000, a: bytes })).toMatchObject({
      indexing: 500,
      fullScan: 500,
    });
  });

  test('whether a graph is built goes by the largest vector, where its size is known', () => {
    expect(derived({ indexing: 8000, fullScan: 8000 }, { layout: 'two-stage' })).toEqual({
      indexing: 8000,
      fullScan: 1000,
      told: { full_scan_threshold: { source: 8000, target: 1000 } },
    });
    const half = { size: 32, distance: 'Dot' };
    expect(derived({ indexing: 8000, b: half })).toMatchObject({ indexing: 4000 });
    const rows = { ...small, multivector_config: { comparator: 'max_sim' } };
    expect(derived({ indexing: 8000, b: rows })).toMatchObject({ indexing: 8000 });
    const unknown = { ...small, datatype: 'of tomorrow' };
    expect(derived({ indexing: 8000, fullScan: 8000, b: unknown })).toEqual({
      indexing: 8000,
      fullScan: 8000,
    });
  });

  test('while a target is filled they may be others, but for one that nothing will unset', () => {
    const own = { hnsw_config: { full_scan_threshold: 40 } };
    const [wanted, held] = [
      sourceOf({ indexing: 80, fullScan: 50 }),
      sourceOf({ indexing: 0, fullScan: 60 }),
    ];
    expect(differences(wanted, held, { loading: true })).toEqual([]);
    expect(differences(wanted, held, {})).toHaveLength(2);
    expect(differences(wanted, sourceOf({ fullScan: 50, a: own }), { loading: true })).toEqual([
      'params.vectors.a.hnsw_config.full_scan_threshold: expected (unset), got 40',
    ]);
    expect(stringifyJson(patchToFinish(sourceOf({ indexing: 80, fullScan: 50, a: own })))).toBe(
      '{"optimizers_config":{"indexing_threshold":80},"hnsw_config":{"full_scan_threshold":50},"vectors":{"a":{"hnsw_config":{"full_scan_threshold":40}}}}',
    );
  });

  test('what a target tells of its limits is written at the end, and taken away where there is nothing to tell', () => {
    const told = '{"indexing_threshold":{"source":9,"target":8}}';
    const patched = (metadata: object): string => stringifyJson(patchToFinish(sourceOf({ metadata })));
    expect(patched({ tldr: {}, mine: 1, [THRESHOLDS_KEY]: told })).toBe(
      JSON.stringify({ metadata: { [THRESHOLDS_KEY]: told, [EXACT_KEY]: null, [LIFTED_KEY]: null } }),
    );
    expect(patched({ tldr: {}, mine: 1 })).toBe(
      `{"metadata":{"${THRESHOLDS_KEY}":null,"${EXACT_KEY}":null,"${LIFTED_KEY}":null}}`,
    );
    expect(patched({ mine: 1 })).toBe('{}');
  });

  test('what a source tells of a source before it is not carried on', () => {
    const metadata = { mine: 1, [THRESHOLDS_KEY]: '{"indexing_threshold":{"source":9,"target":8}}' };
    expect(derived({ indexing: 0, metadata })).toEqual({ indexing: 0 });
    expect(derived({ indexing: 80, metadata })).toMatchObject({
      told: { indexing_threshold: { source: 80, target: 10 } },
    });
  });

  test.each([
    '',
    'null',
    '[]',
    '{"indexing_threshold":7}',
    '{"full_scan_threshold":{"source":"1","target":2}}',
    '{"full_scan_threshold":{"source":1.5,"target":2}}',
    '{"full_scan_threshold":{"source":1,"target":-2}}',
    '{"indexing_threshold":{"source":1e999,"target":2}}',
    '{"indexing_threshold":{"source":1}}',
  ])('a text that says nothing of them, %s, changes nothing', (text) =>
    expect(readThresholds(text)).toEqual({}),
  );
});

/** A tar header. */
function header(name: string, size: number, type = '0', more = 0): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write(type, 156, 'latin1');
  block.write('ustar  \0', 257, 'latin1');
  block[482] = more;
  return block;
}

test('sizes of files inside an archive inside an archive, from the headers alone', async () => {
  const inner = Buffer.concat([
    header('a/x.bin', 700),
    Buffer.alloc(1024),
    header('a/sparse.mmap', 512, 'S', 1),
    Buffer.alloc(512),
    Buffer.alloc(512, 1),
    Buffer.alloc(1024),
  ]);
  const archive = Buffer.concat([
    header('0/one.tar', inner.length),
    inner,
    header('config.json', 3),
    Buffer.alloc(512),
    Buffer.alloc(1024),
  ]);
  const read = (from: number, to: number): Promise<Buffer> => Promise.resolve(archive.subarray(from, to));
  expect([...(await tarSizes(read, archive.length))]).toEqual([
    ['0/one.tar/a/x.bin', 700],
    ['0/one.tar/a/sparse.mmap', 512],
    ['config.json', 3],
  ]);
  archive.fill(7, 512 + inner.length, 512 + inner.length + 512);
  await expect(tarSizes(read, archive.length)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});
