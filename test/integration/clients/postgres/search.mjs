// Searches a table with one client, as its documentation says, and prints the texts and distances that it finds.
// Usage: node search.mjs <client> <table> <vector as JSON>, with DATABASE_URL.
import pg from 'pg';

const [, , client, table, text] = process.argv;
const vector = JSON.parse(text);
const connectionString = process.env.DATABASE_URL;
const LIMIT = 5;

async function byPg() {
  const connection = new pg.Client({ connectionString });
  await connection.connect();
  const { rows } = await connection.query(
    `select content, embedding <=> $1 as distance from ${table} order by embedding <=> $1 limit $2`,
    [`[${vector.join(',')}]`, LIMIT],
  );
  await connection.end();
  return rows.map(({ content, distance }) => [content, distance]);
}

async function byDrizzle() {
  const { cosineDistance } = await import('drizzle-orm');
  const { drizzle } = await import('drizzle-orm/node-postgres');
  const columns = await import('drizzle-orm/pg-core');
  const pool = new pg.Pool({ connectionString });
  const docs = columns.pgTable(table, {
    content: columns.text('content'),
    embedding: columns.vector('embedding', { dimensions: vector.length }),
  });
  const distance = cosineDistance(docs.embedding, vector);
  const rows = await drizzle(pool)
    .select({ content: docs.content, distance })
    .from(docs)
    .orderBy(distance)
    .limit(LIMIT);
  await pool.end();
  return rows.map((row) => [row.content, Number(row.distance)]);
}

async function byLangChain() {
  const { PGVectorStore } = await import('@langchain/community/vectorstores/pgvector');
  const pool = new pg.Pool({ connectionString });
  const store = new PGVectorStore(
    {},
    {
      pool,
      tableName: table,
      columns: { idColumnName: 'id', contentColumnName: 'content' },
      distanceStrategy: 'cosine',
      skipInitializationCheck: true,
    },
  );
  const found = await store.similaritySearchVectorWithScore(vector, LIMIT);
  await pool.end();
  return found.map(([{ pageContent }, score]) => [pageContent, score]);
}

async function byLlamaIndex() {
  const { PGVectorStore } = await import('@llamaindex/postgres');
  const connection = new pg.Client({ connectionString });
  await connection.connect();
  const store = new PGVectorStore({
    client: connection,
    shouldConnect: false,
    schemaName: 'public',
    tableName: table,
    dimensions: vector.length,
    performSetup: false,
    embeddingModel: {},
  });
  store.setCollection('docs');
  const found = await store.query({ queryEmbedding: vector, similarityTopK: LIMIT, mode: 'default' });
  await connection.end();
  return found.nodes.map((node, i) => [node.text, found.similarities[i]]);
}

const ways = { pg: byPg, Drizzle: byDrizzle, LangChain: byLangChain, LlamaIndex: byLlamaIndex };
console.log(JSON.stringify(await ways[client]()));
