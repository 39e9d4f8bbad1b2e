/**
 * Connects to PostgreSQL with pgvector.
 * @module qdrant-tldr/pgvector
 */
export { openPgvector, type OpenPgvectorOptions } from './open.js';
export type { PgvectorStore } from './store.js';
