import type { Distance } from '../../../src/core/distance.js';
import type { ServedCollection } from '../../../src/core/served-collection.js';
import { ProtoMessage, type ProtoSpan } from './proto-message.js';
import { edited, Pieces, type FieldEdit } from './proto-pieces.js';

/** Numbers of the enum Distance. */
const DISTANCES: Readonly<Record<Distance, number>> = { cosine: 1, euclid: 2, dot: 3, manhattan: 4 };
/** VectorParams: size 1, distance 2, hnsw_config 3, quantization_config 4, on_disk 5. */
const SIZE = 1;
const DISTANCE = 2;
const INDEXED_AS = [3, 4, 5];

/**
 * GetCollectionInfoResponse: result 1; CollectionInfo: config 7, indexed_vectors_count 10; CollectionConfig: params 1;
 * CollectionParams: vectors_config 5. The vectors are shown as they were before the migration.
 */
export function collectionInfo(bytes: Uint8Array, served: ServedCollection): Uint8Array {
  const inside =
    (field: number, edit: FieldEdit): FieldEdit =>
    (value) =>
      edited(new ProtoMessage(value), new Map([[field, edit]]));
  let dense = 1;
  const vectors: FieldEdit = (value) => {
    const config = new ProtoMessage(value);
    const shown = vectorsConfig(config, served);
    dense = shown.dense;
    return shown.config;
  };
  const info: FieldEdit = (value) => {
    const changed = edited(new ProtoMessage(value), new Map([[7, inside(1, inside(5, vectors))]])).finish();
    return served.layout === 'compact' ? changed : withoutShare(new ProtoMessage(changed), dense);
  };
  return edited(new ProtoMessage(bytes), new Map([[1, info]])).finish();
}

/** VectorsConfig: params 1, or params_map 2 (VectorParamsMap: map 1 of name 1 to VectorParams 2). */
function vectorsConfig(
  config: ProtoMessage,
  served: ServedCollection,
): { readonly config: Uint8Array | Pieces; readonly dense: number } {
  const single = config.bytes(1);
  if (single !== null) {
    const params = shownParams(new ProtoMessage(single), null, served);
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
    const params = shownParams(new ProtoMessage(full), compact, served);
    const only = served.vector === '' && named.size === 1;
    if (only) return { config: new Pieces().bytes(1, params), dense: entries.length };
    named.set(served.vector, params.finish());
  }
  const out = new Pieces();
  for (const [name, params] of named) out.bytes(1, new Pieces().text(1, name).bytes(2, params));
  return { config: new Pieces().bytes(2, out), dense: entries.length };
}

/** The full vector's parameters, indexed and kept as its compact counterpart is. */
function shownParams(full: ProtoMessage, compact: Uint8Array | null, served: ServedCollection): Pieces {
  const out = new Pieces().varint(SIZE, served.inputDim).varint(DISTANCE, DISTANCES[served.distance]);
  const keep = (message: ProtoMessage, wanted: (span: ProtoSpan) => boolean): void => {
    for (const span of message.spans) if (wanted(span)) out.raw(message.raw.subarray(span.start, span.end));
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
