import { Encoder, matrix, trainEncoder } from '../src/index.js';
import { checkZstdBodies } from './support/serve/check-zstd-bodies.js';

/** Loads the package as built, trains something tiny, saves, projects: run on every supported Node version. */
const ROWS = 400;
const DIMS = 32;
const x = matrix(ROWS, DIMS);
for (let i = 0; i < x.data.length; i++)
  x.data[i] = Math.sin(i * 12.9898) + (i % DIMS < 8 ? Math.cos(Math.floor(i / DIMS)) : 0);
const { encoder } = await trainEncoder(x, { dim: 8, seed: 1, steps: 5, nNeighbors: 5 });
if (encoder === null) throw new Error('training did not finish');
const z = Encoder.fromBytes(encoder.toBytes()).project(x);
if (z.rows !== ROWS || z.cols !== 8 || !z.data.every(Number.isFinite)) throw new Error('projection is wrong');
// The approximate index is a native addon: it must load on this version, too.
const { buildKnnGraph } = await import('../src/index.js');
const graph = await buildKnnGraph(x, { k: 5, distance: 'cosine', seed: 1, method: 'hnsw' });
if (graph.recall < 0.9) throw new Error(`neighbour recall ${graph.recall}`);
// Every entry of the package, as others import it.
const entries: readonly (readonly [string, string])[] = [
  ['qdrant-tldr', 'trainEncoder'],
  ['qdrant-tldr/qdrant', 'openQdrant'],
  ['qdrant-tldr/pgvector', 'openPgvector'],
  ['qdrant-tldr/memory', 'openMemory'],
  ['qdrant-tldr/testing', 'contractCases'],
];
for (const [entry, name] of entries) {
  const exported: object = (await import(entry)) as object;
  if (!(name in exported)) throw new Error(`${entry} does not export ${name}`);
}
// Only newer versions read and write zstd.
process.stdout.write(`${await checkZstdBodies()}\n`);
process.stdout.write(`smoke test passed on Node ${process.version}\n`);
