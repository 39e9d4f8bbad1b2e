import type { ServedCollection } from '../../../../src/store/served.js';
import { ALLOW_EXACT } from '../../store/clients-exact-search.js';
import { FULL_SCAN_THRESHOLD_MIN_KB } from '../../store/scaled-limits.js';
import { serverVector } from '../hidden-vector.js';
import { scanJson, type JsonEntry, type JsonNode } from '../json/scan-body.js';
import { asciiJson, ByteEdits } from '../json/byte-edits.js';
import { isOutOfRange, quantizationFromJson } from '../settings/quantization-codec.js';
import {
  countOf,
  entryOf,
  fieldsOf,
  refuseDuplicates,
  STRUCTURES,
  stringOf,
  valueOf,
  type JsonFields,
  type Structure,
} from './structures.js';
import { restFlagIn, JSON_CODES, restSettingsIn } from './parse-target-settings.js';
import type { RewriteContext } from './stage.js';
import { refuseMetadata } from '../rules.js';
import {
  needsDescription,
  planChange,
  type Codes,
  type SettingsChange,
  type TargetSettingsChange,
  type VectorChange,
} from '../settings/settings-shown-to-clients.js';

const OFF = '"Disabled"';

/**
 * Rewrites PATCH of a collection. Settings of the full vector go to the compact vector, which is searched.
 * Some settings of the collection are in the target's vectors or have other values there: these are
 * converted.
 * @throws Refusal
 */
export function rewritePatch(root: JsonNode, { served, source, lookups }: RewriteContext): void {
  const fields = fieldsOf(root, STRUCTURES.updateCollection, source);
  const metadata = valueOf(fields, 'metadata');
  if (metadata?.kind === 'object') metadata.entries.forEach(({ key }) => refuseMetadata(key));
  const vectors = valueOf(fields, 'vectors');
  const entries = vectors?.kind === 'object' ? vectors.entries : [];
  refuseDuplicates(entries);
  const request = { root, fields, entries, served, source };
  const isShaped = [metadata, vectors].every((node) => node === undefined || node.kind === 'object');
  const change = isShaped ? readChange(request) : null;
  if (change !== null && needsDescription(change)) {
    const description = lookups.descriptionOf(served.target);
    // First pass: the description is requested, and the request is rewritten again with it.
    if (description === null) return;
    const config = entryOf(entryOf(scanJson(description), 'result'), 'config');
    const settings = restSettingsIn(config, new ByteEdits(description));
    const plan = planChange(settings, change, { served, form: JSON_CODES });
    if (plan !== null) {
      source.replace(root, changedText(request, plan));
      return;
    }
  }
  for (const { key, start, value } of entries) {
    const name = targetVector(key, served);
    if (name !== key) source.replace({ start, end: value.start }, `${asciiJson(name)}:`);
  }
}

/** Returns the target's vector for the settings of a client's vector. */
function targetVector(key: string, served: ServedCollection): string {
  return key === served.vector ? served.compact : serverVector(key, served);
}

interface Request {
  readonly root: JsonNode;
  readonly fields: JsonFields;
  readonly entries: readonly JsonEntry[];
  readonly served: ServedCollection;
  readonly source: ByteEdits;
}

/** Thrown for a value that the server refuses. The server's error names its place. */
class Unreadable extends Error {}

/** Returns the requested change; null for a request that the server will refuse unchanged. */
function readChange({ fields, entries, served, source }: Request): SettingsChange | null {
  const limit = (block: JsonNode | undefined, structure: Structure, name: string): number | undefined => {
    if (block === undefined) return undefined;
    const inner = fieldsOf(block, structure, source);
    const count = countOf(inner, name, source);
    if (count === undefined && valueOf(inner, name) !== undefined) throw new Unreadable();
    return count;
  };
  const flag = (block: JsonNode | undefined, structure: Structure, name: string): boolean | undefined => {
    const value = block && valueOf(fieldsOf(block, structure, source), name);
    const read = restFlagIn(value);
    if (read === undefined && value !== undefined) throw new Unreadable();
    return read;
  };
  const fullScanIn = (block: JsonNode | undefined): number | undefined => {
    const fullScan = limit(block, STRUCTURES.indexDiff, 'full_scan_threshold');
    // Over gRPC, the server accepts smaller values.
    if (fullScan !== undefined && fullScan < FULL_SCAN_THRESHOLD_MIN_KB) throw new Unreadable();
    return fullScan;
  };
  const vectorOf = ({ key, value }: JsonEntry): [string, VectorChange] => {
    const inner = fieldsOf(value, STRUCTURES.vectorDiff, source);
    const codes = codesOf(valueOf(inner, 'quantization_config'), source);
    // Limits of other vectors need no conversion.
    if (key !== served.vector) return [targetVector(key, served), { codes }];
    return [served.compact, { codes, fullScan: fullScanIn(valueOf(inner, 'hnsw_config')) }];
  };
  try {
    const optimizers = valueOf(fields, 'optimizers_config');
    return {
      indexing: limit(optimizers, STRUCTURES.optimizersDiff, 'indexing_threshold'),
      fullScan: fullScanIn(valueOf(fields, 'hnsw_config')),
      vectorSize: limit(
        valueOf(fields, 'strict_mode_config'),
        STRUCTURES.strictMode,
        'max_collection_vector_size_bytes',
      ),
      exact: flag(valueOf(fields, 'strict_mode_config'), STRUCTURES.strictMode, ALLOW_EXACT),
      codes: codesOf(valueOf(fields, 'quantization_config'), source),
      vectors: new Map(entries.map(vectorOf)),
    };
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

/** Returns whether a node is `{"Disabled": null}`, which the server also accepts. */
function isDisabled(node: JsonNode): boolean {
  return node.kind === 'object' && node.entries.length === 1 && entryOf(node, 'Disabled')?.kind === 'null';
}

function codesOf(node: JsonNode | undefined, source: ByteEdits): Codes | null | undefined {
  if (node === undefined) return undefined;
  if (node.kind === 'string') {
    if (stringOf(node, source) === 'Disabled') return null;
    throw new Unreadable();
  }
  if (isDisabled(node)) return null;
  const read = quantizationFromJson(source.read(node));
  if (read !== null && isOutOfRange(read)) throw new Unreadable();
  return source.raw(node);
}

/** JSON texts of fields by name. */
type Texts = Map<string, string>;

/** Returns the request with the planned settings. Every other field stays as the client wrote it. */
function changedText({ root, fields, entries, served, source }: Request, plan: TargetSettingsChange): string {
  const top = textsOf(root, STRUCTURES.updateCollection, source);
  const set = (texts: Texts, name: string, text: string): Texts => texts.set(name, text);
  const limit = (
    block: string,
    structure: Structure,
    values: Readonly<Record<string, number | boolean | undefined>>,
  ): void => {
    const planned = Object.entries(values).filter(([, value]) => value !== undefined);
    if (planned.length === 0) return;
    const texts = textsOf(valueOf(fields, block), structure, source);
    for (const [name, value] of planned) set(texts, name, String(value));
    set(top, block, objectText(texts));
  };
  const { optimizersDiff, indexDiff, strictMode, vectorDiff } = STRUCTURES;
  limit('optimizers_config', optimizersDiff, { indexing_threshold: plan.indexing });
  limit('hnsw_config', indexDiff, { full_scan_threshold: plan.fullScan });
  const strict = { max_collection_vector_size_bytes: plan.vectorSize, [ALLOW_EXACT]: plan.exact };
  limit('strict_mode_config', strictMode, strict);
  if (plan.codes !== undefined) set(top, 'quantization_config', plan.codes ?? OFF);
  const given = new Map(entries.map(({ key, value }) => [targetVector(key, served), value] as const));
  const vectors: Texts = new Map();
  for (const name of new Set([...given.keys(), ...plan.vectors.keys()])) {
    const node = given.get(name);
    const texts = textsOf(node, vectorDiff, source);
    const { codes, fullScan } = plan.vectors.get(name) ?? {};
    if (codes !== undefined) set(texts, 'quantization_config', codes ?? OFF);
    if (fullScan !== undefined) {
      const index = node && valueOf(fieldsOf(node, vectorDiff, source), 'hnsw_config');
      const indexTexts = textsOf(index, indexDiff, source);
      set(texts, 'hnsw_config', objectText(set(indexTexts, 'full_scan_threshold', String(fullScan))));
    }
    set(vectors, name, objectText(texts));
  }
  if (vectors.size > 0) set(top, 'vectors', objectText(vectors));
  if (plan.metadata.size > 0) {
    const metadata = textsOf(valueOf(fields, 'metadata'), null, source);
    for (const [key, text] of plan.metadata) set(metadata, key, asciiJson(text));
    set(top, 'metadata', objectText(metadata));
  }
  return objectText(top);
}

/** Returns the fields of a structure by their main names, including unknown fields. */
function textsOf(node: JsonNode | undefined, structure: Structure | null, source: ByteEdits): Texts {
  if (node === undefined) return new Map();
  if (node.kind === 'object')
    return new Map(
      node.entries.map(({ key, value }) => [structure?.aliases?.get(key) ?? key, source.raw(value)]),
    );
  if (structure === null) return new Map();
  const fields = fieldsOf(node, structure, source);
  return new Map([...fields].map(([name, { value }]) => [name, source.raw(value)]));
}

function objectText(texts: ReadonlyMap<string, string>): string {
  return `{${[...texts].map(([key, text]) => `${asciiJson(key)}:${text}`).join()}}`;
}
