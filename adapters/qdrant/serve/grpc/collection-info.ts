import type { Distance } from '../../../../src/core/distance.js';
import type { ServedCollection } from '../../../../src/store/served.js';
import {
  bytesOf,
  codesOf,
  CONFIG,
  EXACT_ALLOWED,
  FULL_SCAN_THRESHOLD,
  INDEXING_THRESHOLD,
  PROTO_CODES,
  grpcSettingsIn,
  VECTOR,
  VECTOR_SIZE_LIMIT,
  VECTORS_CONFIG,
  vectorsIn,
} from './parse-target-settings.js';
import { ProtoMessage, type ProtoSpan } from '../protobuf/message.js';
import { edited, ProtoBuilder, type FieldEdit } from '../protobuf/builder.js';
import { shownIndexed, shownWarning, type IndexedCounts } from '../rules.js';
import {
  showsNoExact,
  shownQuantization,
  type ShownQuantization,
} from '../settings/settings-shown-to-clients.js';
import type { Threshold } from '../../store/scaled-limits.js';

/** Numbers of the enum Distance. */
const DISTANCES: Readonly<Record<Distance, number>> = { cosine: 1, euclid: 2, dot: 3, manhattan: 4 };
/** CollectionInfo. */
const POINTS_COUNT = 9;
const INDEXED_COUNT = 10;
/** In CollectionParams. */
const SPARSE_CONFIG = 10;
const INDEXED_AS = [VECTOR.index, VECTOR.quantization, VECTOR.onDisk, VECTOR.memory];

/**
 * GetCollectionInfoResponse: result 1; CollectionInfo: config 7, indexed_vectors_count 10, warnings 11. The vectors, the
 * limits that depend on their size, and the quantisation are shown as they were before the migration.
 */
export function collectionInfo(bytes: Uint8Array, served: ServedCollection): Uint8Array {
  const inside =
    (field: number, edit: FieldEdit): FieldEdit =>
    (value) =>
      edited(new ProtoMessage(value), new Map([[field, edit]]));
  let counted = { dense: 1, sparse: 0 };
  const config: FieldEdit = (value) => {
    const message = new ProtoMessage(value);
    const settings = grpcSettingsIn(message);
    const { thresholds } = settings;
    const quantization = shownQuantization(settings, served, PROTO_CODES);
    const vectors: FieldEdit = (block) => {
      const shown = vectorsConfig(new ProtoMessage(block), {
        served,
        quantization,
        fullScan: thresholds.vector_full_scan_threshold,
      });
      counted = { dense: shown.dense, sparse: sparseIn(message) };
      return shown.config;
    };
    const limit =
      (field: number, threshold: Threshold | undefined): FieldEdit =>
      (block) =>
        asBefore(new ProtoMessage(block), field, threshold);
    const strictMode: FieldEdit = (block) => {
      const size = asBefore(
        new ProtoMessage(block),
        VECTOR_SIZE_LIMIT,
        thresholds.max_collection_vector_size_bytes,
      );
      if (!showsNoExact(settings.exact)) return size;
      const shown = size instanceof ProtoBuilder ? size.finish() : size;
      return asBefore(new ProtoMessage(shown), EXACT_ALLOWED, { source: 0, target: 1 });
    };
    const out = edited(
      message,
      new Map([
        [CONFIG.params, inside(VECTORS_CONFIG, vectors)],
        [CONFIG.index, limit(FULL_SCAN_THRESHOLD, thresholds.full_scan_threshold)],
        [CONFIG.optimizers, limit(INDEXING_THRESHOLD, thresholds.indexing_threshold)],
        [CONFIG.strictMode, strictMode],
      ]),
    );
    const { collection } = quantization;
    return collection == null ? out : out.bytes(CONFIG.quantization, bytesOf(collection));
  };
  // CollectionWarning: message 1.
  const warning: FieldEdit = (value) => {
    const text = new ProtoMessage(value).textOrEmpty(1);
    const shown = shownWarning(text, served);
    if (shown === text) return value;
    return shown === null ? null : new ProtoBuilder().text(1, shown);
  };
  const info: FieldEdit = (value) => {
    const changed = edited(
      new ProtoMessage(value),
      new Map([
        [7, config],
        [11, warning],
      ]),
    ).finish();
    return served.layout === 'compact' ? changed : withoutHidden(new ProtoMessage(changed), counted);
  };
  return edited(new ProtoMessage(bytes), new Map([[1, info]])).finish();
}

interface Shown {
  readonly served: ServedCollection;
  readonly quantization: ShownQuantization;
  readonly fullScan: Threshold | undefined;
}

/** Returns a message with the source's limit, if the limit is still the one that the migration set. */
function asBefore(
  message: ProtoMessage,
  field: number,
  threshold: Threshold | undefined,
): Uint8Array | ProtoBuilder {
  if (threshold === undefined || message.varint(field) !== BigInt(threshold.target)) return message.raw;
  const out = new ProtoBuilder();
  for (const span of message.spans) {
    if (span.field !== field) out.raw(message.raw.subarray(span.start, span.end));
    else if (threshold.source !== null) out.varint(field, threshold.source);
  }
  return out;
}

/** VectorsConfig: params 1, or params_map 2 (VectorParamsMap: map 1 of name 1 to VectorParams 2). */
function vectorsConfig(
  config: ProtoMessage,
  shown: Shown,
): { readonly config: Uint8Array | ProtoBuilder; readonly dense: number } {
  const { served, quantization } = shown;
  const single = config.bytes(1);
  if (single !== null) {
    const params = shownParams(new ProtoMessage(single), null, shown);
    return { config: edited(config, new Map([[1, () => params]])), dense: 1 };
  }
  if (config.bytes(2) === null) return { config: config.raw, dense: 1 };
  const named = vectorsIn(config);
  const dense = named.size;
  const hides = served.layout === 'two-stage';
  const compact = hides ? (named.get(served.compact) ?? null) : null;
  if (hides) named.delete(served.compact);
  const full = named.get(served.vector);
  if (full !== undefined) {
    const params = shownParams(new ProtoMessage(full), compact, shown);
    const only = served.vector === '' && named.size === 1;
    if (only) return { config: new ProtoBuilder().bytes(1, params), dense };
    named.set(served.vector, params.finish());
  }
  for (const [name, params] of named) {
    const isShared = (codes: Uint8Array): boolean => quantization.isCollections(name, codesOf(codes));
    const edit: FieldEdit = (codes) => (isShared(codes) ? null : codes);
    if (name === served.vector) continue;
    named.set(name, edited(new ProtoMessage(params), new Map([[VECTOR.quantization, edit]])).finish());
  }
  const out = new ProtoBuilder();
  for (const [name, params] of named) out.bytes(1, new ProtoBuilder().text(1, name).bytes(2, params));
  return { config: new ProtoBuilder().bytes(2, out), dense };
}

/** Returns the full vector's parameters, with the index and storage settings of its compact counterpart. */
function shownParams(full: ProtoMessage, compact: Uint8Array | null, shown: Shown): ProtoBuilder {
  const { served, fullScan, quantization } = shown;
  const out = new ProtoBuilder()
    .varint(VECTOR.size, served.inputDim)
    .varint(VECTOR.distance, DISTANCES[served.distance]);
  const keep = (message: ProtoMessage, wanted: (span: ProtoSpan) => boolean): void => {
    for (const span of message.spans) {
      if (!wanted(span)) continue;
      const value = message.value(span);
      if (span.field === VECTOR.quantization && quantization.isCollections(served.compact, codesOf(value)))
        continue;
      const index = span.field === VECTOR.index ? value : null;
      const before = index === null ? null : asBefore(new ProtoMessage(index), FULL_SCAN_THRESHOLD, fullScan);
      if (index === null || before === null || before === index)
        out.raw(message.raw.subarray(span.start, span.end));
      else if (before.length > 0) out.bytes(VECTOR.index, before);
    }
  };
  const isIndex = ({ field }: ProtoSpan): boolean => INDEXED_AS.includes(field);
  if (compact !== null) keep(new ProtoMessage(compact), isIndex);
  keep(full, (span) => span.field > VECTOR.distance && (compact === null || !isIndex(span)));
  return out;
}

/** Returns the number of sparse vectors: CollectionParams has a map 1 in its sparse_vectors_config. */
function sparseIn(config: ProtoMessage): number {
  const params = new ProtoMessage(config.bytesOrEmpty(CONFIG.params));
  return new ProtoMessage(params.bytesOrEmpty(SPARSE_CONFIG)).all(1).length;
}

/** Returns a CollectionInfo whose indexed vectors are counted without the hidden one. */
function withoutHidden(
  info: ProtoMessage,
  vectors: Pick<IndexedCounts, 'dense' | 'sparse'>,
): Uint8Array | ProtoBuilder {
  const counted = info.varint(INDEXED_COUNT);
  if (counted === null || vectors.dense < 2) return info.raw;
  const points = Number(info.varint(POINTS_COUNT) ?? counted);
  const shown = shownIndexed({ indexed: Number(counted), points, ...vectors });
  const out = new ProtoBuilder();
  for (const span of info.spans) {
    if (span.field === INDEXED_COUNT) out.varint(INDEXED_COUNT, shown);
    else out.raw(info.raw.subarray(span.start, span.end));
  }
  return out;
}
