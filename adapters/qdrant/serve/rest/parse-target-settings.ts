import { ALLOW_EXACT, EXACT_KEY, refusesExact } from '../../store/clients-exact-search.js';
import { readRecord, QUANTIZATION_KEY } from '../../store/source-quantization-record.js';
import { componentBytes } from '../../store/collection-settings.js';
import { readThresholds, THRESHOLDS_KEY } from '../../store/scaled-limits.js';
import type { JsonNode } from '../json/scan-body.js';
import type { ByteEdits } from '../json/byte-edits.js';
import { quantizationFromJson, quantizationToJson } from '../settings/quantization-codec.js';
import { entryOf, stringOf } from './structures.js';
import type { CodesForm, TargetSettings, VectorSettings } from '../settings/settings-shown-to-clients.js';

/** The text of a span has one character per byte. The text of a record has decoded characters. */
export const JSON_CODES: CodesForm = {
  isKnown: (codes) => quantizationFromJson(Buffer.from(codes, 'latin1').toString()) !== null,
  fromJson: (text) => Buffer.from(text).toString('latin1'),
  toJson: (codes) => {
    const text = Buffer.from(codes, 'latin1').toString();
    const read = quantizationFromJson(text);
    return read === null ? text : quantizationToJson(read);
  },
};

/** @param config `result.config` of GET /collections/{name} */
export function restSettingsIn(config: JsonNode | undefined, source: ByteEdits): TargetSettings {
  const metadata = entryOf(config, 'metadata');
  const textIn = (key: string): string => {
    const value = entryOf(metadata, key);
    return value?.kind === 'string' ? stringOf(value, source) : '';
  };
  const block = entryOf(entryOf(config, 'params'), 'vectors');
  const single = entryOf(block, 'size')?.kind === 'number';
  const entries = block?.kind === 'object' ? block.entries : [];
  const vectors = single && block !== undefined ? [{ key: '', value: block }] : entries;
  return {
    indexing: limitIn(entryOf(config, 'optimizer_config'), 'indexing_threshold', source),
    fullScan: limitIn(entryOf(config, 'hnsw_config'), 'full_scan_threshold', source),
    codes: codesIn(config, source),
    vectors: new Map(vectors.map(({ key, value }) => [key, vectorSettings(value, source)])),
    thresholds: readThresholds(textIn(THRESHOLDS_KEY)),
    record: readRecord(textIn(QUANTIZATION_KEY)),
    exact: {
      set: restFlagIn(entryOf(entryOf(config, 'strict_mode_config'), ALLOW_EXACT)),
      refused: refusesExact(textIn(EXACT_KEY)),
    },
  };
}

/** Returns true or false; undefined for anything else. */
export function restFlagIn(node: JsonNode | undefined): boolean | undefined {
  return node?.kind === 'true' || node?.kind === 'false' ? node.kind === 'true' : undefined;
}

function vectorSettings(params: JsonNode, source: ByteEdits): VectorSettings {
  const datatype = entryOf(params, 'datatype');
  const multivector = entryOf(params, 'multivector_config');
  return {
    dim: limitIn(params, 'size', source) ?? NaN,
    componentBytes: componentBytes(datatype?.kind === 'string' ? stringOf(datatype, source) : 'float32'),
    multivector: multivector !== undefined && multivector.kind !== 'null',
    fullScan: limitIn(entryOf(params, 'hnsw_config'), 'full_scan_threshold', source),
    codes: codesIn(params, source),
  };
}

function codesIn(node: JsonNode | undefined, source: ByteEdits): string | null {
  const codes = entryOf(node, 'quantization_config');
  return codes === undefined || codes.kind === 'null' ? null : source.raw(codes);
}

function limitIn(node: JsonNode | undefined, key: string, source: ByteEdits): number | undefined {
  const limit = entryOf(node, key);
  return limit?.kind === 'number' ? Number(source.read(limit)) : undefined;
}
