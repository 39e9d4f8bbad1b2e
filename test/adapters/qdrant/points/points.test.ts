import { describe, expect, test } from '@jest/globals';
import { BatchBuilder, toBatch } from '../../../../adapters/qdrant/points/decode-points.js';
import { PointStructs } from '../../../../adapters/qdrant/points/encode-points.js';
import { payloadStart } from '../../../../adapters/qdrant/points/payload-and-other-vectors.js';
import { ReusedMessageMemory } from '../../../../adapters/qdrant/transport/reused-message-memory.js';
import { answerReader, decodePointId, encodePointId } from '../../../../adapters/qdrant/transport/wire.js';
import { matrix } from '../../../../src/core/matrix.js';
import type { PointId } from '../../../../src/core/point-id.js';
import { ProtoWriter, type ProtoReader } from '../../../../src/encoder/protobuf.js';
import { ReusedRowMemory } from '../../../../src/core/reused-row-memory.js';

const IDS: readonly PointId[] = [
  0n,
  127n,
  2n ** 53n + 1n,
  2n ** 64n - 1n,
  '00000000-0000-4000-8000-000000000001',
];
const DIM = 3;

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const message = (field: number, inner: ProtoWriter): ProtoWriter => new ProtoWriter().message(field, inner);
const entry = (name: string, value: ProtoWriter): ProtoWriter =>
  new ProtoWriter().string(1, name).message(2, value);
const dense = (...values: number[]): ProtoWriter => new ProtoWriter().bytes(1, floats(...values));
const payload = (i: number): ProtoWriter[] =>
  Array.from({ length: i }, (_, k) => entry(`field ${k}`, new ProtoWriter().string(4, 'x'.repeat(70 * k))));

/** RetrievedPoint: id 1, payload 2, vectors 4; point i has i payload fields and a field that nobody knows. */
function retrieved(id: PointId, i: number, vectors: ProtoWriter | null): { id: PointId; bytes: Uint8Array } {
  const out = new ProtoWriter().message(1, encodePointId(id));
  for (const field of payload(i)) out.message(2, field);
  if (vectors !== null) out.message(4, vectors);
  return { id, bytes: out.varint(15, 7).finish() };
}

/** Of every point the vectors `a` and `b`, but `a` of no point with an odd number. */
const named = (i: number): ProtoWriter => {
  const map = new ProtoWriter();
  if (i % 2 === 0) map.message(1, entry('a', dense(i, i + 0.5, -i)));
  return message(2, map.message(1, entry('b', dense(1, 2))));
};

const OPTIONS = { vectorName: 'a', dim: DIM };

describe('points that were read', () => {
  test('are written with every byte that they had', () => {
    const points = IDS.map((id, i) => retrieved(id, i, named(i)));
    const batch = toBatch(points, OPTIONS, 0);
    expect([...batch.hasVector]).toEqual([1, 0, 1, 0, 1]);
    const column = { name: 'a', matrix: batch.vectors, has: batch.hasVector };
    const structs = new PointStructs({ ids: batch.ids, vectors: [column], extra: batch.extra });
    let allBytes = 0;
    IDS.forEach((id, i) => {
      // PointStruct: id 1, payload 3, vectors 4 (vectors 2: entries 1).
      const expected = new ProtoWriter().message(1, encodePointId(id));
      for (const field of payload(i)) expected.message(3, field);
      const entries = new ProtoWriter();
      if (i % 2 === 0) entries.message(1, entry('a', dense(i, i + 0.5, -i)));
      expected.message(4, message(2, entries.message(1, entry('b', dense(1, 2)))));
      const { sizeBytes, write } = structs.point(i);
      expect(sizeBytes).toBe(expected.length);
      const out = new ProtoWriter();
      write(out, 3);
      expect(out.finish()).toEqual(message(3, expected).finish());
      allBytes += out.length;
    });
    expect(structs.sizeBytes).toBeGreaterThanOrEqual(allBytes);
  });

  test('need no vectors and no payload', () => {
    const batch = toBatch([retrieved(5n, 0, null)], OPTIONS, 0);
    const column = { name: '', matrix: batch.vectors, has: batch.hasVector };
    const out = new ProtoWriter();
    new PointStructs({ ids: [5n], vectors: [column], extra: batch.extra }).point(0).write(out, 3);
    const nothing = message(2, new ProtoWriter());
    const expected = new ProtoWriter().message(1, encodePointId(5n)).message(4, nothing);
    expect(out.finish()).toEqual(message(3, expected).finish());
  });

  test('do not depend on the memory of the answer, nor on what was in the memory they are put into', () => {
    const points = IDS.map((id, i) => retrieved(id, i, named(i)));
    const fresh = toBatch(points, OPTIONS, 0);
    const rowMemory = new ReusedRowMemory();
    const before = rowMemory.take(IDS.length + 1, DIM);
    before.data.fill(Number.NaN);
    rowMemory.give(before);
    const builder = new BatchBuilder('a', { vectors: rowMemory.take(IDS.length, DIM), sizeBytes: 0 });
    for (const { bytes } of points) builder.add(answerReader(bytes));
    const again = builder.finish();
    expect(again.vectors.data.buffer).toBe(before.data.buffer);
    for (const { bytes } of points) bytes.fill(0xff);
    expect(again).toEqual(fresh);
  });

  test('keep vectors apart from payload', () => {
    const [first] = toBatch([retrieved(5n, 2, named(1))], OPTIONS, 0).extra;
    const vectors = message(1, entry('b', dense(1, 2)));
    expect(payloadStart(first!)).toBe(vectors.length);
    expect(payloadStart(first!.subarray(vectors.length))).toBe(0);
    expect(payloadStart(new Uint8Array(0))).toBe(0);
  });
});

describe('an answer that is damaged', () => {
  const builder = (rows: number): BatchBuilder =>
    new BatchBuilder('a', { vectors: new ReusedRowMemory().take(rows, DIM), sizeBytes: 0 });

  test('is refused where a point goes on behind its end', () => {
    const { bytes } = retrieved(2n ** 64n - 1n, 1, named(0));
    for (const length of [1, 5, bytes.length - 1]) {
      // What follows in the same memory must not be taken for it.
      const point = (): ProtoReader => answerReader(bytes, 0, length);
      expect(() => builder(1).add(point())).toThrow('a gRPC answer ends inside a field');
    }
  });

  test('is refused where it holds more points than were asked for, or one without id', () => {
    const { bytes } = retrieved(1n, 1, named(0));
    const full = builder(1);
    full.add(answerReader(bytes));
    expect(() => full.add(answerReader(bytes))).toThrow('more than the 1 points that were asked for');
    expect(() => builder(1).add(answerReader(message(4, named(0)).finish()))).toThrow('has no id');
  });

  test('is refused where a number goes on behind the end of its message', () => {
    const id = encodePointId(2n ** 64n - 1n).finish();
    expect(() => decodePointId(answerReader(id, 0, id.length - 1))).toThrow(
      'a gRPC answer ends inside a field',
    );
    expect(decodePointId(answerReader(id, 0, id.length))).toBe(2n ** 64n - 1n);
  });
});

describe('memory that is used again', () => {
  test('is the smallest piece that is large enough', () => {
    const memory = new ReusedMessageMemory();
    const [large, small] = [memory.take(3_000_000), memory.take(1_000_000)];
    for (const piece of [large, small]) memory.give(piece.subarray(0, 10));
    expect(memory.take(900_000).buffer).toBe(small.buffer);
    expect(memory.take(900_000).buffer).toBe(large.buffer);
    expect(memory.take(900_000).length).toBeGreaterThanOrEqual(900_000);
  });

  test('is never handed out twice, and not kept without end', () => {
    const memory = new ReusedMessageMemory();
    const pieces = Array.from({ length: 5 }, () => memory.take(20 * 1024 ** 2));
    for (const piece of pieces) memory.give(piece);
    const kept = new Set(pieces.map(({ buffer }) => buffer));
    const again = Array.from({ length: 5 }, () => memory.take(20 * 1024 ** 2).buffer);
    expect(new Set(again).size).toBe(5);
    expect(again.filter((buffer) => kept.has(buffer))).toHaveLength(3);
  });

  test('of rows takes back only what came from it', () => {
    const rowMemory = new ReusedRowMemory();
    const rows = rowMemory.take(4, DIM);
    const own = matrix(9, DIM);
    rowMemory.give(own);
    rowMemory.give({ ...rows, rows: 2, data: rows.data.subarray(0, 2 * DIM) });
    rowMemory.give(rows);
    const again = [rowMemory.take(4, DIM), rowMemory.take(4, DIM)];
    expect(again.map(({ data }) => data.buffer === rows.data.buffer)).toEqual([true, false]);
    expect(again.map(({ data }) => data.length)).toEqual([4 * DIM, 4 * DIM]);
    expect(again.some(({ data }) => data.buffer === own.data.buffer)).toBe(false);
  });
});
