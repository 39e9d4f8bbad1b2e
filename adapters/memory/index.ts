export { openMemory } from './store.js';
