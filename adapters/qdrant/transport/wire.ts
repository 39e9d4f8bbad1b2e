import { TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { ProtoReader, ProtoWriter } from '../../../src/encoder/protobuf.js';
import type { Partition } from '../../../src/store/collection.js';
import { FLOAT_BYTES, floatRun } from './copy-tagged-floats.js';

/**
 * Reads and writes messages of Qdrant's points.proto by hand. Field numbers are noted at each use.
 */

/** Returns a reader of a gRPC answer, or of a part of one. */
export function answerReader(bytes: Uint8Array, start = 0, end = bytes.length): ProtoReader {
  return new ProtoReader(bytes, damaged, start, end);
}

function damaged(): TldrError {
  return new TldrError('UNAVAILABLE', 'a gRPC answer ends inside a field');
}

/**
 * Appends the floats of the reader's field to `into` from `offset` on and returns the new offset. The floats
 * may be packed, or each have a tag. Consecutive floats are copied at once, bit for bit.
 */
function appendFloats(reader: ProtoReader, into: Float32Array, offset: number): number {
  if (reader.wireType === 2) {
    const packed = reader.bytes();
    if (packed.length % 4 !== 0) throw damaged();
    if (offset + packed.length / 4 > into.length) throw tooLong();
    new Uint8Array(into.buffer, into.byteOffset + offset * 4, packed.length).set(packed);
    return offset + packed.length / 4;
  }
  // Back to the tag. Only a single-byte tag, that is a field up to 15, begins a run.
  const rest = reader.rest(1);
  if (rest.length < FLOAT_BYTES) throw damaged();
  if (offset >= into.length) throw tooLong();
  const count = floatRun(rest, into.subarray(offset, reader.field > 15 ? offset + 1 : into.length));
  reader.pass(FLOAT_BYTES * count - 1);
  return offset + count;
}

function tooLong(): TldrError {
  return new TldrError('INVALID_DATA', 'a vector is longer than its collection says');
}

/** Returns a PointId: num 1, uuid 2. */
export function encodePointId(id: PointId): ProtoWriter {
  return typeof id === 'bigint' ? new ProtoWriter(16).varint(1, id) : new ProtoWriter(48).string(2, id);
}

export function decodePointId(reader: ProtoReader): PointId {
  let id: PointId = 0n;
  while (reader.next()) {
    if (reader.field === 1) id = reader.uint64();
    else if (reader.field === 2) id = reader.text();
    else reader.skip();
  }
  return id;
}

/** Returns a ShardKeySelector: shard_keys 1 (ShardKey: keyword 1, number 2). */
export function encodeShardKey({ kind, value }: Partition): ProtoWriter {
  const key = new ProtoWriter();
  return new ProtoWriter().message(
    1,
    kind === 'keyword' ? key.string(1, value) : key.varint(2, BigInt(value)),
  );
}

/** Returns a selector for with_payload or with_vectors: enable 1. */
export function selector(enable: boolean): ProtoWriter {
  return new ProtoWriter(8).varint(1, Number(enable));
}

/** Returns the id 1 of a RetrievedPoint. @throws UNAVAILABLE when it has none */
export function retrievedId(point: Uint8Array): PointId {
  const reader = answerReader(point);
  while (reader.next()) {
    if (reader.field === 1) return decodePointId(reader.message());
    reader.skip();
  }
  throw new TldrError('UNAVAILABLE', 'a retrieved point has no id');
}

/**
 * Calls `visit` with the vectors of a RetrievedPoint (field 4) in order, as views. '' is the default vector.
 */
export function eachVector(point: Uint8Array, visit: (name: string, value: Uint8Array) => void): void {
  const reader = answerReader(point);
  while (reader.next()) {
    if (reader.field === 4) eachOutput(reader.message(), visit);
    else reader.skip();
  }
}

/**
 * Calls `visit` with the vectors of a VectorsOutput: vector 1, vectors 2 (NamedVectorsOutput: vectors 1, a
 * map).
 */
export function eachOutput(reader: ProtoReader, visit: (name: string, value: Uint8Array) => void): void {
  while (reader.next()) {
    if (reader.field === 1) visit('', reader.bytes());
    else if (reader.field === 2) {
      const map = reader.message();
      while (map.next()) {
        const { name, value } = readEntry(map.message());
        visit(name, value);
      }
    } else reader.skip();
  }
}

/** Returns a map entry: key 1, value 2. */
export function decodeEntry(bytes: Uint8Array): { name: string; value: Uint8Array } {
  return readEntry(answerReader(bytes));
}

function readEntry(reader: ProtoReader): { name: string; value: Uint8Array } {
  let name = '';
  let value: Uint8Array = new Uint8Array(0);
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) value = reader.bytes();
    else reader.skip();
  }
  return { name, value };
}

export function encodeEntry(name: string, value: Uint8Array): Uint8Array {
  return new ProtoWriter(value.length + name.length * 3 + 16).string(1, name).bytes(2, value).finish();
}

/** Returns the bytes of a length-delimited field up to number 15, including its head. */
export function fieldBytes(valueBytes: number): number {
  let headBytes = 2;
  for (let rest = valueBytes; rest > 127; rest = Math.floor(rest / 128)) headBytes++;
  return headBytes + valueBytes;
}

/**
 * Reads a dense vector into `into`. The floats are in field 1, packed or (servers up to 1.16) one by one, or
 * in field 1 of the newer form `dense` 101.
 * @throws INVALID_DATA when the number of floats is not the expected one
 */
export function decodeDense(bytes: Uint8Array, into: Float32Array): void {
  const reader = answerReader(bytes);
  let count = 0;
  while (reader.next()) {
    if (reader.field === 1) count = appendFloats(reader, into, count);
    else if (reader.field === 101) {
      const dense = reader.message();
      while (dense.next()) {
        if (dense.field === 1) count = appendFloats(dense, into, count);
        else dense.skip();
      }
    } else reader.skip();
  }
  if (count !== into.length) {
    throw new TldrError('INVALID_DATA', `a vector of ${count} values, expected ${into.length}`);
  }
}

/** Returns all floats of a vector, or of all rows of a multivector (`multi_dense` 104: vectors 1, data 1). */
export function decodeFloats(bytes: Uint8Array): Float32Array {
  const values: number[] = [];
  const collect = (message: Uint8Array): void => {
    const reader = answerReader(message);
    while (reader.next()) {
      if (reader.field > 100) collectNested(reader.bytes(), reader.field);
      else if (reader.field === 1) take(reader);
      else reader.skip();
    }
  };
  const collectNested = (message: Uint8Array, field: number): void => {
    if (field === 101 || field === 102) collect(message);
    if (field !== 104) return;
    const rows = answerReader(message);
    while (rows.next()) {
      if (rows.field === 1) collect(rows.bytes());
      else rows.skip();
    }
  };
  const take = (reader: ProtoReader): void => {
    const packed = reader.wireType === 2 ? reader.bytes() : reader.fixed32();
    const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
    for (let at = 0; at < packed.length; at += 4) values.push(view.getFloat32(at, true));
  };
  collect(bytes);
  return Float32Array.from(values);
}

/** Returns a vector's content in a form independent of how its floats were packed, for comparisons. */
export function canonicalVector(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  const collect = (message: Uint8Array): void => {
    const reader = answerReader(message);
    while (reader.next()) {
      if (reader.field > 100) collect(reader.bytes());
      else if (reader.wireType === 0) parts.push(Buffer.from(`#${reader.uint64()}`));
      else if (reader.wireType === 5) parts.push(reader.fixed32());
      else parts.push(reader.bytes());
    }
  };
  collect(bytes);
  return Buffer.concat(parts);
}
