import type { Distance } from '../../core/distance.js';
import type { TargetDescription } from '../target-description.js';
import type { VectorSource } from '../vector-source.js';

/** What a database has to know of an encoder, to find its function. */
export interface EncoderInDatabase {
  readonly fingerprint: string;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly compactDistance: Distance;
}

/** A collection that is its own compact form, since its compact vectors stand beside the full ones. */
export interface CompactForm {
  readonly description: TargetDescription;
  /** What people should know of its searches. */
  readonly notes: readonly string[];
  /** What people must know, since clients may notice it. */
  readonly warnings: readonly string[];
  /** Whether a migration keeps the compact vectors up to date. */
  readonly isMigrated: boolean;
  /** Bytes of the indexes on full vectors and of the one on compact vectors; null if one of them is missing. */
  readonly indexBytes: { readonly before: number; readonly after: number } | null;
}

/** A store whose database computes encoders, or keeps what they computed. */
export interface ProjectingSource extends VectorSource {
  /**
   * Returns how a collection is searched by compact vectors. From then on, `search` takes the name of the compact vector
   * of the description. Without a name of the vector, it is the collection's only one.
   * @throws NOT_FOUND when the database does not have the encoder; INVALID_ARGUMENT while compact vectors are not all written
   */
  compactForm(
    collection: string,
    of: { readonly vectorName: string | undefined; readonly encoder: EncoderInDatabase },
  ): Promise<CompactForm>;
}

/** Returns whether the database of a store computes encoders. */
export function isProjecting(store: VectorSource): store is ProjectingSource {
  return 'compactForm' in store;
}
