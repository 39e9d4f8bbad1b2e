// Writes a point with a full-size vector through the proxy, which stores the full and the compact vector, and finds it.
// npm install @qdrant/js-client-rest
import { readFile } from 'node:fs/promises';
import { QdrantClient } from '@qdrant/js-client-rest';

const client = new QdrantClient({
  url: process.env.PROXY_URL ?? 'http://localhost:6433',
  apiKey: process.env.QDRANT_API_KEY,
});
const vector = JSON.parse(await readFile('query.json', 'utf8'));
const id = 1_000_000;
await client.upsert('docs', { wait: true, points: [{ id, vector, payload: { content: 'a new text' } }] });
const { points } = await client.query('docs', { query: vector, limit: 3, with_payload: true });
for (const { id, score, payload } of points) console.log(id, score.toFixed(4), payload?.content);
await client.delete('docs', { wait: true, points: [id] });
