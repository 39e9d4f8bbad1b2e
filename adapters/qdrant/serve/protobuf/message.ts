import { GROUPS_MAX, ProtoReader } from '../../../../src/encoder/protobuf.js';
import { Refusal } from '../rules.js';

/** A message that the server could not decode either. It is refused if it concerns a served collection. */
export class Malformed extends Refusal {
  constructor(what: string) {
    super(400, `failed to decode Protobuf message: ${what}`);
  }

  /** INTERNAL, as in the server's library. */
  override get grpcCode(): number {
    return 13;
  }
}

const malformed = (what: string): Malformed => new Malformed(what);

/** A message that the server would decode by merging or choosing among repeated fields. */
export class Ambiguous extends Malformed {
  override get grpcCode(): number {
    return 3;
  }
}

/** The place of a field: its tag from `start`, its value from `at` (behind a length) to `end` (excluded). */
export interface ProtoSpan {
  readonly field: number;
  readonly wireType: number;
  readonly start: number;
  readonly at: number;
  readonly end: number;
}

/**
 * A message as the list of its undecoded fields. `bytes`, `text`, `varint` and `variant` read fields that may
 * occur only once, and refuse repetitions: the server would merge them, and the result could differ from the
 * value read here.
 */
export class ProtoMessage {
  readonly raw: Uint8Array;
  readonly spans: readonly ProtoSpan[];

  /** Returns the message; null for bytes that are no message. */
  static from(raw: Uint8Array): ProtoMessage | null {
    try {
      return new ProtoMessage(raw);
    } catch (error) {
      if (error instanceof Malformed) return null;
      throw error;
    }
  }

  /** @throws Malformed when the bytes are no message */
  constructor(raw: Uint8Array) {
    this.raw = raw;
    this.spans = scan(raw);
  }

  has(field: number): boolean {
    return this.spans.some((span) => span.field === field);
  }

  /** @throws Malformed for a repetition or another wire type */
  bytes(field: number): Uint8Array | null {
    const span = this.#only(field, 2);
    return span === null ? null : this.value(span);
  }

  /** @throws Malformed when the field is repeated, of another wire type, or not UTF-8 */
  text(field: number): string | null {
    const bytes = this.bytes(field);
    return bytes === null ? null : decodeText(bytes);
  }

  /** Returns an embedded message; an absent one is empty. @throws Malformed */
  bytesOrEmpty(field: number): Uint8Array {
    return this.bytes(field) ?? new Uint8Array(0);
  }

  /** Returns a text; protobuf leaves an empty one out. @throws Malformed */
  textOrEmpty(field: number): string {
    return this.text(field) ?? '';
  }

  /** Returns a number; protobuf leaves zero out. @throws Malformed */
  varintOrZero(field: number): bigint {
    return this.varint(field) ?? 0n;
  }

  /** @throws Malformed when the field is repeated or of another wire type */
  varint(field: number): bigint | null {
    const span = this.#only(field, 0);
    return span === null ? null : new ProtoReader(this.value(span), malformed).uint64();
  }

  /** Returns every value of a repeated length-delimited field. @throws Malformed */
  all(field: number): Uint8Array[] {
    return this.spans
      .filter((span) => span.field === field)
      .map((span) => {
        if (span.wireType !== 2) throw new Malformed(`field ${field}: invalid wire type`);
        return this.value(span);
      });
  }

  /**
   * Returns the one field that is set among fields that exclude each other.
   * @throws Malformed for two of them
   */
  variant(fields: readonly number[]): ProtoSpan | null {
    let found: ProtoSpan | null = null;
    for (const span of this.spans) {
      if (!fields.includes(span.field)) continue;
      if (found !== null) throw new Ambiguous(`fields ${found.field} and ${span.field} exclude each other`);
      found = span;
    }
    return found;
  }

  /** Returns a field's bytes, without tag and length. */
  value(span: ProtoSpan): Uint8Array {
    return this.raw.subarray(span.at, span.end);
  }

  #only(field: number, wireType: number): ProtoSpan | null {
    let found: ProtoSpan | null = null;
    for (const span of this.spans) {
      if (span.field !== field) continue;
      if (found !== null) throw new Ambiguous(`field ${field} stands twice`);
      if (span.wireType !== wireType) throw new Malformed(`field ${field}: invalid wire type`);
      found = span;
    }
    return found;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws Malformed when the bytes are not UTF-8 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Malformed('invalid string value: data is not UTF-8 encoded');
  }
}

/**
 * Returns the first value of a text field without reading anything behind it. The fields before it are
 * skipped at little cost, however many they are.
 * @param fieldsMax most fields that are skipped
 * @returns null if there is no such field among `fieldsMax` fields
 * @throws Malformed for fields that cannot be skipped, and for a value that is no text
 */
export function firstText(
  bytes: Uint8Array,
  field: number,
  fieldsMax = Number.POSITIVE_INFINITY,
): string | null {
  const reader = new ProtoReader(bytes, malformed);
  const groups: number[] = [];
  for (let skipped = 0; skipped <= fieldsMax && reader.next(); skipped++) {
    // The fields of a group count too, so that a group cannot hide many.
    if (reader.wireType === 3) groups.push(reader.field);
    else if (reader.wireType === 4) {
      if (groups.pop() !== reader.field) throw malformed('unexpected end group tag');
    } else if (reader.field === field && reader.wireType === 2 && groups.length === 0)
      return decodeText(reader.bytes());
    else reader.skip();
    if (groups.length > GROUPS_MAX) throw malformed('recursion limit reached');
  }
  return null;
}

/**
 * Returns the values of a repeated float field, packed, one by one, or both.
 * @throws Malformed
 */
export function readFloats(message: ProtoMessage, field: number): Float32Array {
  const parts = message.spans.filter((span) => span.field === field);
  let sizeBytes = 0;
  for (const span of parts) {
    const length = span.end - span.at;
    if ((span.wireType !== 2 && span.wireType !== 5) || length % 4 !== 0)
      throw new Malformed(`field ${field}: invalid floats`);
    sizeBytes += length;
  }
  const values = new Float32Array(sizeBytes / 4);
  const bytes = new Uint8Array(values.buffer);
  let at = 0;
  for (const span of parts) {
    bytes.set(message.value(span), at);
    at += span.end - span.at;
  }
  return values;
}

function scan(bytes: Uint8Array): ProtoSpan[] {
  const spans: ProtoSpan[] = [];
  const reader = new ProtoReader(bytes, malformed);
  for (let start = 0; reader.next(); start = reader.at) {
    const { field, wireType } = reader;
    const sizeBytes = reader.skip();
    spans.push({ field, wireType, start, at: reader.at - sizeBytes, end: reader.at });
  }
  return spans;
}
