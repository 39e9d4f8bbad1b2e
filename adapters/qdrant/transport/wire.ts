import { TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import type { Partition } from '../../../src/store/collection.js';
import { FLOAT_BYTES, floatRun } from './float-run.js';

/**
 * Reads and writes messages of Qdrant's points.proto by hand. Field numbers are noted at each use.
 */

/** Walks through a message without an object for each field, since pages hold millions of floats. */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  #at: number;
  readonly #end: number;
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** Returns another cursor at the beginning of the same message. */
  again(): Cursor {
    return new Cursor(this.#bytes, this.#start, this.#end);
  }

  /** The cursor's offset: behind a field once it is read or skipped. */
  get at(): number {
    return this.#at;
  }

  /** Whether nothing is left. */
  get ended(): boolean {
    return this.#at >= this.#end;
  }

  /** Moves to the next field. Returns false at the end. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.number();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    return true;
  }

  /** Reads a varint that a JS number holds exactly: lengths, tags, counts. */
  number(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || this.#at > this.#end) throw damaged();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  }

  /** Reads an unsigned varint of 64 bits. */
  uint64(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || this.#at > this.#end || shift > 63n) throw damaged();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  }

  /** Reads a length-delimited value as a view. */
  bytes(): Uint8Array {
    const length = this.number();
    return this.#take(length);
  }

  /** Reads a length-delimited message as a cursor, without a view of its own. */
  message(): Cursor {
    const length = this.number();
    this.#pass(length);
    return new Cursor(this.#bytes, this.#at - length, this.#at);
  }

  text(): string {
    const { buffer, byteOffset, length } = this.bytes();
    return Buffer.from(buffer, byteOffset, length).toString('utf8');
  }

  double(): number {
    const bytes = this.#take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  fixed32(): Uint8Array {
    return this.#take(4);
  }

  skip(): void {
    if (this.wireType === 0) this.uint64();
    else if (this.wireType === 1) this.#pass(8);
    else if (this.wireType === 2) this.#pass(this.number());
    else if (this.wireType === 5) this.#pass(4);
    else throw damaged();
  }

  /**
   * Appends the floats of this field to `into` from `offset` on and returns the new offset. The floats may be
   * packed, or each have a tag. Consecutive floats are copied at once, bit for bit.
   */
  floats(into: Float32Array, offset: number): number {
    if (this.wireType === 2) {
      const packed = this.bytes();
      if (packed.length % 4 !== 0) throw damaged();
      if (offset + packed.length / 4 > into.length) throw tooLong();
      new Uint8Array(into.buffer, into.byteOffset + offset * 4, packed.length).set(packed);
      return offset + packed.length / 4;
    }
    // Back to the tag. Only a single-byte tag, that is a field up to 15, begins a run.
    const rest = this.#bytes.subarray(this.#at - 1, this.#end);
    if (rest.length < FLOAT_BYTES) throw damaged();
    if (offset >= into.length) throw tooLong();
    const count = floatRun(rest, into.subarray(offset, this.field > 15 ? offset + 1 : into.length));
    this.#at += FLOAT_BYTES * count - 1;
    return offset + count;
  }

  #take(length: number): Uint8Array {
    this.#pass(length);
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #pass(length: number): void {
    if (this.#at + length > this.#end) throw damaged();
    this.#at += length;
  }
}

function damaged(): TldrError {
  return new TldrError('UNAVAILABLE', 'a gRPC answer ends inside a field');
}

function tooLong(): TldrError {
  return new TldrError('INVALID_DATA', 'a vector is longer than its collection says');
}

/** Returns a PointId: num 1, uuid 2. */
export function encodePointId(id: PointId): ProtoWriter {
  return typeof id === 'bigint' ? new ProtoWriter(16).varint(1, id) : new ProtoWriter(48).string(2, id);
}

export function decodePointId(cursor: Cursor): PointId {
  let id: PointId = 0n;
  while (cursor.next()) {
    if (cursor.field === 1) id = cursor.uint64();
    else if (cursor.field === 2) id = cursor.text();
    else cursor.skip();
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
  const cursor = new Cursor(point);
  while (cursor.next()) {
    if (cursor.field === 1) return decodePointId(cursor.message());
    cursor.skip();
  }
  throw new TldrError('UNAVAILABLE', 'a retrieved point has no id');
}

/**
 * Calls `visit` with the vectors of a RetrievedPoint (field 4) in order, as views. '' is the default vector.
 */
export function eachVector(point: Uint8Array, visit: (name: string, value: Uint8Array) => void): void {
  const cursor = new Cursor(point);
  while (cursor.next()) {
    if (cursor.field === 4) eachOutput(cursor.message(), visit);
    else cursor.skip();
  }
}

/**
 * Calls `visit` with the vectors of a VectorsOutput: vector 1, vectors 2 (NamedVectorsOutput: vectors 1, a
 * map).
 */
export function eachOutput(cursor: Cursor, visit: (name: string, value: Uint8Array) => void): void {
  while (cursor.next()) {
    if (cursor.field === 1) visit('', cursor.bytes());
    else if (cursor.field === 2) {
      const map = cursor.message();
      while (map.next()) {
        const { name, value } = readEntry(map.message());
        visit(name, value);
      }
    } else cursor.skip();
  }
}

/** Returns a map entry: key 1, value 2. */
export function decodeEntry(bytes: Uint8Array): { name: string; value: Uint8Array } {
  return readEntry(new Cursor(bytes));
}

function readEntry(cursor: Cursor): { name: string; value: Uint8Array } {
  let name = '';
  let value: Uint8Array = new Uint8Array(0);
  while (cursor.next()) {
    if (cursor.field === 1) name = cursor.text();
    else if (cursor.field === 2) value = cursor.bytes();
    else cursor.skip();
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
  const cursor = new Cursor(bytes);
  let count = 0;
  while (cursor.next()) {
    if (cursor.field === 1) count = cursor.floats(into, count);
    else if (cursor.field === 101) {
      const dense = cursor.message();
      while (dense.next()) {
        if (dense.field === 1) count = dense.floats(into, count);
        else dense.skip();
      }
    } else cursor.skip();
  }
  if (count !== into.length) {
    throw new TldrError('INVALID_DATA', `a vector of ${count} values, expected ${into.length}`);
  }
}

/** Returns all floats of a vector, or of all rows of a multivector (`multi_dense` 104: vectors 1, data 1). */
export function decodeFloats(bytes: Uint8Array): Float32Array {
  const values: number[] = [];
  const collect = (message: Uint8Array): void => {
    const cursor = new Cursor(message);
    while (cursor.next()) {
      if (cursor.field > 100) collectNested(cursor.bytes(), cursor.field);
      else if (cursor.field === 1) take(cursor);
      else cursor.skip();
    }
  };
  const collectNested = (message: Uint8Array, field: number): void => {
    if (field === 101 || field === 102) collect(message);
    if (field !== 104) return;
    const rows = new Cursor(message);
    while (rows.next()) {
      if (rows.field === 1) collect(rows.bytes());
      else rows.skip();
    }
  };
  const take = (cursor: Cursor): void => {
    const packed = cursor.wireType === 2 ? cursor.bytes() : cursor.fixed32();
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
    const cursor = new Cursor(message);
    while (cursor.next()) {
      if (cursor.field > 100) collect(cursor.bytes());
      else if (cursor.wireType === 0) parts.push(Buffer.from(`#${cursor.uint64()}`));
      else if (cursor.wireType === 5) parts.push(cursor.fixed32());
      else parts.push(cursor.bytes());
    }
  };
  collect(bytes);
  return Buffer.concat(parts);
}
