import type { Distance } from '../../../src/core/distance.js';
import type { ServedCollection } from '../../../src/core/served-collection.js';
import { ProtoMessage, type ProtoSpan } from './proto-message.js';
import { edited, Pieces, type FieldEdit } from './proto-pieces.js';
import { readThresholds, THRESHOLDS_KEY, type Threshold, type Thresholds } from '../thresholds.js';

/** Numbers of the enum Distance. */
const DISTANCES: Readonly<Record<Distance, number>> = { cosine: 1, euclid: 2, dot: 3, manhattan: 4 };
/** VectorParams: size 1, distance 2, hnsw_config 3, quantization_config 4, on_disk 5. */
const SIZE = 1;
const DISTANCE = 2;
const INDEX = 3;
const INDEXED_AS = [INDEX, 4, 5];
/** OptimizersConfigDiff and HnswConfigDiff. */
const INDEXING_THRESHOLD = 6;
const FULL_SCAN_THRESHOLD = 3;

/**
 * GetCollectionInfoResponse: result 1; CollectionInfo: config 7, indexed_vectors_count 10; CollectionConfig: params 1,
 * hnsw_config 2, optimizer_config 3, metadata 7; CollectionParams: vectors_config 5. The vectors, and the limits that
 * follow from their size, are shown as they were before the migration.
 */
export function collectionInfo(bytes: Uint8Array, served: ServedCollection): Uint8Array {
  const inside =
    (field: number, edit: FieldEdit): FieldEdit =>
    (value) =>
      edited(new ProtoMessage(value), new Map([[field, edit]]));
  let dense = 1;
  const config: FieldEdit = (value) => {
    const message = new ProtoMessage(value);
    const thresholds = thresholdsIn(message);
    const vectors: FieldEdit = (block) => {
      const shown = vectorsConfig(new ProtoMessage(block), {
        served,
        fullScan: thresholds.vector_full_scan_threshold,
      });
      dense = shown.dense;
      return shown.config;
    };
    const limit =
      (field: number, threshold: Threshold | undefined): FieldEdit =>
      (block) =>
        asBefore(new ProtoMessage(block), field, threshold);
    return edited(
      message,
      new Map([
        [1, inside(5, vectors)],
        [2, limit(FULL_SCAN_THRESHOLD, thresholds.full_scan_threshold)],
        [3, limit(INDEXING_THRESHOLD, thresholds.indexing_threshold)],
      ]),
    );
  };
  const info: FieldEdit = (value) => {
    const changed = edited(new ProtoMessage(value), new Map([[7, config]])).finish();
    return served.layout === 'compact' ? changed : withoutShare(new ProtoMessage(changed), dense);
  };
  return edited(new ProtoMessage(bytes), new Map([[1, info]])).finish();
}

interface Shown {
  readonly served: ServedCollection;
  readonly fullScan: Threshold | undefined;
}

/** Metadata: map 7 of key 1 to Value 2, whose string_value is 4. */
function thresholdsIn(config: ProtoMessage): Thresholds {
  for (const bytes of config.all(7)) {
    const entry = new ProtoMessage(bytes);
    if (entry.text(1) !== THRESHOLDS_KEY) continue;
    const value = entry.bytes(2);
    return readThresholds((value === null ? null : new ProtoMessage(value).text(4)) ?? '');
  }
  return {};
}

/** A message with a limit that is still the one that the migration set as it was in the source. */
function asBefore(
  message: ProtoMessage,
  field: number,
  threshold: Threshold | undefined,
): Uint8Array | Pieces {
  if (threshold === undefined || message.varint(field) !== BigInt(threshold.target)) return message.raw;
  const out = new Pieces();
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
): { readonly config: Uint8Array | Pieces; readonly dense: number } {
  const { served } = shown;
  const single = config.bytes(1);
  if (single !== null) {
    const params = shownParams(new ProtoMessage(single), null, shown);
    return { config: edited(config, new Map([[1, () => params]])), dense: 1 };
  }
  const map = config.bytes(2);
  if (map === null) return { config: config.raw, dense: 1 };
  const entries = new ProtoMessage(map).all(1).map((bytes) => new ProtoMessage(bytes));
  const named = new Map(entries.map((entry) => [entry.text(1) ?? '', entry.bytes(2) ?? new Uint8Array(0)]));
  const hides = served.layout === 'two-stage';
  const compact = hides ? (named.get(served.compact) ?? null) : null;
  if (hides) named.delete(served.compact);
  const full = named.get(served.vector);
  if (full !== undefined) {
    const params = shownParams(new ProtoMessage(full), compact, shown);
    const only = served.vector === '' && named.size === 1;
    if (only) return { config: new Pieces().bytes(1, params), dense: entries.length };
    named.set(served.vector, params.finish());
  }
  const out = new Pieces();
  for (const [name, params] of named) out.bytes(1, new Pieces().text(1, name).bytes(2, params));
  return { config: new Pieces().bytes(2, out), dense: entries.length };
}

/** The full vector's parameters, indexed and kept as its compact counterpart is. */
function shownParams(full: ProtoMessage, compact: Uint8Array | null, { served, fullScan }: Shown): Pieces {
  const out = new Pieces().varint(SIZE, served.inputDim).varint(DISTANCE, DISTANCES[served.distance]);
  const keep = (message: ProtoMessage, wanted: (span: ProtoSpan) => boolean): void => {
    for (const span of message.spans) {
      if (!wanted(span)) continue;
      const index = span.field === INDEX ? message.value(span) : null;
      const before = index === null ? null : asBefore(new ProtoMessage(index), FULL_SCAN_THRESHOLD, fullScan);
      if (index === null || before === null || before === index)
        out.raw(message.raw.subarray(span.start, span.end));
      else if (before.length > 0) out.bytes(INDEX, before);
    }
  };
  const isIndex = ({ field }: ProtoSpan): boolean => INDEXED_AS.includes(field);
  if (compact !== null) keep(new ProtoMessage(compact), isIndex);
  keep(full, (span) => span.field > DISTANCE && (compact === null || !isIndex(span)));
  return out;
}

/**
 * Servers count every vector of an indexed segment, whether it has an index itself or not, so the hidden one takes
 * an equal share; never more than there are points.
 */
function withoutShare(info: ProtoMessage, dense: number): Uint8Array | Pieces {
  const counted = info.varint(10);
  if (counted === null || dense < 2) return info.raw;
  const points = info.varint(9) ?? counted;
  const share = counted / BigInt(dense);
  const out = new Pieces();
  for (const span of info.spans) {
    if (span.field === 10) out.varint(10, counted - (share < points ? share : points));
    else out.raw(info.raw.subarray(span.start, span.end));
  }
  return out;
}
