import type { ServedCollection } from '../../../../src/store/served.js';
import type { DenseVectorSpec } from '../../../../src/store/collection.js';
import { EXACT_KEY, EXACT_TEXT } from '../../store/clients-exact-search.js';
import { num, type JsonObject } from '../../transport/json.js';
import {
  QUANTIZATION_KEY,
  recordText,
  type QuantizationRecord,
} from '../../store/source-quantization-record.js';
import {
  THRESHOLDS_KEY,
  thresholdsOf,
  vectorSizeLimit,
  type Threshold,
  type Thresholds,
} from '../../store/scaled-limits.js';

/**
 * Settings of a served collection that have another place or another value in the target than in the original
 * collection. Both transports read, show and change them by the rules in this file.
 */

/** A quantisation as text in the transport's own form: JSON, or bytes with one character per byte. */
export type Codes = string;

export interface VectorSettings {
  readonly dim: number;
  /** Undefined for a datatype whose size is not known. */
  readonly componentBytes: number | undefined;
  readonly multivector: boolean;
  /** `full_scan_threshold` of the vector itself. */
  readonly fullScan: number | undefined;
  /** The quantisation of the vector itself; null for none. */
  readonly codes: Codes | null;
}

/** The settings in the description of a target, as the server has them. */
export interface TargetSettings {
  readonly indexing: number | undefined;
  readonly fullScan: number | undefined;
  /** The collection's quantisation. Only a client that bypasses the proxy can have set it. */
  readonly codes: Codes | null;
  /** Every dense vector of the target. */
  readonly vectors: ReadonlyMap<string, VectorSettings>;
  readonly thresholds: Thresholds;
  readonly record: QuantizationRecord | null;
  readonly exact: ExactSearches;
}

/** `search_allow_exact` of strict mode. */
export interface ExactSearches {
  /** The target's value; undefined for none. */
  readonly set: boolean | undefined;
  /** Whether the metadata says that clients may not search exactly. */
  readonly refused: boolean;
}

/** Converts between the JSON text of a record and a transport's own form; null if it cannot. */
export interface CodesForm {
  readonly fromJson: (text: string) => Codes | null;
  readonly toJson: (codes: Codes) => string | null;
  /** Returns whether the server certainly accepts the form. */
  readonly isKnown: (codes: Codes) => boolean;
}

/** The settings that a client changes. Undefined: unchanged. */
export interface SettingsChange {
  readonly indexing: number | undefined;
  readonly fullScan: number | undefined;
  /** `max_collection_vector_size_bytes` of strict mode. */
  readonly vectorSize: number | undefined;
  /** `search_allow_exact` of strict mode. */
  readonly exact: boolean | undefined;
  /** Null switches the collection's quantisation off. */
  readonly codes: Codes | null | undefined;
  /** By the target's name of each vector. */
  readonly vectors: ReadonlyMap<string, VectorChange>;
}

export interface VectorChange {
  readonly fullScan?: number | undefined;
  readonly codes?: Codes | null | undefined;
}

/**
 * The change of the target that has the effect of the client's change. An undefined limit stays as the client
 * wrote it.
 */
export interface TargetSettingsChange extends SettingsChange {
  /** Texts of the metadata by key. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The quantisation of a served collection as clients see it. */
interface Quantization {
  /** The searched vectors and their quantisations in the target. */
  readonly vectors: ReadonlyMap<string, Codes | null>;
  readonly own: ReadonlySet<string>;
  readonly collection: Codes | null;
}

/** The quantisation as clients see it in a description. */
export interface ShownQuantization {
  /** The collection's quantisation; undefined if the server already shows it so. */
  readonly collection: Codes | null | undefined;
  /** Returns whether a vector's quantisation is the collection's, and so is not shown at the vector. */
  readonly isCollections: (vector: string, codes: Codes) => boolean;
}

export function shownQuantization(
  settings: TargetSettings,
  served: ServedCollection,
  form: CodesForm,
): ShownQuantization {
  if (settings.record === null || settings.codes !== null)
    return { collection: undefined, isCollections: () => false };
  const { own, collection } = recordedQuantization(settings, settings.record, { served, form });
  return { collection, isCollections: (vector, codes) => !own.has(vector) && codes === collection };
}

/** Returns whether a change sets any of its fields. If so, planning the change needs the target's description. */
export function needsDescription({ vectors, ...ofCollection }: SettingsChange): boolean {
  const isAsked = (settings: object): boolean =>
    Object.values(settings).some((setting) => setting !== undefined);
  return isAsked(ofCollection) || [...vectors.values()].some(isAsked);
}

/** Returns the change for the target; null if the server should get the client's change unchanged. */
export function planChange(
  settings: TargetSettings,
  change: SettingsChange,
  context: { readonly served: ServedCollection; readonly form: CodesForm },
): TargetSettingsChange | null {
  const limits = planLimits(settings, change, context.served);
  const quantization = planQuantization(settings, change, context);
  if (quantization === null) return null;
  const vectors = new Map<string, VectorChange>(change.vectors);
  for (const [name, codes] of quantization.vectors) vectors.set(name, { ...vectors.get(name), codes });
  const { compact } = context.served;
  const compactChange = vectors.get(compact);
  if (compactChange !== undefined || limits.own !== undefined)
    vectors.set(compact, { ...compactChange, fullScan: limits.own });
  const metadata = new Map<string, string>();
  const note = (key: string, text: string | null, before: string | null): void => {
    if (text !== null && text !== before) metadata.set(key, text);
  };
  note(THRESHOLDS_KEY, limits.told && JSON.stringify(limits.told), JSON.stringify(settings.thresholds));
  note(QUANTIZATION_KEY, textOf(quantization.record), textOf(settings.record));
  // A target of the two-stage layout still allows exact searches.
  const asked = context.served.layout === 'two-stage' ? change.exact : undefined;
  const exact = asked === undefined ? undefined : true;
  note(EXACT_KEY, asked === undefined ? null : exactText(asked), exactText(!settings.exact.refused));
  const { indexing, fullScan, vectorSize } = limits;
  return { indexing, fullScan, vectorSize, exact, codes: quantization.collection, vectors, metadata };
}

/** Returns whether clients see that a target refuses exact searches although it allows them. */
export function showsNoExact({ set, refused }: ExactSearches): boolean {
  return refused && set === true;
}

function exactText(allowed: boolean): string {
  return allowed ? EXACT_TEXT.allowed : EXACT_TEXT.refused;
}

function textOf(record: QuantizationRecord | null): string | null {
  return record && recordText(record);
}

interface QuantizationPlan {
  readonly collection: Codes | null | undefined;
  readonly vectors: ReadonlyMap<string, Codes | null>;
  /** Null to keep the record. */
  readonly record: QuantizationRecord | null;
}

/**
 * Returns the quantisations to write. A quantisation for the whole collection goes to each searched vector
 * without one of its own. A vector whose own quantisation is switched off gets the collection's. Returns null
 * for a quantisation of an unknown form that no vector would get.
 */
function planQuantization(
  settings: TargetSettings,
  change: SettingsChange,
  { served, form }: { readonly served: ServedCollection; readonly form: CodesForm },
): QuantizationPlan | null {
  const asked = [...change.vectors].flatMap(([name, { codes }]) =>
    codes === undefined ? [] : [[name, codes] as const],
  );
  const isNative = served.layout === 'compact' && settings.record === null;
  if (isNative || (change.codes === undefined && asked.length === 0))
    return { collection: change.codes, vectors: new Map(asked), record: null };
  const state =
    settings.record === null
      ? unrecordedQuantization(searchedVectors(settings, served), change.codes !== undefined)
      : recordedQuantization(settings, settings.record, { served, form });
  const own = new Set(state.own);
  for (const [name, codes] of asked)
    if (codes === null) own.delete(name);
    else own.add(name);
  const collection = change.codes === undefined ? state.collection : change.codes;
  const vectors = new Map(asked);
  for (const name of state.vectors.keys())
    if (!own.has(name) && (change.codes !== undefined || vectors.has(name))) vectors.set(name, collection);
  // If every vector has its own, the collection's is only noted, and the server does not check it.
  const isNoted = ![...vectors.values()].includes(collection);
  if (change.codes != null && isNoted && !form.isKnown(change.codes)) return null;
  const named = collection === null ? null : form.toJson(collection);
  const record = { own: [...own], collection: own.has(served.compact) ? named : undefined };
  const isNone = settings.record === null && own.size === 0 && collection === null;
  return {
    collection: change.codes === undefined ? undefined : null,
    vectors,
    record: isNone ? null : record,
  };
}

function recordedQuantization(
  settings: TargetSettings,
  record: QuantizationRecord,
  { served, form }: { readonly served: ServedCollection; readonly form: CodesForm },
): Quantization {
  const vectors = searchedVectors(settings, served);
  const { collection } = record;
  return {
    vectors,
    own: new Set(record.own),
    collection:
      collection === undefined
        ? (vectors.get(served.compact) ?? null)
        : collection && form.fromJson(collection),
  };
}

/**
 * Returns the quantisation of a target made by an earlier version, which has no record. Its clients see every
 * quantisation at a vector. If they set one for the collection, it replaces the compact vector's in every
 * vector that has the same one, since earlier versions wrote the collection's into all of them. If a vector
 * has none, the collection had none.
 */
function unrecordedQuantization(
  vectors: ReadonlyMap<string, Codes | null>,
  isForCollection: boolean,
): Quantization {
  const [compact] = vectors.values();
  const mayBeShared = isForCollection && ![...vectors.values()].includes(null);
  const own = [...vectors].filter(([, codes]) => codes !== null && !(mayBeShared && codes === compact));
  return { vectors, own: new Set(own.map(([name]) => name)), collection: null };
}

/** Returns the searched vectors, the compact one first. */
function searchedVectors({ vectors }: TargetSettings, served: ServedCollection): Map<string, Codes | null> {
  const { vector, compact } = served;
  const others = [...vectors].filter(([name]) => name !== vector && name !== compact);
  return new Map([
    [compact, vectors.get(compact)?.codes ?? null],
    ...others.map(([name, { codes }]) => [name, codes] as const),
  ]);
}

/**
 * The planned limits. Undefined: stays as the client wrote it, perhaps with more digits than a number holds.
 */
interface LimitsPlan {
  readonly indexing: number | undefined;
  readonly fullScan: number | undefined;
  readonly vectorSize: number | undefined;
  /** `full_scan_threshold` of the compact vector itself. */
  readonly own: number | undefined;
  readonly told: Thresholds | null;
}

/**
 * Returns the limits for the target. Clients mean limits in kilobytes for full vectors: the target gets
 * smaller limits that compact vectors reach with as many points. They mean the size of all vectors for a
 * collection without compact ones.
 */
function planLimits(settings: TargetSettings, change: SettingsChange, served: ServedCollection): LimitsPlan {
  const { indexing, fullScan, vectorSize, vectors } = change;
  const own = vectors.get(served.compact)?.fullScan;
  if ([indexing, fullScan, vectorSize, own].every((limit) => limit === undefined))
    return { indexing, fullScan, vectorSize, own, told: null };
  const { thresholds } = settings;
  const set = settings.vectors.get(served.compact)?.fullScan;
  const ofVector = own ?? before(set, thresholds.vector_full_scan_threshold);
  const adapted = adaptedLimits(settings, served, {
    indexing: indexing ?? before(settings.indexing, thresholds.indexing_threshold),
    fullScan: fullScan ?? before(settings.fullScan, thresholds.full_scan_threshold),
    vectorSize,
    own: ofVector,
  });
  const told = new Map<string, Threshold | undefined>(Object.entries(thresholds));
  if (indexing !== undefined) told.set('indexing_threshold', adapted.indexing_threshold);
  if (fullScan !== undefined) told.set('full_scan_threshold', adapted.full_scan_threshold);
  if (vectorSize !== undefined)
    told.set('max_collection_vector_size_bytes', adapted.max_collection_vector_size_bytes);
  // If other vectors keep the collection's limit, the compact vector has an own one. It cannot be removed.
  const follows = own === undefined && ofVector === undefined && fullScan !== undefined;
  const moved = follows && set !== undefined ? { source: null, target: fullScan } : undefined;
  const vector = own !== undefined || follows ? (adapted.vector_full_scan_threshold ?? moved) : undefined;
  if (own !== undefined || follows) told.set('vector_full_scan_threshold', vector);
  return {
    indexing: indexing === undefined ? undefined : adapted.indexing_threshold?.target,
    fullScan: fullScan === undefined ? undefined : adapted.full_scan_threshold?.target,
    vectorSize: adapted.max_collection_vector_size_bytes?.target,
    own: vector?.target,
    told: Object.fromEntries([...told].filter(([, threshold]) => threshold !== undefined)),
  };
}

/** Returns a limit as clients see it: the source's, unless it was changed since. */
function before(limit: number | undefined, threshold: Threshold | undefined): number | undefined {
  return threshold !== undefined && limit === threshold.target ? (threshold.source ?? undefined) : limit;
}

function adaptedLimits(
  { vectors }: TargetSettings,
  served: ServedCollection,
  limits: { readonly [name in 'indexing' | 'fullScan' | 'vectorSize' | 'own']: number | undefined },
): Thresholds {
  const { vector, compact, inputDim, layout, distance } = served;
  const after: DenseVectorSpec[] = [];
  for (const [name, { dim, componentBytes, multivector }] of vectors) {
    // The size of a vector of an unknown datatype is unknown.
    if (componentBytes === undefined) return {};
    after.push({ name, dim, distance, multivector, componentBytes });
  }
  const reducedTo = after.find(({ name }) => name === compact);
  if (reducedTo === undefined) return {};
  const withFull = after.map((one) => (one.name === vector ? { ...one, dim: inputDim } : one));
  const originals = layout === 'two-stage' ? withFull.filter(({ name }) => name !== compact) : withFull;
  const reduced = originals.find(({ name }) => name === vector);
  if (reduced === undefined) return {};
  const block = (name: string, limit: number | undefined): JsonObject =>
    limit === undefined ? {} : { [name]: num(limit) };
  const native = {
    optimizer_config: block('indexing_threshold', limits.indexing),
    hnsw_config: block('full_scan_threshold', limits.fullScan),
    strict_mode_config: block('max_collection_vector_size_bytes', limits.vectorSize),
  };
  const reduction = { reduced, compact: reducedTo, before: originals, after };
  const full = { hnsw_config: block('full_scan_threshold', limits.own) };
  const vectorSize = layout === 'two-stage' ? vectorSizeLimit(native, reduction) : null;
  return {
    ...thresholdsOf(native, full, reduction),
    ...(vectorSize !== null && { max_collection_vector_size_bytes: vectorSize }),
  };
}
