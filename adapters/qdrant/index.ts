/**
 * Connects to Qdrant, and wraps its official REST client.
 * @module qdrant-tldr/qdrant
 */
export { openQdrant, serverAddresses, type OpenQdrantOptions } from './open.js';
export type { QdrantStore } from './store/qdrant-store.js';
export {
  withProjection,
  type ProjectableClient,
  type ProjectedCollection,
  type ProjectionOptions,
} from './client/with-projection.js';
export type { RetryOptions } from './transport/retry.js';
