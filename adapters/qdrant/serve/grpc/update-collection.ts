import type { ServedCollection } from '../../../../src/store/served.js';
import {
  bytesOf,
  codesOf,
  EXACT_ALLOWED,
  grpcFlagIn,
  FULL_SCAN_THRESHOLD,
  INDEXING_THRESHOLD,
  PROTO_CODES,
  grpcSettingsIn,
  VECTOR_SIZE_LIMIT,
  vectorsIn,
} from './parse-target-settings.js';
import { serverVector } from '../hidden-vector.js';
import { decodeText, ProtoMessage } from '../protobuf/message.js';
import { edited, ProtoBuilder } from '../protobuf/builder.js';
import { isOutOfRange, quantizationFromProto } from '../settings/quantization-codec.js';
import { refuseMetadata } from '../rules.js';
import {
  needsDescription,
  planChange,
  type Codes,
  type SettingsChange,
  type TargetSettingsChange,
  type VectorChange,
} from '../settings/settings-shown-to-clients.js';

/** UpdateCollection; vectors_config is a VectorsConfigDiff, which has the form of a VectorsConfig. */
const UPDATE = { optimizers: 2, index: 5, vectors: 6, quantization: 7, strictMode: 9, metadata: 10 };
/** VectorParamsDiff. */
const VECTOR_DIFF = { index: 1, quantization: 2 };
/** QuantizationConfigDiff: `disabled` stands between the kinds of a QuantizationConfig. */
const DISABLED = 3;

/** The result of rewriting an UpdateCollection. */
export type Patched =
  | { readonly kind: 'message'; readonly message: Uint8Array }
  /** The description of the target is needed first. */
  | { readonly kind: 'lookup' };

/**
 * Rewrites an UpdateCollection of a served collection, as `rewritePatch` does for REST.
 * @param description the answer to a Get of the target; undefined before the lookup
 * @throws Refusal
 */
export function rewriteUpdate(
  message: ProtoMessage,
  served: ServedCollection,
  description: Uint8Array | undefined,
): Patched {
  for (const entry of message.all(UPDATE.metadata))
    for (const key of new ProtoMessage(entry).all(1)) refuseMetadata(decodeText(key));
  const vectors = vectorsOf(message, served);
  const change = readChange(message, vectors, served);
  const isInPlace = served.compact === served.vector;
  const moved = (): Patched => {
    const renamed = isInPlace || vectors.size === 0 ? message.raw : withVectors(message, vectors);
    return { kind: 'message', message: renamed };
  };
  if (change === null || !needsDescription(change)) return moved();
  if (description === undefined) return { kind: 'lookup' };
  const result = new ProtoMessage(new ProtoMessage(description).bytesOrEmpty(1));
  const config = new ProtoMessage(result.bytesOrEmpty(7));
  const plan = planChange(grpcSettingsIn(config), change, { served, form: PROTO_CODES });
  if (plan === null) return moved();
  return { kind: 'message', message: changed(message, plan, { vectors, isInPlace }) };
}

/** Returns the VectorParamsDiff of each vector by the target's names. @throws Refusal */
function vectorsOf(message: ProtoMessage, served: ServedCollection): Map<string, Uint8Array> {
  const config = new ProtoMessage(message.bytesOrEmpty(UPDATE.vectors));
  config.variant([1, 2]);
  const vectors = new Map<string, Uint8Array>();
  for (const [name, bytes] of vectorsIn(config)) {
    vectors.set(name === served.vector ? served.compact : serverVector(name, served), bytes);
  }
  return vectors;
}

/** Returns the requested change; null for a request that the server will refuse unchanged. */
function readChange(
  message: ProtoMessage,
  vectors: ReadonlyMap<string, Uint8Array>,
  served: ServedCollection,
): SettingsChange | null {
  const changes = new Map<string, VectorChange>();
  for (const [name, bytes] of vectors) {
    const params = new ProtoMessage(bytes);
    const codes = codesIn(params, VECTOR_DIFF.quantization);
    // Limits of other vectors need no conversion.
    if (name !== served.compact) changes.set(name, { codes });
    else changes.set(name, { codes, fullScan: limitIn(params, VECTOR_DIFF.index, FULL_SCAN_THRESHOLD) });
  }
  const change = {
    indexing: limitIn(message, UPDATE.optimizers, INDEXING_THRESHOLD),
    fullScan: limitIn(message, UPDATE.index, FULL_SCAN_THRESHOLD),
    vectorSize: limitIn(message, UPDATE.strictMode, VECTOR_SIZE_LIMIT),
    exact: grpcFlagIn(message.bytes(UPDATE.strictMode), EXACT_ALLOWED),
    codes: codesIn(message, UPDATE.quantization),
    vectors: changes,
  };
  const all: readonly VectorChange[] = [change, ...changes.values()];
  return all.some(isRefused) ? null : change;
}

function isRefused({ codes }: VectorChange): boolean {
  if (codes === '') return true;
  const read = codes === undefined || codes === null ? null : quantizationFromProto(bytesOf(codes));
  return read !== null && isOutOfRange(read);
}

function limitIn(message: ProtoMessage, block: number, field: number): number | undefined {
  const bytes = message.bytes(block);
  const limit = bytes === null ? null : new ProtoMessage(bytes).varint(field);
  return limit === null ? undefined : Number(limit);
}

/** Returns the quantisation of a QuantizationConfigDiff; null to switch it off, '' for an empty message. */
function codesIn(message: ProtoMessage, field: number): Codes | null | undefined {
  const bytes = message.bytes(field);
  if (bytes === null) return undefined;
  const diff = new ProtoMessage(bytes);
  const [first] = diff.spans;
  if (first === undefined) return '';
  const kind = diff.variant([...new Set(diff.spans.map((span) => span.field))]) ?? first;
  if (kind.field === DISABLED) return null;
  return codesOf(
    new ProtoBuilder().moved(diff, kind, kind.field < DISABLED ? kind.field : kind.field - 1).finish(),
  );
}

/** Returns a QuantizationConfigDiff. */
function diffOf(codes: Codes | null): ProtoBuilder {
  if (codes === null) return new ProtoBuilder().bytes(DISABLED, new Uint8Array(0));
  const config = new ProtoMessage(bytesOf(codes));
  const diff = new ProtoBuilder();
  for (const span of config.spans)
    diff.moved(config, span, span.field < DISABLED ? span.field : span.field + 1);
  return diff;
}

/** Returns the request with the planned settings. Every other field stays as the client wrote it. */
function changed(
  message: ProtoMessage,
  plan: TargetSettingsChange,
  { vectors, isInPlace }: { readonly vectors: ReadonlyMap<string, Uint8Array>; readonly isInPlace: boolean },
): Uint8Array {
  const all = new Map(vectors);
  for (const [name, { codes, fullScan }] of plan.vectors) {
    let params = new ProtoMessage(all.get(name) ?? new Uint8Array(0));
    if (codes !== undefined)
      params = new ProtoMessage(replaced(params, VECTOR_DIFF.quantization, diffOf(codes)));
    if (fullScan !== undefined)
      params = withLimit(params, VECTOR_DIFF.index, { field: FULL_SCAN_THRESHOLD, limit: fullScan });
    all.set(name, params.raw);
  }
  const isSame = isInPlace && [...all].every(([name, params]) => params === vectors.get(name));
  let out = isSame || all.size === 0 ? message : new ProtoMessage(withVectors(message, all));
  if (plan.indexing !== undefined)
    out = withLimit(out, UPDATE.optimizers, { field: INDEXING_THRESHOLD, limit: plan.indexing });
  if (plan.fullScan !== undefined)
    out = withLimit(out, UPDATE.index, { field: FULL_SCAN_THRESHOLD, limit: plan.fullScan });
  if (plan.vectorSize !== undefined)
    out = withLimit(out, UPDATE.strictMode, { field: VECTOR_SIZE_LIMIT, limit: plan.vectorSize });
  if (plan.exact !== undefined)
    out = withLimit(out, UPDATE.strictMode, { field: EXACT_ALLOWED, limit: Number(plan.exact) });
  if (plan.codes !== undefined)
    out = new ProtoMessage(replaced(out, UPDATE.quantization, diffOf(plan.codes)));
  const bytes = new ProtoBuilder().raw(out.raw);
  for (const [key, text] of plan.metadata)
    bytes.bytes(UPDATE.metadata, new ProtoBuilder().text(1, key).bytes(2, new ProtoBuilder().text(4, text)));
  return bytes.finish();
}

/** Returns a message with a new value for a length-delimited field that occurs at most once. */
function replaced(message: ProtoMessage, field: number, value: Uint8Array | ProtoBuilder): Uint8Array {
  return message.has(field)
    ? edited(message, new Map([[field, () => value]])).finish()
    : new ProtoBuilder().raw(message.raw).bytes(field, value).finish();
}

function withLimit(
  message: ProtoMessage,
  block: number,
  { field, limit }: { readonly field: number; readonly limit: number },
): ProtoMessage {
  const before = new ProtoMessage(message.bytesOrEmpty(block));
  const after = new ProtoBuilder();
  for (const span of before.spans)
    if (span.field !== field) after.raw(before.raw.subarray(span.start, span.end));
  return new ProtoMessage(replaced(message, block, after.varint(field, limit)));
}

function withVectors(message: ProtoMessage, vectors: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const map = new ProtoBuilder();
  for (const [name, params] of vectors) map.bytes(1, new ProtoBuilder().text(1, name).bytes(2, params));
  return replaced(message, UPDATE.vectors, new ProtoBuilder().bytes(2, map));
}
