import { isLosslessNumber } from 'lossless-json';
import { TldrError } from '../../../src/core/errors.js';
import type { PointCodec } from '../../../src/store/copy-target.js';
import { ProtoWriter } from '../../../src/encoder/protobuf.js';
import { isObject, parseJson, stringifyJson, type Json } from '../transport/json.js';
import { doubleReadAs, isStableDouble } from '../transport/server-rounding.js';
import {
  canonicalVector,
  answerReader,
  decodeDense,
  decodeEntry,
  decodeFloats,
  encodeEntry,
} from '../transport/wire.js';

/**
 * The form of a point's extra bytes: everything but the id and the reduced vector, as one message of the
 * adapter's own. Field 1 holds named vector entries, then field 3 holds payload map entries, as in
 * NamedVectors and PointStruct. Entries are the server's bytes, which a copy never decodes.
 */
const EXTRA_FORMAT = 'qdrant-points-1';
export const VECTOR_ENTRY = 1;
export const PAYLOAD_ENTRY = 3;
/** Field with the payload's JSON text in place of its entries, if gRPC cannot carry the payload. */
const EXACT_PAYLOAD = 15;
const INT64_MAX = 2n ** 63n - 1n;
/** Deepest nesting over gRPC: the server accepts 100 nested messages, and each object or list takes three. */
const DEPTH_MAX = 28;

function packExtra(payload: readonly Uint8Array[], vectors: readonly Uint8Array[]): Uint8Array {
  const sizeBytes = [...payload, ...vectors].reduce((sum, entry) => sum + entry.length + 6, 16);
  const out = new ProtoWriter(sizeBytes);
  for (const entry of vectors) out.bytes(VECTOR_ENTRY, entry);
  for (const entry of payload) out.bytes(PAYLOAD_ENTRY, entry);
  return out.finish();
}

/** Returns the offset at which the vectors end and the payload begins. */
export function payloadStart(extra: Uint8Array): number {
  const reader = answerReader(extra);
  let start = 0;
  while (reader.next() && reader.field === VECTOR_ENTRY) {
    reader.skip();
    start = reader.at;
  }
  return start;
}

function unpackExtra(extra: Uint8Array): { payload: Uint8Array[]; vectors: Uint8Array[] } {
  const payload: Uint8Array[] = [];
  const vectors: Uint8Array[] = [];
  const reader = answerReader(extra);
  while (reader.next()) {
    if (reader.field === VECTOR_ENTRY) vectors.push(reader.bytes());
    else if (reader.field === PAYLOAD_ENTRY) payload.push(reader.bytes());
    else reader.skip();
  }
  return { payload, vectors };
}

/** Returns the JSON text of a payload that gRPC cannot carry; null for every other payload. */
export function exactPayload(extra: Uint8Array): string | null {
  const reader = answerReader(extra);
  while (reader.next()) {
    if (reader.field === EXACT_PAYLOAD) return reader.text();
    if (reader.field === PAYLOAD_ENTRY) return null;
    reader.skip();
  }
  return null;
}

/** Returns a point's extra bytes with `json` in place of the payload entries. */
export function withExactPayload(extra: Uint8Array, json: string): Uint8Array {
  const vectors = extra.subarray(0, payloadStart(extra));
  return new ProtoWriter(vectors.length + json.length + 16).raw(vectors).string(EXACT_PAYLOAD, json).finish();
}

/**
 * Returns whether payload entries may read differently after they were written over gRPC. gRPC gives an
 * integer from 2^63 to 2^64-1 as a double, a payload that is nested too deep cannot be written, and the
 * server changes some doubles.
 */
export function hasInexactPayload(extra: Uint8Array): boolean {
  return unpackExtra(extra).payload.some((entry) => isInexact(decodeEntry(entry).value, 1));
}

function isInexact(value: Uint8Array, depth: number): boolean {
  if (depth > DEPTH_MAX) return true;
  const reader = answerReader(value);
  while (reader.next()) {
    if (reader.field === 2) {
      const double = reader.double();
      if ((double >= 2 ** 63 && double <= 2 ** 64) || !isStableDouble(double)) return true;
    } else if (reader.field === 6) {
      if (repeated(reader.bytes()).some((entry) => isInexact(decodeEntry(entry).value, depth + 1)))
        return true;
    } else if (reader.field === 7) {
      if (repeated(reader.bytes()).some((item) => isInexact(item, depth + 1))) return true;
    } else reader.skip();
  }
  return false;
}

function sortedJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (!isObject(value)) return stringifyJson(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${sortedJson(value[key] ?? null)}`).join(',')}}`;
}

/** @throws INVALID_ARGUMENT when the payload is no JSON object */
function extraFromJson(payloadJson: string): Uint8Array {
  const payload = parseJson(payloadJson);
  if (!isObject(payload)) throw new TldrError('INVALID_ARGUMENT', 'the payload must be a JSON object');
  const entries = Object.entries(payload).map(([key, value]) =>
    encodeEntry(key, encodeValue(value, (double) => double).finish()),
  );
  const extra = packExtra(entries, []);
  return hasInexactPayload(extra) ? withExactPayload(extra, payloadJson) : extra;
}

/**
 * Returns the extra bytes of a point whose payload is kept as JSON text, with payload entries in its place.
 * Clients read the entries as that text once the server has stored them. Returns null if gRPC cannot carry
 * them.
 */
export function withPayloadEntries(extra: Uint8Array, json: string): Uint8Array | null {
  const payload = parseJson(json);
  if (!isObject(payload) || !Object.values(payload).every((value) => isCarried(value, 1))) return null;
  const entries = Object.entries(payload).map(([key, value]) =>
    encodeEntry(key, encodeValue(value, doubleReadAs).finish()),
  );
  return Buffer.concat([extra.subarray(0, payloadStart(extra)), packExtra(entries, [])]);
}

/**
 * Returns a payload that has to be written in two requests: `json` over REST with the point, then payload entries over
 * gRPC. For the second request, the server reads and stores the first part again, which must not change it. Returns null
 * if that would change it. A key whose value is null goes over REST, since the second request would remove such a key.
 */
export function partedPayload(payload: Json): { readonly json: Json; readonly entries: Uint8Array[] } | null {
  if (!isObject(payload)) return null;
  const isOverRest = (value: Json): boolean => value === null || !isCarried(value, 1);
  const pairs = Object.entries(payload);
  const overRest = pairs.filter(([, value]) => isOverRest(value));
  if (!overRest.every(([, value]) => isStable(value))) return null;
  const entries = pairs
    .filter(([, value]) => !isOverRest(value))
    .map(([key, value]) => encodeEntry(key, encodeValue(value, doubleReadAs).finish()));
  return { json: Object.fromEntries(overRest), entries };
}

/** Returns whether the server gives a value back as written, however often it reads and stores it again. */
function isStable(value: Json): boolean {
  if (isLosslessNumber(value)) return /^-?\d+$/.test(value.value) || isStableDouble(Number(value.value));
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(isStable);
}

/** Returns whether a value at this depth reads the same after it was sent over gRPC. */
function isCarried(value: Json, depth: number): boolean {
  if (depth > DEPTH_MAX) return false;
  if (isLosslessNumber(value)) {
    const { value: text } = value;
    return !/^-?\d+$/.test(text) || isInt64(text);
  }
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every((item) => isCarried(item, depth + 1));
}

function isInt64(text: string): boolean {
  const integer = BigInt(text);
  return integer <= INT64_MAX && integer >= -INT64_MAX - 1n;
}

/** Returns the payload as JSON text, keys in the server's order or sorted. Doubles keep a point: `1.0`. */
export function payloadJson(extra: Uint8Array, sorted = false): string {
  const exact = exactPayload(extra);
  if (exact !== null) return sorted ? sortedJson(parseJson(exact)) : exact;
  return mapJson(unpackExtra(extra).payload, sorted);
}

/**
 * Returns extra bytes in a fixed order, since servers send map entries in random order: vectors by name,
 * payload keys at every depth.
 */
function canonicalExtra(extra: Uint8Array, withoutVectors: readonly string[] = []): Uint8Array {
  const { vectors } = unpackExtra(extra);
  const named = vectors
    .map(decodeEntry)
    .filter(({ name }) => !withoutVectors.includes(name))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const parts: Uint8Array[] = [Buffer.from(payloadJson(extra, true))];
  for (const { name, value } of named) {
    const content = canonicalVector(value);
    parts.push(Buffer.from(`\n${name}\n${content.length}\n`), content);
  }
  return Buffer.concat(parts);
}

/** Returns the extra bytes without one vector. Everything else stays as the server sent it. */
function withoutVector(extra: Uint8Array, name: string): Uint8Array {
  const start = payloadStart(extra);
  const { vectors } = unpackExtra(extra.subarray(0, start));
  const kept = vectors.filter((entry) => decodeEntry(entry).name !== name);
  if (kept.length === vectors.length) return extra;
  return Buffer.concat([packExtra([], kept), extra.subarray(start)]);
}

/** Returns the vectors in a point's extra bytes, as the server sent them. */
export function extraVectors(extra: Uint8Array): { name: string; value: Uint8Array }[] {
  return unpackExtra(extra).vectors.map(decodeEntry);
}

/** Returns a dense vector from a point's extra bytes, or null. */
function extraVector(extra: Uint8Array, name: string, dim: number): Float32Array | null {
  const entry = unpackExtra(extra)
    .vectors.map(decodeEntry)
    .find((one) => one.name === name);
  if (entry === undefined) return null;
  const values = new Float32Array(dim);
  decodeDense(entry.value, values);
  return values;
}

/**
 * Value: null 1, double 2, integer 3, string 4, bool 5, struct 6 (fields 1), list 7 (values 1).
 * @param sent returns the double to write for a double
 */
function encodeValue(value: Json, sent: (double: number) => number): ProtoWriter {
  const out = new ProtoWriter();
  if (value === null) return out.varint(1, 0);
  if (typeof value === 'string') return out.string(4, value);
  if (typeof value === 'boolean') return out.varint(5, Number(value));
  if (isLosslessNumber(value)) {
    const { value: text } = value;
    if (/^-?\d+$/.test(text) && isInt64(text) && text !== '-0')
      return out.varint(3, BigInt.asUintN(64, BigInt(text)));
    const double = new Uint8Array(8);
    new DataView(double.buffer).setFloat64(0, sent(Number(text)), true);
    return out.fixed64(2, double);
  }
  const inner = new ProtoWriter();
  if (Array.isArray(value)) {
    for (const item of value) inner.message(1, encodeValue(item, sent));
    return out.message(7, inner);
  }
  for (const [key, item] of Object.entries(value))
    inner.bytes(1, encodeEntry(key, encodeValue(item, sent).finish()));
  return out.message(6, inner);
}

function valueJson(bytes: Uint8Array, sorted: boolean): string {
  const reader = answerReader(bytes);
  let json = 'null';
  while (reader.next()) {
    switch (reader.field) {
      case 2:
        json = doubleJson(reader.double());
        break;
      case 3:
        json = BigInt.asIntN(64, reader.uint64()).toString();
        break;
      case 4:
        json = JSON.stringify(reader.text());
        break;
      case 5:
        json = reader.number() === 0 ? 'false' : 'true';
        break;
      case 6:
        json = mapJson(repeated(reader.bytes()), sorted);
        break;
      case 7:
        json = `[${repeated(reader.bytes())
          .map((item) => valueJson(item, sorted))
          .join(',')}]`;
        break;
      default:
        reader.skip();
    }
  }
  return json;
}

function repeated(message: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  const reader = answerReader(message);
  while (reader.next()) {
    if (reader.field === 1) items.push(reader.bytes());
    else reader.skip();
  }
  return items;
}

function mapJson(entries: readonly Uint8Array[], sorted: boolean): string {
  const pairs = entries.map(decodeEntry);
  if (sorted) pairs.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return `{${pairs.map(({ name, value }) => `${JSON.stringify(name)}:${valueJson(value, sorted)}`).join(',')}}`;
}

/** Returns a double as JSON that is no integer: `1.0`, `-0.0`. */
export function doubleJson(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** Returns all components of one of a point's other vectors, or null. */
function extraFloats(extra: Uint8Array, name: string): Float32Array | null {
  const found = unpackExtra(extra)
    .vectors.map(decodeEntry)
    .find((entry) => entry.name === name);
  return found === undefined ? null : decodeFloats(found.value);
}

/** The bytes of a point's payload and other vectors. */
export const POINT_CODEC: PointCodec = {
  format: EXTRA_FORMAT,
  pack: extraFromJson,
  canonical: (extra, { withoutVectors } = {}) => canonicalExtra(extra, withoutVectors),
  withoutVector,
  floats: extraFloats,
  vector: extraVector,
};
