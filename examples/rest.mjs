// Searches through the proxy with the official REST client: only the address differs from a program without the proxy.
// npm install @qdrant/js-client-rest
import { readFile } from 'node:fs/promises';
import { QdrantClient } from '@qdrant/js-client-rest';

const client = new QdrantClient({
  url: process.env.PROXY_URL ?? 'http://localhost:6433',
  apiKey: process.env.QDRANT_API_KEY,
});
const query = JSON.parse(await readFile('query.json', 'utf8'));
const { points } = await client.query('docs', { query, limit: 3 });
for (const { id, score } of points) console.log(id, score.toFixed(4));
