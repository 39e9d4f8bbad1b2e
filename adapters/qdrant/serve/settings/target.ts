import type { ServedCollection } from '../../../../src/store/served.js';
import type { DenseVectorSpec } from '../../../../src/store/vector-store.js';
import { EXACT_KEY, EXACT_TEXT } from '../../transport/exact-search.js';
import { num, type JsonObject } from '../../transport/json.js';
import { QUANTIZATION_KEY, recordText, type QuantizationRecord } from '../../store/quantization-record.js';
import {
  THRESHOLDS_KEY,
  thresholdsOf,
  vectorSizeLimit,
  type Threshold,
  type Thresholds,
} from '../../store/thresholds.js';

/**
 * Settings of a served collection that the target has in another place, or in another number, than the original
 * collection had. Both transports read them, show them and change them by the rules in this file.
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
  /** The collection's quantisation; only somebody who writes past the proxy can have set one. */
  readonly codes: Codes | null;
  /** Every dense vector of the target. */
  readonly vectors: ReadonlyMap<string, VectorSettings>;
  readonly thresholds: Thresholds;
  readonly record: QuantizationRecord | null;
  readonly exact: ExactSearches;
}

/** `search_allow_exact` of strict mode. */
export interface ExactSearches {
  /** As the target has it; undefined for none. */
  readonly set: boolean | undefined;
  /** Whether the metadata says that clients may not search exactly. */
  readonly refused: boolean;
}

/** How a transport writes the JSON text of a record in its own form; null if it cannot. */
export interface CodesForm {
  readonly fromJson: (text: string) => Codes | null;
  readonly toJson: (codes: Codes) => string | null;
  /** Whether the form is one that the server takes for sure. */
  readonly isKnown: (codes: Codes) => boolean;
}

/** What a client asks for. Undefined: not asked for. */
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

/** The change of the target that has the effect that the client asks for. A limit that is undefined stays as asked. */
export interface TargetSettingsChange extends SettingsChange {
  /** Texts of the metadata by key. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The quantisation of a served collection as clients know it. */
interface Quantization {
  /** The vectors that are searched, and what each of them has. */
  readonly vectors: ReadonlyMap<string, Codes | null>;
  readonly own: ReadonlySet<string>;
  readonly collection: Codes | null;
}

/** What clients see of the quantisation in a description. */
export interface ShownQuantization {
  /** The collection's; undefined if it is as the server shows it. */
  readonly collection: Codes | null | undefined;
  /** Whether the quantisation that a vector has is the collection's, and not to be shown at the vector. */
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

/** Whether a change concerns a setting that the target has elsewhere, so that the description is needed. */
export function needsDescription({ vectors, ...ofCollection }: SettingsChange): boolean {
  const isAsked = (settings: object): boolean =>
    Object.values(settings).some((setting) => setting !== undefined);
  return isAsked(ofCollection) || [...vectors.values()].some(isAsked);
}

/** Null for a change that the server is to judge as it is. */
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
  // The target of the two-stage layout itself goes on allowing exact searches.
  const asked = context.served.layout === 'two-stage' ? change.exact : undefined;
  const exact = asked === undefined ? undefined : true;
  note(EXACT_KEY, asked === undefined ? null : exactText(asked), exactText(!settings.exact.refused));
  const { indexing, fullScan, vectorSize } = limits;
  return { indexing, fullScan, vectorSize, exact, codes: quantization.collection, vectors, metadata };
}

/** Whether clients see that a target refuses exact searches, though it allows them. */
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
  /** Null to leave it as it is. */
  readonly record: QuantizationRecord | null;
}

/**
 * A quantisation for the whole collection goes to each searched vector without one of its own. A vector whose own one
 * is switched off gets that of the collection. Null for a quantisation of an unknown form that no vector would get.
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
  // Where every vector has its own, the server gets to see nothing of what would only be noted.
  const isNoted = ![...vectors.values()].includes(collection);
  if (change.codes != null && isNoted && !form.isKnown(change.codes)) return null;
  const named = collection === null ? null : form.toJson(collection);
  const record = { own: [...own], collection: own.has(served.compact) ? named : undefined };
  const isNone = settings.record === null && own.size === 0 && collection === null;
  return {
    collection: change.codes === undefined ? undefined : null,
    ...{ vectors, record: isNone ? null : record },
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
 * A target of an earlier version has no record. Its clients see every quantisation at a vector. If they set one for the
 * collection, it replaces the one that the compact vector has, in every vector that has the same: an earlier version
 * wrote the collection's into all of them. A vector without one shows that the collection had none.
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

/** The compact vector comes first. */
function searchedVectors({ vectors }: TargetSettings, served: ServedCollection): Map<string, Codes | null> {
  const { vector, compact } = served;
  const others = [...vectors].filter(([name]) => name !== vector && name !== compact);
  return new Map([
    [compact, vectors.get(compact)?.codes ?? null],
    ...others.map(([name, { codes }]) => [name, codes] as const),
  ]);
}

/** Undefined for a limit that stays as the client wrote it: it may have more digits than a number holds. */
interface LimitsPlan {
  readonly indexing: number | undefined;
  readonly fullScan: number | undefined;
  readonly vectorSize: number | undefined;
  /** Of the compact vector itself. */
  readonly own: number | undefined;
  readonly told: Thresholds | null;
}

/**
 * Limits in kilobytes are meant for full vectors; the compact ones reach smaller limits with as many points. The largest
 * size of all vectors is meant for a collection without the compact ones.
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
  // The compact vector has the collection's limit as its own if other vectors keep theirs. It cannot be taken away.
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

/** A limit as clients see it: that of the source, unless it was changed since. */
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
    // Of a datatype that is not known nobody can say how large a vector is.
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
