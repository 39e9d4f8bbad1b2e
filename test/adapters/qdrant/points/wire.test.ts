import { describe, expect, test } from '@jest/globals';
import { decodeDense, fieldBytes } from '../../../../adapters/qdrant/transport/wire.js';
import { ProtoWriter } from '../../../../src/encoder/protobuf.js';

const VALUES = Float32Array.from([0, -0, 1.5, -3.25e-38, NaN, Infinity, 1e-45]);

const packed = (values: Float32Array, field = 1): ProtoWriter =>
  new ProtoWriter().bytes(field, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

function oneByOne(values: Float32Array): ProtoWriter {
  const out = new ProtoWriter();
  for (const value of values) out.float(1, value);
  return out;
}

/** The message somewhere inside a larger one, as it comes: at an odd address, with the tag of a float behind it. */
function inside(message: ProtoWriter): Uint8Array {
  const bytes = message.finish();
  const around = new Uint8Array(bytes.length + 7).fill(0x0d);
  around.set(bytes, 3);
  return around.subarray(3, 3 + bytes.length);
}

const decoded = (message: ProtoWriter, dim = VALUES.length): Float32Array => {
  const into = new Float32Array(dim);
  decodeDense(inside(message), into);
  return into;
};

const bits = (values: Float32Array): number[] => [...new Int32Array(values.buffer)];

describe('the floats of a vector', () => {
  const parts = [VALUES.slice(0, 3), VALUES.slice(3)] as const;
  const forms: readonly [string, ProtoWriter][] = [
    ['packed', packed(VALUES)],
    ['one by one', oneByOne(VALUES)],
    ['one by one, then packed', oneByOne(parts[0]).raw(packed(parts[1]).finish())],
    ['packed, then one by one', packed(parts[0]).raw(oneByOne(parts[1]).finish())],
    [
      'one by one with another field between',
      oneByOne(parts[0]).varint(9, 7).raw(oneByOne(parts[1]).finish()),
    ],
    ['dense', new ProtoWriter().message(101, packed(VALUES))],
    ['dense, one by one', new ProtoWriter().message(101, oneByOne(VALUES))],
  ];

  test.each(forms)('are read bit by bit: %s', (_, message) => {
    expect(bits(decoded(message))).toEqual(bits(VALUES));
  });

  test.each(forms)('must be as many as the collection says: %s', (_, message) => {
    expect(() => decoded(message, VALUES.length - 1)).toThrow('a vector is longer than its collection says');
    expect(() => decoded(message, VALUES.length + 1)).toThrow('a vector of 7 values, expected 8');
  });

  test('are read wherever they begin, and whatever number of them follows each other', () => {
    const values = Float32Array.from({ length: 23 }, (_, i) => (i - 11) / 3);
    for (let start = 0; start < 4; start++) {
      for (let cut = 0; cut <= values.length; cut++) {
        const message = oneByOne(values.subarray(0, cut)).varint(9, 7);
        const bytes = message.raw(oneByOne(values.subarray(cut)).finish()).finish();
        const around = new Uint8Array(start + bytes.length);
        around.set(bytes, start);
        const into = new Float32Array(values.length);
        decodeDense(around.subarray(start), into);
        expect(bits(into)).toEqual(bits(values));
      }
    }
  });

  test('are read where they are more than are moved at once, up to another tag', () => {
    const values = Float32Array.from({ length: 9_000 }, (_, i) => Math.sin(i));
    for (const cut of [4_095, 4_096, 4_097, 8_192, 9_000]) {
      const message = oneByOne(values.subarray(0, cut))
        .varint(9, 7)
        .raw(oneByOne(values.subarray(cut)).finish());
      expect(bits(decoded(message, values.length))).toEqual(bits(values));
    }
  });

  test('are whole: packed ones do not end inside a float', () => {
    const half = new ProtoWriter().bytes(1, new Uint8Array(6));
    const message = half.raw(oneByOne(VALUES.subarray(0, 2)).finish()).bytes(1, new Uint8Array(2));
    expect(() => decoded(message, 4)).toThrow('ends inside a field');
  });

  test('are not read beyond the end of their message', () => {
    const whole = oneByOne(VALUES).finish();
    for (let length = whole.length - 4; length < whole.length; length++) {
      const into = new Float32Array(VALUES.length);
      expect(() => decodeDense(whole.subarray(0, length), into)).toThrow('ends inside a field');
    }
  });
});

test('knows the size of a field before it is written', () => {
  for (const size of [0, 1, 127, 128, 16_383, 16_384, 70_000])
    expect(fieldBytes(size)).toBe(new ProtoWriter().bytes(4, new Uint8Array(size)).length);
});
