const TEXT = new TextEncoder();

/**
 * Writes Protocol Buffers messages field by field (protobuf.dev, "Encoding"). The caller decides the order of
 * the fields. Only the bytes of nested messages are copied a second time.
 */
export class ProtoWriter {
  #bytes: Uint8Array;
  #length = 0;

  /** @param memory the memory to start with, or its size in bytes; it grows as needed */
  constructor(memory: Uint8Array | number = 256) {
    this.#bytes = typeof memory === 'number' ? new Uint8Array(memory) : memory;
  }

  /** A varint field; `value` is a non-negative safe integer or a bigint. */
  varint(field: number, value: number | bigint): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#reserve(4);
    new DataView(this.#bytes.buffer, this.#bytes.byteOffset).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  /** Eight bytes as they are. */
  fixed64(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 1);
    this.#reserve(8);
    this.#bytes.set(value, this.#length);
    this.#length += 8;
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** The head of a length-delimited field whose value is written elsewhere. */
  size(field: number, sizeBytes: number): this {
    this.tag(field, 2);
    this.#varint(sizeBytes);
    return this;
  }

  /** The head of a field whose value is written elsewhere. */
  tag(field: number, wireType: number): this {
    this.#varint(field * 8 + wireType);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, TEXT.encode(value));
  }

  message(field: number, value: ProtoWriter): this {
    return this.bytes(field, value.finish());
  }

  /** Whole fields written elsewhere. */
  raw(fields: Uint8Array): this {
    this.#reserve(fields.length);
    this.#bytes.set(fields, this.#length);
    this.#length += fields.length;
    return this;
  }

  /** Starts a new message in the same memory. This invalidates the views that `finish` returned before. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** The bytes written so far, as a view. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === 'number' || value <= Number.MAX_SAFE_INTEGER) {
      let small = Number(value);
      while (small > 127) {
        this.#bytes[this.#length++] = (small % 128) | 128;
        small = Math.floor(small / 128);
      }
      this.#bytes[this.#length++] = small;
      return;
    }
    let rest = value;
    while (rest > 127n) {
      this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** The tenth byte of a varint, its last, counts this much. */
const LAST_BYTE = 2 ** 63;
const TAG_MAX = 2 ** 32 - 1;
/** Deepest nesting of groups that is read: nobody writes this old form of nested messages. */
export const GROUPS_MAX = 100;

/** Creates the error for bytes that are no message; `what` is in the words of prost, the server's library. */
export type DamagedMessage = (what: string) => Error;

/**
 * Reads a message field by field, without an object for each field, since messages hold millions of them. It
 * never reads behind the end of the message, and it throws what `damaged` creates.
 */
export class ProtoReader {
  readonly #bytes: Uint8Array;
  readonly #damaged: DamagedMessage;
  readonly #start: number;
  #at: number;
  readonly #end: number;
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array, damaged: DamagedMessage, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#damaged = damaged;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** Returns another reader at the beginning of the same message. */
  again(): ProtoReader {
    return new ProtoReader(this.#bytes, this.#damaged, this.#start, this.#end);
  }

  /** The offset: behind a field once it is read or skipped. */
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
    if (tag > TAG_MAX) throw this.#damaged('invalid key value');
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw this.#damaged('invalid tag value: 0');
    return true;
  }

  /** Reads a varint as a number, which is exact up to 2^53: lengths, tags, counts. */
  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * factor;
      if (factor === LAST_BYTE && byte > 1) throw this.#damaged('invalid varint');
      if (byte < 128) return value;
    }
  }

  /** Reads an unsigned varint of 64 bits. */
  uint64(): bigint {
    // Nearly every number is small, and bigints are slow.
    let small = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      small |= (byte & 127) << shift;
      if (byte < 128) return BigInt(small);
    }
    let value = BigInt(small);
    for (let shift = 28n; ; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (shift === 63n && byte > 1) throw this.#damaged('invalid varint');
      if (byte < 128) return value;
    }
  }

  /** Reads a length-delimited value as a view. */
  bytes(): Uint8Array {
    return this.#last(this.pass(this.number()));
  }

  /** Reads a length-delimited message as a reader, without a view of its own. */
  message(): ProtoReader {
    const length = this.pass(this.number());
    return new ProtoReader(this.#bytes, this.#damaged, this.#at - length, this.#at);
  }

  text(): string {
    const { buffer, byteOffset, length } = this.bytes();
    return Buffer.from(buffer, byteOffset, length).toString('utf8');
  }

  double(): number {
    const bytes = this.#last(this.pass(8));
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  fixed32(): Uint8Array {
    return this.#last(this.pass(4));
  }

  /** Passes the field's value and returns its size in bytes, without the length before it. */
  skip(): number {
    const { wireType } = this;
    if (wireType === 2) return this.pass(this.number());
    if (wireType === 1) return this.pass(8);
    if (wireType === 5) return this.pass(4);
    const start = this.#at;
    if (wireType === 0) this.number();
    else if (wireType === 3) this.#skipGroup(1);
    else if (wireType === 4) throw this.#damaged('unexpected end group tag');
    else throw this.#damaged(`invalid wire type value: ${wireType}`);
    return this.#at - start;
  }

  /** Passes the field's value and returns it as a view. */
  value(): Uint8Array {
    return this.#last(this.skip());
  }

  /** The rest of the message as a view, from `back` bytes before the offset on. */
  rest(back = 0): Uint8Array {
    return this.#bytes.subarray(this.#at - back, this.#end);
  }

  /** Passes so many bytes and returns their number. */
  pass(length: number): number {
    if (this.#at + length > this.#end) throw this.#damaged('buffer underflow');
    this.#at += length;
    return length;
  }

  #last(length: number): Uint8Array {
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined || this.#at > this.#end) throw this.#damaged('buffer underflow');
    return byte;
  }

  /** Passes the fields of a group and the tag at its end. */
  #skipGroup(depth: number): void {
    if (depth > GROUPS_MAX) throw this.#damaged('recursion limit reached');
    const { field } = this;
    while (this.next()) {
      if (this.wireType === 3) this.#skipGroup(depth + 1);
      else if (this.wireType !== 4) this.skip();
      else if (this.field === field) return;
      else throw this.#damaged('unexpected end group tag');
    }
    throw this.#damaged('buffer underflow');
  }
}
