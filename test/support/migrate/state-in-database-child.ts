import { openQdrant } from '../../../adapters/qdrant/index.js';
import { isTldrError } from '../../../src/core/errors.js';
import { startMigration } from '../../../src/migrate/run/migrate-collection.js';
import { stateInDatabase } from '../../../src/migrate/state/in-database.js';
import { tinyEncoder } from './fixtures.js';

/** A migration whose state lies in the server, in a process of its own: prints every step of progress, and its end. */
const [url = '', grpcUrl = '', target = '', encoderFile = ''] = process.argv.slice(2);
const store = await openQdrant({ url, grpcUrl });
const states = store.state;
try {
  const { copied } = await startMigration({
    source: store,
    target: store,
    sourceCollection: 'source',
    targetCollection: target,
    encoder: tinyEncoder(),
    encoderFile,
    layout: 'two-stage',
    place: stateInDatabase(states, { source: 'source', target }, { renewMs: 100 }),
    batchSize: 20,
    concurrency: 1,
    saveIntervalMs: 0,
    onProgress: ({ step, done }) => process.stdout.write(`${step} ${done}\n`),
  });
  process.stdout.write(`copied ${copied}\n`);
} catch (error) {
  process.stdout.write(isTldrError(error) ? `${error.code} ${error.message}\n` : `${String(error)}\n`);
}
await store.close();
