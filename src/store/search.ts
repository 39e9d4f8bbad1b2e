import type { PointId } from '../core/point-id.js';
import type { InPartition } from './points.js';

/** How a search uses quantisation codes: it fetches `oversampling` times the limit, rescored by vectors. */
export interface QuantizedSearch {
  readonly rescore: boolean;
  readonly oversampling?: number;
}

/** A search of one vector, with or without a first stage. */
export interface SearchRequest extends InPartition {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly withPayload?: boolean;
  /** Compare with every vector; do not use the index. */
  readonly exact?: boolean;
  /** If absent, the store decides. */
  readonly quantized?: QuantizedSearch | undefined;
  /** First stage: a search of another vector, whose results are rescored by `vector` above. */
  readonly prefetch?: Prefetch;
}

/** The first stage of a two-stage search. */
export interface Prefetch {
  readonly vectorName: string;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly quantized?: QuantizedSearch | undefined;
}

/** A result of a search. */
export interface ScoredPoint {
  readonly id: PointId;
  readonly score: number;
  /** The payload as JSON text, with every number as the store holds it. */
  readonly payloadJson?: string;
}
