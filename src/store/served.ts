import type { Distance } from '../core/distance.js';
import type { Matrix } from '../core/matrix.js';
import type { Layout } from './collection.js';

/** Turns full vectors into compact ones. An `Encoder` is one implementation. */
export interface VectorProjector {
  readonly inputDim: number;
  readonly outputDim: number;
  readonly fingerprint: string;
  /** Projects stored points: n x inputDim to n x outputDim. */
  project(x: Matrix): Matrix;
  /** Projects queries: n x inputDim to n x outputDim. */
  projectQueries(x: Matrix): Matrix;
}

/** Facts about a served collection: plain data, so that worker threads can receive them. */
export interface ServedFacts {
  /** The names that clients use: the configured name first, then the store's aliases of the target. */
  readonly names: readonly string[];
  /** Name of the collection that holds the compact vectors. */
  readonly target: string;
  readonly layout: Layout;
  /** The vector name that clients know ('' for the default). Holds full vectors in the two-stage layout. */
  readonly vector: string;
  /** Name of the vector that holds the compact vectors. Equal to `vector` in the compact layout. */
  readonly compact: string;
  /** Distance of the full space: the one that clients see. */
  readonly distance: Distance;
  readonly inputDim: number;
  readonly outputDim: number;
  /** Bytes of one stored component of a compact vector. */
  readonly componentBytes: number;
  /** Names of all vectors that clients see, dense or not. Includes `vector`, but not a hidden `compact`. */
  readonly visibleVectors: readonly string[];
  /** Two-stage layout: first-stage results per requested result. */
  readonly oversampling: number;
  /** Most first-stage results in one request, as the server enforces it. Infinity without such a limit. */
  readonly candidatesMax: number;
  /** Two-stage layout: false if clients' exact searches are refused although the target allows them. */
  readonly allowsExact: boolean;
  /** Compact layout: clients' score thresholds, which compare with compact scores, pass or are refused. */
  readonly scoreThreshold: 'pass' | 'refuse';
  /** Compact layout: requests for stored vectors are refused, or return the compact vectors. */
  readonly vectorAnswers: 'refuse' | 'compact';
  /** Whether a sample of the vectors that clients search for is kept. */
  readonly recordsQueries?: boolean;
  /** Whether written points and queries are compared with the sample that the encoder was fitted to. */
  readonly comparesWithSample?: boolean;
}

/** A collection that clients use with full vectors while it is stored, or searched, in a compact space. */
export interface ServedCollection extends ServedFacts {
  readonly projector: VectorProjector;
}
