import type { Matrix } from '../../core/matrix.js';
import type { RunOptions } from '../../core/run-options.js';
import type { InPlaceTarget } from '../in-place-target.js';

/** A way of searching the demo's collection. */
export interface DemoSearch {
  /** What is searched, in the database's own words. */
  readonly indexed: string;
  readonly indexBytes: number;
  /** First-stage results that are ordered by full vectors; null for one pass. */
  readonly rescored: number | null;
  /** Whether it searches compact vectors. */
  readonly isCompact: boolean;
  /** Returns the numbers of the nearest points. */
  readonly find: (query: Float32Array, limit: number) => Promise<readonly number[]>;
}

/** A database in which the demo has a collection of its own. */
export interface DemoDatabase {
  readonly store: InPlaceTarget;
  /** The demo's collection. */
  readonly collection: string;
  /** Returns the database and its version, for people. */
  version(): Promise<string>;
  /**
   * Makes the collection, with points that are numbered from 0, and the indexes that need no encoder.
   * @throws ALREADY_EXISTS if its name is taken by something that is not the demo's
   */
  fill(
    points: { readonly vectors: Matrix; readonly texts: readonly string[] },
    run: RunOptions,
  ): Promise<void>;
  /** Returns the ways of searching after a migration. */
  searches(): Promise<readonly DemoSearch[]>;
  /** Removes the collection of this or an earlier demo, with its migration. @throws ALREADY_EXISTS as `fill` */
  remove(): Promise<void>;
  close(): Promise<void>;
}
