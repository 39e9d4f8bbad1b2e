import type { CollectionSpec, Datatype, Layout, Quantization } from './vector-store.js';

/** Key of the target's metadata that says what the collection is; read by search, by serving and by later runs. */
export const METADATA_KEY = 'tldr';

/** Key of the target's metadata that says where its migration's record is kept; not part of what the target is. */
export const RECORD_KEY = 'tldr-record';

/** Key of the target's metadata that says that a proxy keeps a journal of the writes for it. */
export const JOURNAL_KEY = 'tldr-journal';

/** Where the record of a migration is kept: on a machine, or in the target's own database. */
export type StateBackend = 'file' | 'database';

/** What the target's metadata says about itself. */
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
  /** Present where they were chosen rather than taken over from the source. */
  readonly datatype?: Datatype;
  readonly quantization?: Quantization;
}

/** What a collection's metadata says about it as a migration's target, or null for any other collection. */
export function targetDescription(spec: CollectionSpec): TargetDescription | null {
  const text = spec.metadata[METADATA_KEY];
  if (text === undefined) return null;
  const value: unknown = JSON.parse(text);
  return isDescription(value) ? value : null;
}

/** Where a target says that its migration's record is kept; null for one that does not say. */
export function recordKept({ metadata }: CollectionSpec): StateBackend | null {
  const text = metadata[RECORD_KEY];
  const value: unknown = text === undefined ? null : JSON.parse(text);
  return value === 'file' || value === 'database' ? value : null;
}

/** Whether a target says that a journal of its clients' writes is kept, without which it may lack some. */
export function keepsJournal({ metadata }: CollectionSpec): boolean {
  return metadata[JOURNAL_KEY] === 'true';
}

/** The part that says which collection it is: a target's description, or without one all but where its record is. */
export function identifying(metadata: CollectionSpec['metadata']): CollectionSpec['metadata'] {
  const description = metadata[METADATA_KEY];
  if (description !== undefined) return { [METADATA_KEY]: description };
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => key !== RECORD_KEY && key !== JOURNAL_KEY),
  );
}

function isDescription(value: unknown): value is TargetDescription {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return (
    fields.get('format') === 1 &&
    ['encoder', 'layout', 'source', 'vector', 'compact', 'distance'].every(
      (name) => typeof fields.get(name) === 'string',
    ) &&
    ['inputDim', 'outputDim'].every((name) => typeof fields.get(name) === 'number')
  );
}
