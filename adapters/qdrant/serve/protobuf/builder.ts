import { ProtoWriter } from '../../../../src/encoder/protobuf.js';
import { Malformed, type ProtoMessage, type ProtoSpan } from './message.js';

/**
 * Builds a message as a list of byte strings that are joined once, at the end. So large unchanged parts are
 * not copied at every level, and parts of known length may be filled in until then.
 */
export class ProtoBuilder {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends whole fields, or the content of a field, unchanged. */
  raw(bytes: Uint8Array | ProtoBuilder): this {
    if (bytes instanceof ProtoBuilder) for (const part of bytes.#parts) this.#parts.push(part);
    else this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  /** Appends a length-delimited field. */
  bytes(field: number, value: Uint8Array | ProtoBuilder): this {
    return this.raw(new ProtoWriter(16).size(field, value.length).finish()).raw(value);
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value));
  }

  varint(field: number, value: number | bigint): this {
    return this.raw(new ProtoWriter(20).varint(field, value).finish());
  }

  /** Appends a field of another message under a number of this one. */
  moved(message: ProtoMessage, span: ProtoSpan, field: number): this {
    const value = message.value(span);
    if (span.wireType === 2) return this.bytes(field, value);
    return this.raw(new ProtoWriter(16).tag(field, span.wireType).finish()).raw(value);
  }

  finish(): Uint8Array {
    const [first] = this.#parts;
    return this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts, this.#length);
  }
}

/** Returns the new value of a field, which may be the old one; null to drop the field. */
export type FieldEdit = (value: Uint8Array) => Uint8Array | ProtoBuilder | null;

/** Drops a field. */
export const drop: FieldEdit = () => null;

/**
 * Returns a message with some of its fields changed. Everything else keeps its bytes and its order.
 * @throws Malformed when a field to change is not length-delimited
 */
export function edited(message: ProtoMessage, edits: ReadonlyMap<number, FieldEdit>): ProtoBuilder {
  const out = new ProtoBuilder();
  let copied = 0;
  for (const span of message.spans) {
    const edit = edits.get(span.field);
    if (edit === undefined) continue;
    if (span.wireType !== 2 && edit !== drop) throw new Malformed(`field ${span.field}: invalid wire type`);
    const value = message.value(span);
    const changed = edit(value);
    if (changed === value) continue;
    if (span.start > copied) out.raw(message.raw.subarray(copied, span.start));
    copied = span.end;
    if (changed !== null) out.bytes(span.field, changed);
  }
  return copied === message.raw.length ? out : out.raw(message.raw.subarray(copied));
}
