import { Refusal } from '../rules.js';

/** Deepest nesting of groups that is read. No client sends groups. */
const GROUPS_MAX = 100;

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

  /** @throws Malformed */
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

  /** @throws Malformed */
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

  /** @throws Malformed */
  varint(field: number): bigint | null {
    const span = this.#only(field, 0);
    return span === null ? null : readVarint(this.raw, span.at).value;
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
  const groups: number[] = [];
  let at = 0;
  for (let skipped = 0; at < bytes.length && skipped <= fieldsMax; skipped++) {
    let tag = bytes[at++]!;
    if (tag >= 128) ({ value: tag, end: at } = smallVarint(bytes, at - 1));
    const found = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (found === 0 || tag > 0xffffffff) throw new Malformed('invalid key value');
    if (wireType === 0) {
      // Most numbers are small. No object is created for them, since a message may hold millions.
      if ((bytes[at] ?? 128) < 128) at++;
      else at = smallVarint(bytes, at).end;
    } else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 3) groups.push(found);
    else if (wireType === 4) {
      if (groups.pop() !== found) throw new Malformed('unexpected end group tag');
    } else if (wireType === 2) {
      const length = smallVarint(bytes, at);
      at = length.end + length.value;
      if (at > bytes.length) throw new Malformed('buffer underflow');
      if (found === field && groups.length === 0) return decodeText(bytes.subarray(length.end, at));
    } else throw new Malformed(`invalid wire type value: ${wireType}`);
    if (groups.length > GROUPS_MAX) throw new Malformed('recursion limit reached');
  }
  return null;
}

/** Returns a varint as a number, which is inexact for large values. */
function smallVarint(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let [value, unit] = [0, 1];
  for (let end = start; end < start + 10; unit *= 128) {
    const byte = bytes[end++];
    if (byte === undefined) throw new Malformed('buffer underflow');
    value += (byte & 127) * unit;
    if (byte < 128) return { value, end };
  }
  throw new Malformed('invalid varint');
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
  let start = 0;
  while (start < bytes.length) {
    const span = readSpan(bytes, start, 0);
    if (span.wireType === 4) throw new Malformed('unexpected end group tag');
    spans.push(span);
    start = span.end;
  }
  return spans;
}

function readSpan(bytes: Uint8Array, start: number, groups: number): ProtoSpan {
  const tag = readVarint(bytes, start);
  if (tag.value > 0xffffffffn) throw new Malformed('invalid key value');
  const field = Number(tag.value >> 3n);
  const wireType = Number(tag.value & 7n);
  if (field === 0) throw new Malformed('invalid tag value: 0');
  let at = tag.end;
  let end = at;
  if (wireType === 0) end = readVarint(bytes, at).end;
  else if (wireType === 1) end = at + 8;
  else if (wireType === 5) end = at + 4;
  else if (wireType === 2) {
    const length = readVarint(bytes, at);
    if (length.value > bytes.length) throw new Malformed('buffer underflow');
    at = length.end;
    end = at + Number(length.value);
  } else if (wireType === 3) end = endOfGroup(bytes, { field, at, groups: groups + 1 });
  else if (wireType !== 4) throw new Malformed(`invalid wire type value: ${wireType}`);
  if (end > bytes.length) throw new Malformed('buffer underflow');
  return { field, wireType, start, at, end };
}

/** Returns the end of a group. Groups are an old form of nested messages, and are skipped too if unknown. */
function endOfGroup(
  bytes: Uint8Array,
  { field, at, groups }: { readonly field: number; readonly at: number; readonly groups: number },
): number {
  if (groups > GROUPS_MAX) throw new Malformed('recursion limit reached');
  let start = at;
  for (;;) {
    if (start >= bytes.length) throw new Malformed('buffer underflow');
    const span = readSpan(bytes, start, groups);
    start = span.end;
    if (span.wireType !== 4) continue;
    if (span.field !== field) throw new Malformed('unexpected end group tag');
    return start;
  }
}

function readVarint(bytes: Uint8Array, start: number): { readonly value: bigint; readonly end: number } {
  // Nearly every number is small, and bigints are slow.
  let small = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw new Malformed('buffer underflow');
    small |= (byte & 127) << (7 * i);
    if (byte < 128) return { value: BigInt(small), end: start + i + 1 };
  }
  let value = BigInt(small);
  for (let i = 4; i < 10; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw new Malformed('buffer underflow');
    value |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte >= 128) continue;
    if (i === 9 && byte > 1) break;
    return { value, end: start + i + 1 };
  }
  throw new Malformed('invalid varint');
}
