import { EXACT_KEY, refusesExact } from '../../store/clients-exact-search.js';
import { QUANTIZATION_KEY, readRecord } from '../../store/source-quantization-record.js';
import { componentBytes } from '../../store/collection-settings.js';
import { readThresholds, THRESHOLDS_KEY } from '../../store/scaled-limits.js';
import { ProtoMessage } from '../protobuf/message.js';
import {
  quantizationFromJson,
  quantizationFromProto,
  quantizationToJson,
  quantizationToProto,
} from '../settings/quantization-codec.js';
import type {
  Codes,
  CodesForm,
  TargetSettings,
  VectorSettings,
} from '../settings/settings-shown-to-clients.js';

/** VectorParams. */
export const VECTOR = {
  size: 1,
  distance: 2,
  index: 3,
  quantization: 4,
  onDisk: 5,
  datatype: 6,
  multi: 7,
  memory: 8,
};
/** CollectionConfig; params is a CollectionParams, whose vectors_config is 5. */
export const CONFIG = { params: 1, index: 2, optimizers: 3, quantization: 5, strictMode: 6, metadata: 7 };
export const VECTORS_CONFIG = 5;
/** OptimizersConfigDiff and HnswConfigDiff. */
export const INDEXING_THRESHOLD = 6;
export const FULL_SCAN_THRESHOLD = 3;
/** StrictModeConfig: search_allow_exact, max_collection_vector_size_bytes. */
export const EXACT_ALLOWED = 7;
export const VECTOR_SIZE_LIMIT = 10;
/** Names of the enum Datatype by number. 0 is the default. */
const DATATYPES = ['float32', 'float32', 'uint8', 'float16', 'turbo4'];

/** Codes are the bytes of a QuantizationConfig. */
export const PROTO_CODES: CodesForm = {
  isKnown: (codes) => quantizationFromProto(bytesOf(codes)) !== null,
  fromJson: (text) => {
    const read = quantizationFromJson(text);
    return read === null ? null : codesOf(quantizationToProto(read));
  },
  toJson: (codes) => {
    const read = quantizationFromProto(bytesOf(codes));
    return read === null ? null : quantizationToJson(read);
  },
};

export function codesOf(bytes: Uint8Array): Codes {
  return Buffer.from(bytes).toString('latin1');
}

export function bytesOf(codes: Codes): Uint8Array {
  return Buffer.from(codes, 'latin1');
}

/** @param config a CollectionConfig */
export function grpcSettingsIn(config: ProtoMessage): TargetSettings {
  const texts = metadataTexts(config);
  const params = new ProtoMessage(config.bytesOrEmpty(CONFIG.params));
  const vectors = vectorsIn(new ProtoMessage(params.bytesOrEmpty(VECTORS_CONFIG)));
  return {
    indexing: limitIn(config.bytes(CONFIG.optimizers), INDEXING_THRESHOLD),
    fullScan: limitIn(config.bytes(CONFIG.index), FULL_SCAN_THRESHOLD),
    codes: quantizationIn(config, CONFIG.quantization),
    vectors: new Map([...vectors].map(([name, bytes]) => [name, vectorSettings(new ProtoMessage(bytes))])),
    thresholds: readThresholds(texts.get(THRESHOLDS_KEY) ?? ''),
    record: readRecord(texts.get(QUANTIZATION_KEY) ?? ''),
    exact: {
      set: grpcFlagIn(config.bytes(CONFIG.strictMode), EXACT_ALLOWED),
      refused: refusesExact(texts.get(EXACT_KEY)),
    },
  };
}

/** VectorsConfig: params 1, or params_map 2 (VectorParamsMap: map 1 of name 1 to VectorParams 2). */
export function vectorsIn(config: ProtoMessage): Map<string, Uint8Array> {
  const single = config.bytes(1);
  if (single !== null) return new Map([['', single]]);
  const entries = new ProtoMessage(config.bytesOrEmpty(2)).all(1).map((bytes) => new ProtoMessage(bytes));
  return new Map(entries.map((entry) => [entry.textOrEmpty(1), entry.bytesOrEmpty(2)]));
}

/** Returns the texts in the metadata: map of key 1 to Value 2, whose string_value is 4. */
function metadataTexts(config: ProtoMessage): Map<string, string> {
  const texts = new Map<string, string>();
  for (const bytes of config.all(CONFIG.metadata)) {
    const entry = new ProtoMessage(bytes);
    const value = entry.bytes(2);
    const text = value === null ? null : new ProtoMessage(value).text(4);
    if (text !== null) texts.set(entry.textOrEmpty(1), text);
  }
  return texts;
}

function vectorSettings(params: ProtoMessage): VectorSettings {
  const datatype = DATATYPES[Number(params.varintOrZero(VECTOR.datatype))];
  return {
    dim: Number(params.varintOrZero(VECTOR.size)),
    componentBytes: datatype === undefined ? undefined : componentBytes(datatype),
    multivector: params.has(VECTOR.multi),
    fullScan: limitIn(params.bytes(VECTOR.index), FULL_SCAN_THRESHOLD),
    codes: quantizationIn(params, VECTOR.quantization),
  };
}

function quantizationIn(message: ProtoMessage, field: number): Codes | null {
  const bytes = message.bytes(field);
  return bytes === null ? null : codesOf(bytes);
}

/** Returns a bool from a block that may be missing. */
export function grpcFlagIn(bytes: Uint8Array | null, field: number): boolean | undefined {
  const flag = bytes === null ? null : new ProtoMessage(bytes).varint(field);
  return flag === null ? undefined : flag !== 0n;
}

function limitIn(bytes: Uint8Array | null, field: number): number | undefined {
  const limit = bytes === null ? null : new ProtoMessage(bytes).varint(field);
  return limit === null ? undefined : Number(limit);
}
