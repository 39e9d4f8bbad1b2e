import type { Layout } from './collection.js';

/** Default values that several parts of the product share. A setting or option of the same name changes each. */

/** Points per request. */
export const REQUEST_POINTS = 256;
/** Ids per request that reads points by their ids for training or evaluation. */
export const REQUEST_IDS = 500;
/** Ranges of a collection that are copied at the same time. */
export const COPY_CONCURRENCY = 3;
/** Longest wait for one answer of the database. */
export const ANSWER_TIMEOUT_MS = 60_000;
/** Longest wait for the first answer, so that a wrong address is named at once. */
export const CONNECT_TIMEOUT_MS = 1_300;
/** Layout of a target: results are ordered by full vectors, so search finds nearly what it found before. */
export const DEFAULT_LAYOUT: Layout = 'two-stage';
/** Two-stage layout: first-stage results per requested result. */
export const OVERSAMPLING = 10;
/** Two-stage layout: first-stage results that `evaluate` rescores for each query. */
export const RESCORE = 100;

/** Limits of the proxy. */
export const SERVE_LIMITS = {
  /** Requests at the same time. */
  requestsMax: 1024,
  /** Bytes that all requests of a process hold together. */
  bytesInFlightMax: 512 * 1024 ** 2,
  /** Largest REST body to a served collection: the server's own limit. */
  restBodyBytesMax: 32 * 1024 ** 2,
  /** Largest gRPC message. */
  grpcMessageBytesMax: 64 * 1024 ** 2,
  /** Longest silence of the database while it should answer a client. */
  upstreamTimeoutMs: 300_000,
  /** Longest silence of a client in the middle of a request or answer. */
  clientTimeoutMs: 120_000,
} as const;
