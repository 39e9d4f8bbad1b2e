// Searches without the proxy: the wrapped client projects each request in this process. It has the same type and calls.
// npm install qdrant-tldr @qdrant/js-client-rest
import { readFile } from 'node:fs/promises';
import { QdrantClient } from '@qdrant/js-client-rest';
import { withProjection } from 'qdrant-tldr/qdrant';

const url = process.env['QDRANT_URL'] ?? 'http://localhost:6333';
const client = await withProjection(new QdrantClient({ url }), {
  collections: { docs: { target: 'docs_small', encoder: 'enc.onnx' } },
});
const query = JSON.parse(await readFile('query.json', 'utf8')) as number[];
const { points } = await client.query('docs', { query, limit: 3 });
for (const { id, score } of points) console.log(id, score.toFixed(4));
