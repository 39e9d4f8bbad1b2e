import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Encoder, type EncoderLayer } from '../../src/encoder/model.js';
import { normalizedRows } from '../../src/core/distance.js';
import { checkWritable } from '../../src/core/write-file.js';
import { firstNonFiniteRow, matrix, matrixFromRows, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import {
  largestDifference,
  METADATA,
  projectNatively,
  projectSlowly,
  randomEncoder,
  randomMatrix,
} from '../support/random-encoder.js';

async function projectWithOnnxRuntime(encoder: Encoder, x: Matrix): Promise<Float32Array> {
  const session = await InferenceSession.create(encoder.toBytes());
  const { projected } = await session.run({ vectors: new Tensor('float32', x.data, [x.rows, x.cols]) });
  await session.release();
  if (!(projected?.data instanceof Float32Array)) throw new Error('expected float32 output');
  return projected.data;
}

describe('project', () => {
  test('agrees with the definition for every shape of rows, columns and layers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 140 }),
        fc.array(fc.integer({ min: 1, max: 45 }), { minLength: 2, maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        (rows, dims, normalize, bias) => {
          const encoder = randomEncoder(dims, { normalize, bias });
          const x = randomMatrix(rows, dims[0]!, new Rng(rows));
          expect(largestDifference(encoder.project(x).data, projectSlowly(encoder, x).flat())).toBeLessThan(
            1e-5,
          );
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });

  test('scales rows to the bits of normalizedRows, before the layers and after them', () => {
    for (let dim = 1; dim <= 19; dim++) {
      const weight = matrix(dim, dim);
      for (let i = 0; i < dim; i++) weight.data[i * dim + i] = 1;
      const x = randomMatrix(70, dim, new Rng(dim), 1e12);
      x.data.fill(0, dim, 2 * dim);
      for (const before of [true, false]) {
        const layers = [{ weight, bias: null, relu: false }];
        const encoder = new Encoder({ normalizeInput: before, layers, normalizeOutput: !before }, METADATA);
        // An exact sum of one value and zeros; it turns -0 into 0.
        expect(encoder.project(x).data).toEqual(normalizedRows(x).data.map((value) => value + 0));
      }
    }
  });

  test.each([
    { dims: [1536, 96], normalize: true, bias: true },
    { dims: [4096, 128], normalize: true, bias: false },
    { dims: [768, 256, 64], normalize: false, bias: true },
  ])('agrees with a generic ONNX session within 1e-5 for $dims', async ({ dims, normalize, bias }) => {
    const encoder = randomEncoder(dims, { normalize, bias });
    const x = randomMatrix(131, dims[0]!, new Rng(3));
    expect(largestDifference(encoder.project(x).data, await projectWithOnnxRuntime(encoder, x))).toBeLessThan(
      1e-5,
    );
  });

  test('keeps zero rows zero where no layer has a bias, as a generic ONNX session does', async () => {
    const encoder = randomEncoder([8, 3], { normalize: true, bias: false });
    const x = matrix(2, 8);
    x.data.fill(1, 8);
    expect(Array.from(row(encoder.project(x), 0))).toEqual([0, 0, 0]);
    expect(Array.from((await projectWithOnnxRuntime(encoder, x)).subarray(0, 3))).toEqual([0, 0, 0]);
  });

  test.each([true, false])(
    'turns zero rows into what the layers make of zero, as a generic ONNX session does (unit rows: %s)',
    async (normalize) => {
      const encoder = randomEncoder([8, 5, 3], { normalize, bias: true });
      const x = matrix(2, 8);
      x.data.fill(1, 8);
      const [first] = projectSlowly(encoder, x);
      expect(Math.hypot(...first!)).toBeGreaterThan(0.01);
      expect(largestDifference(row(encoder.project(x), 0), first!)).toBeLessThan(1e-6);
      const native = await projectWithOnnxRuntime(encoder, x);
      expect(largestDifference(native.subarray(0, 3), first!)).toBeLessThan(1e-6);
    },
  );

  test('does not change its input and gives each row the same result alone or in a batch', () => {
    const encoder = randomEncoder([64, 24], { normalize: true, bias: true });
    const x = randomMatrix(9, 64, new Rng(5));
    const before = x.data.slice();
    const together = encoder.project(x);
    expect(x.data).toEqual(before);
    for (let i = 0; i < x.rows; i++) {
      expect(encoder.project(matrix(1, 64, row(x, i).slice())).data).toEqual(row(together, i));
    }
  });

  test('refuses the wrong dimension', () => {
    const encoder = randomEncoder([8, 3], { normalize: true, bias: false });
    expect(() => encoder.project(matrix(1, 9))).toThrow(
      'cannot project 9-d vectors: this encoder expects 8-d',
    );
  });
});

describe('a map of its own for queries', () => {
  const both = randomEncoder([24, 9, 5], { normalize: true, bias: true });
  const other = randomEncoder([24, 5], { normalize: true, bias: false });
  const encoder = new Encoder(both.network, METADATA, other.network);
  const x = randomMatrix(7, 24, new Rng(4));

  test('points and queries go through their own maps; one map serves both where there is one', () => {
    expect(encoder.symmetric).toBe(false);
    expect(encoder.project(x)).toEqual(both.project(x));
    expect(encoder.projectQueries(x)).toEqual(other.project(x));
    expect(both.symmetric).toBe(true);
    expect(both.projectQueries(x)).toEqual(both.project(x));
    expect(() => encoder.projectQueries(matrix(1, 23))).toThrow('cannot project 23-d vectors');
  });

  test('the file gives both back, and its fingerprint covers both', () => {
    const loaded = Encoder.fromBytes(encoder.toBytes());
    expect(loaded.symmetric).toBe(false);
    expect(loaded.network).toEqual(both.network);
    expect(loaded.queryNetwork).toEqual(other.network);
    expect(loaded.fingerprint).toBe(encoder.fingerprint);
    expect(Buffer.compare(loaded.toBytes(), encoder.toBytes())).toBe(0);
    const swapped = new Encoder(other.network, METADATA, both.network);
    const all = [encoder, swapped, both, other].map(({ fingerprint }) => fingerprint);
    expect(new Set(all).size).toBe(4);
    const bytes = encoder.toBytes().slice();
    const needle = Buffer.from(other.network.layers[0]!.weight.data.buffer, 0, 16);
    bytes[Buffer.from(bytes).indexOf(needle)]! ^= 1;
    expect(() => Encoder.fromBytes(bytes)).toThrow('encoder file is damaged');
  });

  test('any ONNX runtime computes either output alone from the one input', async () => {
    const session = await InferenceSession.create(encoder.toBytes());
    expect(session.inputNames).toEqual(['vectors']);
    expect(session.outputNames).toEqual(['projected', 'projected_queries']);
    const feeds = { vectors: new Tensor('float32', x.data, [x.rows, x.cols]) };
    for (const [name, z] of [
      ['projected', encoder.project(x)],
      ['projected_queries', encoder.projectQueries(x)],
    ] as const) {
      const outputs = await session.run(feeds, [name]);
      expect(Object.keys(outputs)).toEqual([name]);
      expect(outputs[name]!.dims).toEqual([7, 5]);
      expect(largestDifference(outputs[name]!.data as Float32Array, z.data)).toBeLessThan(1e-5);
    }
    await session.release();
  });

  test('maps of other dimensions, and files that hold another number of maps than they say, are refused', () => {
    const narrow = randomEncoder([24, 4], { normalize: true, bias: false }).network;
    expect(() => new Encoder(both.network, METADATA, narrow)).toThrow(
      'queries are projected 24 -> 4, points 24 -> 5',
    );
    const claim = (of: Encoder, version: string): Uint8Array => {
      const bytes = of.toBytes().slice();
      const key = 'tldr.format_version';
      const at = Buffer.from(bytes).indexOf(key) + key.length + 2;
      bytes[at] = version.charCodeAt(0);
      return bytes;
    };
    expect(() => Encoder.fromBytes(claim(encoder, '1'))).toThrow('expected one map');
    expect(() => Encoder.fromBytes(claim(both, '2'))).toThrow('a map of points and one of queries');
    expect(() => Encoder.fromBytes(claim(both, '3'))).toThrow('format version 3: expected 1 or 2');
  });
});

test('the file scales rows whose squares are infinite or zero in float32 as the encoder does', async () => {
  const { layers } = randomEncoder([24, 5], { normalize: true, bias: false }).network;
  for (const normalizeInput of [true, false]) {
    const encoder = new Encoder({ normalizeInput, layers, normalizeOutput: true }, METADATA);
    const x = randomMatrix(6, 24, new Rng(1));
    for (const [i, factor] of [1, 1e-30, 1e25, 1e-42, 1e37, 0].entries())
      row(x, i).forEach((value, j, values) => (values[j] = value * factor));
    const z = await projectWithOnnxRuntime(encoder, x);
    expect(largestDifference(z, encoder.project(x).data)).toBeLessThan(1e-6);
    for (const i of [1, 2, 3, 4]) expect(Math.hypot(...z.subarray(i * 5, (i + 1) * 5))).toBeCloseTo(1, 5);
    expect([...z.subarray(25)]).toEqual([0, 0, 0, 0, 0]);
  }
});

describe('the encoder file', () => {
  const folders: string[] = [];
  const folder = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), 'qdrant-tldr-encoder-'));
    folders.push(path);
    return path;
  };
  afterAll(async () => {
    for (const path of folders) await rm(path, { recursive: true });
  });

  test('gives back the same encoder, bit for bit, and leaves nothing beside it', async () => {
    const path = join(await folder(), 'deep', 'encoder.onnx');
    const encoder = randomEncoder([33, 12, 5], { normalize: true, bias: true });
    await encoder.save(path);
    await encoder.save(path);
    const loaded = await Encoder.load(path);
    expect(loaded.network).toEqual(encoder.network);
    expect(loaded.metadata).toEqual(METADATA);
    expect(loaded.fingerprint).toBe(encoder.fingerprint);
    expect(Buffer.compare(loaded.toBytes(), encoder.toBytes())).toBe(0);
    expect(await readdir(join(path, '..'))).toEqual(['encoder.onnx']);
  });

  test('reads golden files of the first format version, and writes the later one', async () => {
    const golden = (name: string): URL => new URL(`../../../test/fixtures/${name}`, import.meta.url);
    // It normalises in float32.
    const encoder = await Encoder.load(golden('encoder-v1.onnx').pathname);
    const current = golden('encoder-v1-float64.onnx');
    expect((await Encoder.load(current.pathname)).network).toEqual(encoder.network);
    expect(encoder.fingerprint).toBe('97dde8e263e2abd425a4e87878136a20d0c3422e1074897ece627d738579439e');
    const x = matrixFromRows([[0.5, -1, 2, 0.25]]);
    expect(largestDifference(encoder.project(x).data, projectSlowly(encoder, x).flat())).toBeLessThan(1e-6);
    expect(Buffer.compare(encoder.toBytes(), await readFile(current))).toBe(0);
  });

  test('notices any changed byte of the weights', () => {
    const encoder = randomEncoder([16, 4], { normalize: true, bias: true });
    const bytes = encoder.toBytes().slice();
    const needle = Buffer.from(encoder.network.layers[0]!.weight.data.buffer, 0, 16);
    const at = Buffer.from(bytes).indexOf(needle);
    expect(at).toBeGreaterThan(0);
    bytes[at + 1] = bytes[at + 1]! ^ 1;
    expect(() => Encoder.fromBytes(bytes)).toThrow('encoder file is damaged');
  });

  test('never accepts cut or scrambled bytes as another encoder', () => {
    const encoder = randomEncoder([16, 4], { normalize: true, bias: true });
    const bytes = encoder.toBytes();
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, flip, cut) => {
          const changed = cut ? bytes.slice(0, at) : bytes.slice();
          if (!cut) changed[at] = changed[at]! ^ flip;
          let fingerprint: string;
          try {
            fingerprint = Encoder.fromBytes(changed).fingerprint;
          } catch (error) {
            expect(error).toMatchObject({ name: 'TldrError' });
            return;
          }
          expect(fingerprint).toBe(encoder.fingerprint);
        },
      ),
      { numRuns: 500, seed: 2 },
    );
  });

  test('says what is wrong with a file that is no encoder', async () => {
    const path = join(await folder(), 'x.onnx');
    await expect(Encoder.load(path)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await writeFile(path, 'hello');
    await expect(Encoder.load(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });

  test('refuses at once what is no regular file and what is not as long as its fields promise', async () => {
    for (const path of ['/dev/zero', '/dev/null', tmpdir()])
      await expect(Encoder.load(path)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const inside = await folder();
    const pipe = join(inside, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(Encoder.load(pipe)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `${pipe} is a pipe, expected an encoder file`,
    });

    const path = join(inside, 'zeros.onnx');
    await writeFile(path, '');
    await truncate(path, 1024 ** 3);
    await expect(Encoder.load(path)).rejects.toMatchObject({
      code: 'INVALID_DATA',
      message: expect.stringContaining('at byte 0'),
    });
    const bytes = randomEncoder([5, 3], { normalize: false, bias: false }).toBytes();
    await writeFile(path, bytes);
    await truncate(path, 1024 ** 3);
    await expect(Encoder.load(path)).rejects.toMatchObject({
      message: expect.stringContaining(`at byte ${bytes.length}`),
    });
    await writeFile(path, bytes.subarray(0, -1));
    await expect(Encoder.load(path)).rejects.toMatchObject({ code: 'INVALID_DATA' });
    await writeFile(path, bytes);
    expect((await Encoder.load(path)).toBytes()).toEqual(bytes);
  });

  test('refuses layers that do not fit and weights that are not finite', () => {
    const layer = (inDim: number, outDim: number): EncoderLayer => ({
      weight: matrix(inDim, outDim),
      bias: null,
      relu: false,
    });
    const make = (layers: EncoderLayer[]): Encoder =>
      new Encoder({ normalizeInput: false, layers, normalizeOutput: false }, METADATA);
    expect(() => make([])).toThrow('at least one layer');
    expect(() => make([layer(0, 3)])).toThrow('layer 0 takes no values');
    expect(() => make([layer(4, 3), layer(2, 1)])).toThrow(
      'layer 1 takes 2 values, the layer before gives 3',
    );
    const broken = layer(2, 2);
    broken.weight.data[1] = Number.NaN;
    expect(() => make([broken])).toThrow('not finite');
  });
});

test('whether a file can be written is known beforehand, and asking leaves no trace but its folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-writable-'));
  try {
    await checkWritable(join(folder, 'new', 'x.onnx'));
    expect(await readdir(join(folder, 'new'))).toEqual([]);
    await writeFile(join(folder, 'there.onnx'), 'content');
    await checkWritable(join(folder, 'there.onnx'));
    expect(await readFile(join(folder, 'there.onnx'), 'utf8')).toBe('content');
    for (const path of [folder, '/dev/null/x.onnx', join(folder, 'there.onnx', 'x.onnx')]) {
      await expect(checkWritable(path)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const encoder = randomEncoder([4, 2], { normalize: true, bias: false });
    await expect(encoder.save('/dev/null/x.onnx')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('what an encoder without clipping makes of NaN and infinity is never finite, natively neither', async () => {
  const cases = fc.record({
    inDim: fc.integer({ min: 1, max: 40 }),
    outDim: fc.integer({ min: 1, max: 20 }),
    rows: fc.integer({ min: 1, max: 9 }),
    normalizeInput: fc.boolean(),
    normalizeOutput: fc.boolean(),
    value: fc.constantFrom(NaN, Infinity, -Infinity),
    at: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ inDim, outDim, rows, normalizeInput, normalizeOutput, value, at }) => {
      const rng = new Rng(at);
      const weight = randomMatrix(inDim, outDim, rng);
      weight.data[at % weight.data.length] = 0;
      const layers = [{ weight, bias: null, relu: false }];
      const encoder = new Encoder({ normalizeInput, layers, normalizeOutput }, METADATA);
      const x = randomMatrix(rows, inDim, rng);
      x.data[at % x.data.length] = value;
      const bad = Math.floor((at % x.data.length) / inDim);
      expect(encoder.showsNonFinite).toBe(true);
      for (const z of [encoder.project(x), await projectNatively(encoder, x)]) {
        expect(firstNonFiniteRow(z)).toBe(bad);
        expect(row(z, bad).some(Number.isFinite)).toBe(false);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

test('clipping hides NaN: such an encoder does not show it', () => {
  const encoder = randomEncoder([8, 4, 4], { normalize: false, bias: true });
  const x = matrixFromRows([[NaN, 0, 0, 0, 0, 0, 0, 0]]);
  expect(encoder.showsNonFinite).toBe(false);
  expect(firstNonFiniteRow(encoder.project(x))).toBe(-1);
});
