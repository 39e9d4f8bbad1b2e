import * as v from 'valibot';
import {
  DATATYPES,
  QUANTIZATIONS,
  type CollectionSpec,
  type Datatype,
  type Layout,
  type Quantization,
} from './collection.js';

/** Key of the target's metadata that describes the collection. `search`, `serve` and later runs read it. */
export const METADATA_KEY = 'tldr';

/** Key of the target's metadata that says where the migration state is. Not part of the target's identity. */
export const STATE_BACKEND_KEY = 'tldr-record';

/** Key of the target's metadata that says that a proxy keeps a journal of clients' writes. */
export const JOURNAL_KEY = 'tldr-journal';

/** Where a migration state is kept: in a file on a machine, or in the target's own database. */
export type StateBackend = 'file' | 'database';

/** Description of a target, as its metadata holds it. */
export interface TargetDescription {
  readonly format: 1;
  readonly encoder: string;
  readonly layout: Layout;
  readonly source: string;
  readonly vector: string;
  readonly compact: string;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly distance: string;
  /** Present if the user chose them; absent if the source's settings were taken over. */
  readonly datatype?: Datatype;
  readonly quantization?: Quantization;
  readonly hnswM?: number;
}

const DESCRIPTION = v.looseObject({
  format: v.literal(1),
  encoder: v.string(),
  layout: v.picklist(['compact', 'two-stage']),
  source: v.string(),
  vector: v.string(),
  compact: v.string(),
  inputDim: v.number(),
  outputDim: v.number(),
  distance: v.string(),
  datatype: v.exactOptional(v.picklist(DATATYPES)),
  quantization: v.exactOptional(v.picklist(QUANTIZATIONS)),
  hnswM: v.exactOptional(v.number()),
});

/** Returns the description in a collection's metadata; null if the collection is not a migration's target. */
export function targetDescription(spec: CollectionSpec): TargetDescription | null {
  const text = spec.metadata[METADATA_KEY];
  if (text === undefined) return null;
  const value: unknown = JSON.parse(text);
  return v.is(DESCRIPTION, value) ? value : null;
}

/**
 * Returns the name of the hidden vector that an earlier migration made from the full vector `vectorName`: the
 * compact vector of a two-stage target. Null for any other vector or collection.
 */
export function hiddenVectorOf(spec: CollectionSpec, vectorName: string): string | null {
  const description = targetDescription(spec);
  if (description?.layout !== 'two-stage' || description.vector !== vectorName) return null;
  const { compact } = description;
  return spec.vectors.some(({ name }) => name === compact) ? compact : null;
}

/** Returns where the target's metadata says that the migration state is kept; null if it does not say. */
export function stateBackendOf({ metadata }: CollectionSpec): StateBackend | null {
  const text = metadata[STATE_BACKEND_KEY];
  const value: unknown = text === undefined ? null : JSON.parse(text);
  return value === 'file' || value === 'database' ? value : null;
}

/** Returns whether a journal of clients' writes belongs to the target, which may lack some without it. */
export function keepsJournal({ metadata }: CollectionSpec): boolean {
  return metadata[JOURNAL_KEY] === 'true';
}

/**
 * Returns the part of the metadata that identifies the collection: a target's description, or without one
 * everything except the keys of the migration state and the journal.
 */
export function identifying(metadata: CollectionSpec['metadata']): CollectionSpec['metadata'] {
  const description = metadata[METADATA_KEY];
  if (description !== undefined) return { [METADATA_KEY]: description };
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => key !== STATE_BACKEND_KEY && key !== JOURNAL_KEY),
  );
}
