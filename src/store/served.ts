import type { Distance } from '../core/distance.js';
import type { Matrix } from '../core/matrix.js';
import type { Layout } from './vector-store.js';

/** What turns full vectors into compact ones; an `Encoder` is one. */
export interface VectorProjector {
  readonly inputDim: number;
  readonly outputDim: number;
  readonly fingerprint: string;
  /** Stored points: n x inputDim to n x outputDim. */
  project(x: Matrix): Matrix;
  /** Queries: n x inputDim to n x outputDim. */
  projectQueries(x: Matrix): Matrix;
}

/** Everything about a served collection that is plain data. */
export interface ServedFacts {
  /** What clients call it: the configured name first, then the store's aliases of the target. */
  readonly names: readonly string[];
  /** The collection that holds the compact vectors; equal to the first name where an alias leads there. */
  readonly target: string;
  readonly layout: Layout;
  /** The reduced vector as clients know it ('' for the default one); full in the two-stage layout. */
  readonly vector: string;
  /** The vector that holds the compact ones; equal to `vector` in the compact layout. */
  readonly compact: string;
  /** Distance of the full space, which clients believe in. */
  readonly distance: Distance;
  readonly inputDim: number;
  readonly outputDim: number;
  /** Bytes of one stored component of a compact vector. */
  readonly componentBytes: number;
  /** Every vector that clients may see, dense or not, `vector` among them and a hidden `compact` not. */
  readonly visibleVectors: readonly string[];
  /** Two-stage layout: candidates fetched per wanted result. */
  readonly oversampling: number;
  /** No more candidates than this: a limit that the server enforces, Infinity without one. */
  readonly candidatesMax: number;
  /** Two-stage layout: false where exact searches of clients are refused, though the target itself allows them. */
  readonly allowsExact: boolean;
  /** Compact layout: thresholds compare with compact scores; they pass, or the request is refused. */
  readonly scoreThreshold: 'pass' | 'refuse';
  /** Compact layout: what asking for stored vectors gives: a refusal, or the compact vectors. */
  readonly vectorAnswers: 'refuse' | 'compact';
}

/** A collection that clients use at full size while it is kept, or searched, in a compact space. */
export interface ServedCollection extends ServedFacts {
  readonly projector: VectorProjector;
}
