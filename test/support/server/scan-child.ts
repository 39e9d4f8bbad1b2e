import { openQdrant } from '../../../adapters/qdrant/index.js';
import { messageOf } from '../../../src/core/errors.js';
import { sleep } from '../../../src/core/run-options.js';

/** A reader that is stopped while it works on a page and the next one is on its way: prints how the scan ended. */
const [url = '', grpcUrl = ''] = process.argv.slice(2);
const store = await openQdrant({ url, grpcUrl });
const stop = new AbortController();
try {
  for await (const batch of store.scan('data', { vectorName: '', batchSize: 32, signal: stop.signal })) {
    stop.abort();
    await sleep(100);
    process.stdout.write(`worked on ${batch.ids.length} points\n`);
  }
} catch (error) {
  process.stdout.write(`${messageOf(error)}\n`);
}
await store.close();
