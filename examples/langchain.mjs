// Searches through the proxy with LangChain's vector store.
// npm install @langchain/qdrant @langchain/core
import { readFile } from 'node:fs/promises';
import { QdrantVectorStore } from '@langchain/qdrant';
import { FakeEmbeddings } from '@langchain/core/utils/testing';

// Put your own embedding model here.
class Embeddings extends FakeEmbeddings {
  async embedQuery() {
    return JSON.parse(await readFile('query.json', 'utf8'));
  }
}

const store = await QdrantVectorStore.fromExistingCollection(new Embeddings(), {
  url: process.env.PROXY_URL ?? 'http://localhost:6433',
  apiKey: process.env.QDRANT_API_KEY,
  collectionName: 'docs',
});
const found = await store.similaritySearchWithScore('a question', 3);
for (const [document, score] of found) console.log(document.pageContent, score.toFixed(4));
