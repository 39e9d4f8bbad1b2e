import { openQdrant } from '../../../adapters/qdrant/index.js';
import { fill } from '../migrate/fixtures.js';

const CONNECTIONS = 8;

/** Connects with the certificates that the environment names, writes and counts: prints the number of points. */
const [url = '', grpcUrl = '', apiKey = ''] = process.argv.slice(2);
const retry = { attempts: 1, firstDelayMs: 1, longestDelayMs: 1 };
const connect = (): ReturnType<typeof openQdrant> =>
  openQdrant({ url, grpcUrl, apiKey, timeoutMs: 10_000, retry });
// Again and again: whether the first call of a connection is sent whole has depended on how fast it came up.
for (let i = 0; i < CONNECTIONS; i++) await (await connect()).close();
const store = await connect();
const params = { vectors: { size: 16, distance: 'Cosine' } };
await store.create({
  name: 'data',
  vectors: [],
  otherVectors: [],
  partitions: [],
  metadata: {},
  native: JSON.stringify({ params }),
});
await fill(store, 'data', 100);
let points = 0;
for await (const { ids } of store.scan('data', { vectorName: '' })) points += ids.length;
process.stdout.write(`${points}\n`);
await store.close();
