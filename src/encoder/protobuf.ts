import { TldrError } from '../core/errors.js';

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

/** One field of a message: varints as bigint, length-delimited values as views, fixed values as views. */
export interface ProtoField {
  readonly field: number;
  readonly varint: bigint;
  readonly bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/**
 * Yields the fields of a message in their order.
 * @throws INVALID_DATA when the bytes end early or use a wire type that does not exist
 */
export function* readFields(message: Uint8Array): Generator<ProtoField> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new TldrError('INVALID_DATA', 'protobuf message ends inside a number');
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) {
      throw new TldrError('INVALID_DATA', 'protobuf message ends inside a field');
    }
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const field = Math.floor(tag / 8);
    if (field === 0) throw new TldrError('INVALID_DATA', 'protobuf field number 0 does not exist');
    switch (tag % 8) {
      case 0:
        yield { field, varint: varint(), bytes: NO_BYTES };
        break;
      case 1:
        yield { field, varint: 0n, bytes: take(8) };
        break;
      case 2:
        yield { field, varint: 0n, bytes: take(Number(varint())) };
        break;
      case 5:
        yield { field, varint: 0n, bytes: take(4) };
        break;
      default:
        throw new TldrError('INVALID_DATA', `protobuf wire type ${tag % 8} does not exist`);
    }
  }
}

/**
 * The size in bytes of the first field with its head, or null if `start` does not begin with a field.
 * @param start at least the field's head
 */
export function fieldExtent(start: Uint8Array): number | null {
  const tag = varintAt(start, 0);
  if (tag === null || tag.value < 8) return null;
  const value = varintAt(start, tag.end);
  switch (tag.value % 8) {
    case 0:
      return value?.end ?? null;
    case 1:
      return tag.end + 8;
    case 2:
      return value === null ? null : value.end + value.value;
    case 5:
      return tag.end + 4;
    default:
      return null;
  }
}

function varintAt(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } | null {
  let value = 0;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) return null;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return { value, end: start + i + 1 };
  }
  return null;
}
