import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { GROUPS_MAX, ProtoReader, ProtoWriter } from '../../src/encoder/protobuf.js';

const readerOf = (bytes: readonly number[] | Uint8Array, start = 0, end = bytes.length): ProtoReader =>
  new ProtoReader(Uint8Array.from(bytes), (what) => new Error(what), start, end);

/** Skips every field; returns the number, type and value of each. */
function fieldsOf(bytes: readonly number[] | Uint8Array): [number, number, number[]][] {
  const reader = readerOf(bytes);
  const fields: [number, number, number[]][] = [];
  while (reader.next()) {
    const { field, wireType } = reader;
    fields.push([field, wireType, [...reader.value()]]);
  }
  return fields;
}

const MAX = [...Array<number>(9).fill(0xff), 0x01];

describe('a message', () => {
  test('is read as it was written', () => {
    const field = fc.integer({ min: 1, max: 2 ** 29 - 1 });
    const numbers = fc.array(fc.tuple(field, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.string()));
    fc.assert(
      fc.property(numbers, (fields) => {
        const out = new ProtoWriter(1);
        for (const [number, value, text] of fields) out.varint(number, value).string(number, text);
        const reader = readerOf(out.finish());
        for (const [number, value, text] of fields) {
          expect([reader.next(), reader.field, reader.wireType, reader.uint64()]).toEqual([
            true,
            number,
            0,
            value,
          ]);
          expect([reader.next(), reader.field, reader.wireType]).toEqual([true, number, 2]);
          expect(reader.text()).toBe(Buffer.from(text).toString());
        }
        expect([reader.next(), reader.ended]).toEqual([false, true]);
      }),
      { numRuns: 100 },
    );
  });

  test('has numbers up to 64 bits, in up to ten bytes', () => {
    expect(readerOf(MAX).uint64()).toBe(2n ** 64n - 1n);
    expect(readerOf([0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).uint64()).toBe(0n);
    expect(readerOf([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]).number()).toBe(2 ** 53 - 1);
    for (const read of ['uint64', 'number'] as const) {
      expect(() => readerOf([...Array<number>(9).fill(0x80), 0x02])[read]()).toThrow('invalid varint');
      expect(() => readerOf([...Array<number>(10).fill(0x80), 0x00])[read]()).toThrow('invalid varint');
      expect(() => readerOf([0x80, 0x80])[read]()).toThrow('buffer underflow');
      expect(() => readerOf([...MAX, 0], 0, 3)[read]()).toThrow('buffer underflow');
    }
  });

  test('has fields of every type, groups included, and each is skipped whole', () => {
    const group = [0x1b, 0x08, 0x01, 0x23, 0x24, 0x12, 0x01, 0x1c, 0x1c];
    const bytes = [0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, ...group, 0x2d, 9, 9, 9, 9, 0x12, 0x01, 7];
    expect(fieldsOf(bytes)).toEqual([
      [1, 0, [0x96, 0x01]],
      [2, 1, [1, 2, 3, 4, 5, 6, 7, 8]],
      [3, 3, group.slice(1)],
      [5, 5, [9, 9, 9, 9]],
      [2, 2, [7]],
    ]);
  });

  test.each([
    ['field 0', [0x02, 0x00], 'invalid tag value: 0'],
    ['a tag of more than 32 bits', [0x80, 0x80, 0x80, 0x80, 0x10], 'invalid key value'],
    ['a type that does not exist', [0x0e], 'invalid wire type value: 6'],
    ['a value longer than the message', [0x0a, 0x03, 1, 2], 'buffer underflow'],
    ['a value of any length', [0x0a, ...MAX, 1], 'buffer underflow'],
    ['half a fixed number', [0x0d, 1, 2, 3], 'buffer underflow'],
    ['the end of a group that did not begin', [0x0c], 'unexpected end group tag'],
    ['a group that another ends', [0x0b, 0x14], 'unexpected end group tag'],
    ['a group without end', [0x0b, 0x08, 0x01], 'buffer underflow'],
    ['groups too deep', Array<number>(GROUPS_MAX + 1).fill(0x0b), 'recursion limit reached'],
  ])('is refused with %s', (_, bytes, what) => {
    expect(() => fieldsOf(bytes)).toThrow(what);
  });
});
