// Searches through the proxy with the official gRPC client.
// npm install @qdrant/js-client-grpc
import { readFile } from 'node:fs/promises';
import { QdrantClient } from '@qdrant/js-client-grpc';

const client = new QdrantClient({
  url: process.env.PROXY_GRPC_URL ?? 'http://localhost:6434',
  apiKey: process.env.QDRANT_API_KEY,
});
const data = JSON.parse(await readFile('query.json', 'utf8'));
const { result } = await client.api('points').query({
  collectionName: 'docs',
  query: { variant: { case: 'nearest', value: { variant: { case: 'dense', value: { data } } } } },
  limit: 3n,
});
for (const { id, score } of result) console.log(String(id.pointIdOptions.value), score.toFixed(4));
