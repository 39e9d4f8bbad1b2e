/**
 * Keeps points in memory, for tests.
 * @module qdrant-tldr/memory
 */
export { openMemory, type MemoryStore } from './store.js';
