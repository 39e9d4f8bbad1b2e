import pg from 'pg';
import { copyInto } from '../../../adapters/pgvector/plan/copy-into.js';
import { rowRange, type Matrix } from '../../../src/core/matrix.js';
import { readNpy } from '../../../src/files/npy.js';
import { firstColumns } from '../train/first-columns.js';
import type { PostgresServer } from './postgres-server.js';

/** The first embeddings of the demo, by as many dimensions. */
export async function demoEmbeddings(rows: number, dim: number): Promise<Matrix> {
  return rowRange(firstColumns(await readNpy('demo/data/base.npy'), dim), 0, rows);
}

/** Makes a table with the columns `id`, `v` and `topic`, and an index on the vectors. */
export async function makeDemoTable(server: PostgresServer, table: string, x: Matrix): Promise<void> {
  await server.sql(
    `create table ${table} (id bigint primary key, v vector(${x.cols}) not null, topic text not null default 'any')`,
  );
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const ids = Array.from({ length: x.rows }, (_, i) => BigInt(i));
  await copyInto(client, table, ids, x);
  await client.end();
  await server.sql(`create index ${table}_full on ${table} using hnsw (v vector_cosine_ops)`);
  await server.sql(`analyze ${table}`);
}
