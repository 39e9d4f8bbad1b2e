// Projects the query itself and asks the database for a hundred results by the compact vectors, ordered by the full ones.
// npm install qdrant-tldr @qdrant/js-client-rest
import { readFile } from 'node:fs/promises';
import { QdrantClient } from '@qdrant/js-client-rest';
import { Encoder, matrix } from 'qdrant-tldr';

const client = new QdrantClient({
  url: process.env.QDRANT_URL ?? 'http://localhost:6333',
  apiKey: process.env.QDRANT_API_KEY,
});
const encoder = await Encoder.load('enc.onnx');
const query = JSON.parse(await readFile('query.json', 'utf8'));
const compact = encoder.projectQueries(matrix(1, encoder.inputDim, Float32Array.from(query)));
const { points } = await client.query('docs_small', {
  prefetch: { query: Array.from(compact.data), using: 'compact', limit: 100 },
  query,
  limit: 3,
});
for (const { id, score } of points) console.log(id, score.toFixed(4));
