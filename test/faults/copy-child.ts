import { openQdrant } from '../../adapters/qdrant/index.js';
import { isTldrError, messageOf } from '../../src/core/errors.js';
import { copyShare } from '../../src/migrate/run/copy-share.js';
import { startMigration } from '../../src/migrate/run/migrate-collection.js';
import type { PlacedMigration } from '../../src/migrate/plan/migration-options.js';
import { stateFile } from '../../src/migrate/state/in-file.js';
import { tinyEncoder } from '../support/migrate/fixtures.js';

/** A migration, or one of several workers of one, in a process of its own: prints a line at every step. */
const [url = '', grpcUrl = '', source = '', target = '', statePath = '', index = '', of = ''] =
  process.argv.slice(2);
try {
  const store = await openQdrant({ url, grpcUrl });
  const options: PlacedMigration = {
    source: store,
    target: store,
    sourceCollection: source,
    targetCollection: target,
    encoder: tinyEncoder(),
    layout: 'two-stage',
    place: stateFile(statePath),
    batchSize: 64,
    concurrency: 1,
    saveIntervalMs: 0,
    onProgress: ({ step, done }) => void process.stdout.write(`${step} ${done}\n`),
  };
  const share = { index: Number(index), of: Number(of) };
  await (share.of === 1 ? startMigration(options) : copyShare({ ...options, share }));
  await store.close();
} catch (error) {
  // Clients write meanwhile: what they wrote is not in the target before the copy is over.
  if (!isTldrError(error, 'VERIFY_FAILED')) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
