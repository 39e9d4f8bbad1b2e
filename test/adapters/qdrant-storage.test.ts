import { expect, test } from '@jest/globals';
import { deriveScratch, vectorStorage } from '../../adapters/qdrant/scratch.js';
import { deriveTarget, specFromInfo } from '../../adapters/qdrant/settings.js';
import { tarSizes } from '../../adapters/qdrant/snapshot-sizes.js';
import { parseJson } from '../../adapters/qdrant/json.js';
import type { Quantization } from '../../src/core/vector-store.js';

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
  ...{ name: 'target', layout: 'two-stage', vectorName: 'a', compactName: 'small', compactDim: 8 },
  ...{ compactDistance: 'cosine', metadata: {}, datatype: 'float16', quantization },
});

test('a quantisation of the whole collection moves to the vectors when the reduced one gets its own', () => {
  expect(vectorStorage(source, 'a')).toEqual({
    ...{ datatype: 'float32', quantization: 'scalar', onDisk: false, indexed: true },
    ...{ codesInMemory: true, indexInMemory: false },
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
    ...{ quantization: 'product-x8', onDisk: true, codesInMemory: true },
  });
});

test('a scratch collection takes the index settings of the source and walks its indexes', () => {
  const scratch = deriveScratch(source, {
    ...{ name: 's', vectorName: 'a', metadata: {} },
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
