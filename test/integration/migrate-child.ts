import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { migrateCollection } from '../../src/migrate/migrate-collection.js';
import { tinyEncoder } from '../migrate/fixtures.js';

/** A migration in a process of its own, to be killed: prints a line per acknowledged batch. */
const [url = '', grpcUrl = '', target = '', recordPath = ''] = process.argv.slice(2);
const store = await openQdrant({ url, grpcUrl });
await migrateCollection({
  source: store,
  target: store,
  sourceCollection: 'source',
  targetCollection: target,
  encoder: tinyEncoder(),
  layout: 'two-stage',
  recordPath,
  batchSize: 40,
  onProgress: ({ step, done }) => process.stdout.write(`${step} ${done}\n`),
});
await store.close();
