import { openQdrant } from '../../../adapters/qdrant/index.js';
import { copyShare } from '../../../src/migrate/run/copy-share.js';
import { stateFile } from '../../../src/migrate/state/in-file.js';
import { tinyEncoder } from './fixtures.js';

/** One of several workers in a process of its own, to be killed: prints a line for every step of progress. */
const [url = '', grpcUrl = '', target = '', statePath = '', index = '', of = ''] = process.argv.slice(2);
const store = await openQdrant({ url, grpcUrl });
const report = await copyShare({
  source: store,
  target: store,
  sourceCollection: 'source',
  targetCollection: target,
  encoder: tinyEncoder(),
  layout: 'two-stage',
  place: stateFile(statePath),
  share: { index: Number(index), of: Number(of) },
  batchSize: 40,
  concurrency: 1,
  saveIntervalMs: 0,
  onProgress: ({ step, done }) => process.stdout.write(`${step} ${done}\n`),
});
process.stdout.write(`copied ${report.copied} ${report.last === null ? 'one' : 'last'}\n`);
await store.close();
