// Trains an encoder on the collection `docs` and migrates it into `docs_trained`.
// npm install qdrant-tldr
import { migrateCollection, trainEncoder } from 'qdrant-tldr';
import { openQdrant } from 'qdrant-tldr/qdrant';

const store = await openQdrant({
  url: process.env['QDRANT_URL'] ?? 'http://localhost:6333',
  grpcUrl: process.env['QDRANT_TLDR_GRPC_URL'],
  apiKey: process.env['QDRANT_API_KEY'],
});
const sample = await store.sample('docs', { vectorName: '', size: 50_000 });
const { encoder, report } = await trainEncoder(sample.vectors, {
  dim: 96,
  distance: 'cosine',
  budgetSeconds: Number(process.env['BUDGET_SECONDS'] ?? 120),
});
if (encoder === null || report === null) throw new Error('stopped');
console.log(`${report.shipped} is the best candidate`);

const { verify } = await migrateCollection({
  source: store,
  target: store,
  sourceCollection: 'docs',
  targetCollection: 'docs_trained',
  encoder,
  layout: 'two-stage',
  statePath: 'docs--docs_trained.json', // run it again with the same file after a crash
});
console.log(`${verify.points} points were copied and verified`);
await store.close();
