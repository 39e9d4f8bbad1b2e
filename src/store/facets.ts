import { TldrError } from '../core/errors.js';
import type { CollectionNames, CopyTarget, HidingNames } from './copy-target.js';
import type { VectorSource } from './vector-source.js';

/**
 * Returns a facet that the caller cannot do without.
 * @param what what the store lacks, in the words of an error
 * @throws UNSUPPORTED when the store lacks it
 */
export function needed<Facet>(
  facet: Facet | undefined,
  { kind }: Pick<VectorSource, 'kind'>,
  what: string,
): Facet {
  if (facet === undefined) throw new TldrError('UNSUPPORTED', `a ${kind} store has no ${what}`);
  return facet;
}

/** Returns all names that lead to collections of a store, besides the collections' own. */
export async function allNames({ names }: Pick<CopyTarget, 'names'>): Promise<ReadonlyMap<string, string>> {
  return names === undefined ? new Map<string, string>() : names.all();
}

/** @throws UNSUPPORTED when no name of the store can be switched */
export function switchableNames(store: CopyTarget): CollectionNames {
  return needed(store.names, store, 'names that can be switched from one collection to another');
}

/** @throws UNSUPPORTED when a collection's own name cannot lead to another one */
export function hidingNames(store: CopyTarget): HidingNames {
  return needed(store.names?.over, store, "way to let a collection's own name lead to another collection");
}

/** @throws UNSUPPORTED when the store cannot measure the storage of vectors */
export function measurableStorage<Measured extends object>(store: {
  readonly kind: string;
  readonly storage?: Measured;
}): Measured {
  return needed(store.storage, store, 'measurements of the storage that vectors take up');
}
