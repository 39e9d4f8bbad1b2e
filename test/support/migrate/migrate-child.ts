import { openQdrant } from '../../../adapters/qdrant/index.js';
import { migrateCollection } from '../../../src/migrate/run/migrate-collection.js';
import { tinyEncoder } from './fixtures.js';

/** A migration in a process of its own, to be killed: prints a line for every step of progress. */
const [url = '', grpcUrl = '', target = '', statePath = ''] = process.argv.slice(2);
const store = await openQdrant({ url, grpcUrl });
const report = await migrateCollection({
  source: store,
  target: store,
  sourceCollection: 'source',
  targetCollection: target,
  encoder: tinyEncoder(),
  layout: 'two-stage',
  statePath,
  batchSize: 40,
  saveIntervalMs: 0,
  onProgress: ({ step, done }) => process.stdout.write(`${step} ${done}\n`),
});
process.stdout.write(`copied ${report.copied}\n`);
await store.close();
