import { afterAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encoder } from '../../src/encoder/model.js';
import { ProtoWriter } from '../../src/encoder/protobuf.js';

const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-hostile-'));
const FIELDS = 2 ** 20;

afterAll(() => rm(folder, { recursive: true }));

/** A message of the same two bytes again and again: a field without content, or a number. */
function repeated(tag: number, value: number): ProtoWriter {
  return new ProtoWriter().raw(
    Uint8Array.from({ length: 2 * FIELDS }, (_, i) => (i % 2 === 0 ? tag : value)),
  );
}

function model(graph: ProtoWriter): Uint8Array {
  return new ProtoWriter().varint(1, 8).message(7, graph).finish();
}

const inGraph = (field: number, inside: ProtoWriter): Uint8Array =>
  model(new ProtoWriter().message(field, inside));

/** One layer, with the shape that its weights are said to have. */
function layered(dims: readonly number[], values: Float32Array): Uint8Array {
  const node = new ProtoWriter().string(1, 'vectors').string(1, 'w').string(2, 'projected').string(4, 'Gemm');
  const tensor = new ProtoWriter();
  for (const dim of dims) tensor.varint(1, dim);
  tensor.varint(2, 1).string(8, 'w').bytes(9, new Uint8Array(values.buffer));
  const entry = (key: string, value: string): ProtoWriter =>
    new ProtoWriter().string(1, key).string(2, value);
  return new ProtoWriter()
    .message(7, new ProtoWriter().message(1, node).message(5, tensor))
    .message(14, entry('tldr.format_version', '1'))
    .message(14, entry('tldr.fingerprint', 'none'))
    .finish();
}

async function load(bytes: Uint8Array): Promise<unknown> {
  const path = join(folder, 'hostile.onnx');
  await writeFile(path, bytes);
  return Encoder.load(path).catch((error: unknown) => error);
}

test.each([
  ['nodes', model(repeated(0x0a, 0))],
  ['graph inputs', model(repeated(0x5a, 0))],
  ['dimensions', inGraph(5, repeated(0x08, 1))],
  ['attributes', inGraph(1, repeated(0x2a, 0))],
  ['node inputs', inGraph(1, repeated(0x0a, 0))],
  ['fields without meaning', inGraph(1, repeated(0x38, 0))],
])('a file with a million %s is refused before memory is taken for them', async (_, bytes) => {
  expect(await load(bytes)).toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringMatching(/hostile\.onnx is no encoder file .*more than 100000 fields/),
  });
});

test('texts longer than any of an encoder are refused', async () => {
  const long = new ProtoWriter().bytes(1, new Uint8Array(2 ** 21).fill(97));
  for (const bytes of [
    new ProtoWriter().message(7, new ProtoWriter()).message(14, long).finish(),
    inGraph(1, long),
  ])
    expect(await load(bytes)).toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('text of 2097152 bytes'),
    });
});

test.each([
  ['values that do not fill its shape', layered([4, 2, 3], new Float32Array(24))],
  ['no rows', layered([0, 4], new Float32Array(0))],
  ['no columns', layered([4, 0], new Float32Array(0))],
  ['a value that is not finite', layered([1, 2], new Float32Array([1, NaN]))],
])('a layer with %s is unusable data, and the file is named', async (_, bytes) => {
  expect(await load(bytes)).toMatchObject({
    code: 'INVALID_DATA',
    message: expect.stringContaining('hostile.onnx is no encoder file of this program'),
  });
});

test('weights that are not those of the fingerprint are a mismatch, and the file is named', async () => {
  expect(await load(layered([2, 1], new Float32Array([1, 2])))).toMatchObject({
    code: 'MISMATCH',
    message: expect.stringMatching(/hostile\.onnx: encoder file is damaged/),
  });
});
