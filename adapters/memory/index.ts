/**
 * Keeps points in memory, for tests.
 * @module qdrant-tldr/memory
 */
export { openMemory } from './store.js';
