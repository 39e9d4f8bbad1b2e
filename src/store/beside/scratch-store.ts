import { TldrError } from '../../core/errors.js';
import { isCopyTarget, type CopyTarget, type PointCodec } from '../copy-target.js';
import type { SearchRequest } from '../search.js';
import type { RunOptions } from '../../core/run-options.js';
import type { CollectionSpec, StorageKind } from '../collection.js';
import type { ScratchVector, Storage } from '../storage.js';
import type { VectorSource } from '../vector-source.js';

/** How a store keeps compact vectors beside full ones, where indexes hold the vectors that they search. */
export interface CompactBeside {
  /** Returns why no index can hold such a vector, for people; null if one can. Pure. */
  readonly refusal: (vector: ScratchVector) => string | null;
  /** The store's own words for kinds of storage. */
  readonly names: Partial<Readonly<Record<StorageKind, string>>>;
}

/** A store that holds temporary collections, in which `plan` measures. Every store for copies is one. */
export interface ScratchStore
  extends
    Pick<VectorSource, 'kind' | 'endpoint' | 'listCollections' | 'exists' | 'describe' | 'search' | 'close'>,
    Pick<CopyTarget, 'capabilities' | 'create' | 'upsert' | 'finishBulkLoad'> {
  readonly codec: Pick<PointCodec, 'pack'>;
  readonly storage?: Omit<Storage, 'estimate'>;
  /**
   * Present if the full vectors always stay where they are and compact ones are kept beside them. What a search needs
   * in memory is then the index alone, or the full vectors if there is none.
   */
  readonly beside?: CompactBeside;
  /**
   * Ends the bulk load as `finishBulkLoad` does, within a time. Returns the names of the vectors that no time was left for,
   * and which cannot be searched: at most all but one. If absent, the store cannot leave vectors out.
   */
  finishWithin?(
    spec: CollectionSpec,
    run: RunOptions & { readonly seconds: number },
  ): Promise<readonly string[]>;
  /** Checks that temporary collections can be made, before a long work that needs one. @throws FORBIDDEN */
  checkRights?(): Promise<void>;
  /** Returns how long a search takes by the server's own clock, in milliseconds. If absent, the store cannot say. */
  timeSearch?(collection: string, request: SearchRequest): Promise<number>;
}

/** A store that is only read, with temporary collections for measurements. */
export interface ScratchSource extends VectorSource {
  /** Opens the temporary collections. The caller closes them. */
  openScratch(): ScratchStore;
}

/** Returns whether a plan can measure in a store. */
export function canMeasure(store: VectorSource): store is ScratchSource | CopyTarget {
  return isCopyTarget(store) || 'openScratch' in store;
}

/**
 * Runs `body` with the temporary collections of a store.
 * @throws UNSUPPORTED when the store can have none
 */
export async function withScratchOf<T>(
  store: VectorSource,
  body: (scratch: ScratchStore) => Promise<T>,
): Promise<T> {
  if (!canMeasure(store))
    throw new TldrError('UNSUPPORTED', `a ${store.kind} store has no temporary collections to measure in`);
  if (isCopyTarget(store)) return body(store);
  const scratch = store.openScratch();
  try {
    return await body(scratch);
  } finally {
    await scratch.close();
  }
}
