import type pg from 'pg';
import type { Connections } from '../../adapters/pgvector/connect/connections.js';
import { demoSearches } from '../../adapters/pgvector/demo/searches.js';
import { objectsOf, type MigrationFacts } from '../../adapters/pgvector/migrate/objects.js';
import { readMigrations } from '../../adapters/pgvector/migrate/state-table.js';
import { copyInto } from '../../adapters/pgvector/plan/copy-into.js';
import { encoderId } from '../../adapters/pgvector/sql/encoder-script.js';
import type { PgvectorStore } from '../../adapters/pgvector/store.js';
import { expectDefined } from '../../src/core/errors.js';
import { row, rowRange, type Matrix } from '../../src/core/matrix.js';
import type { Encoder } from '../../src/encoder/model.js';
import { percentile } from '../../src/evaluate/ranking.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import type { DemoSearch } from '../../src/store/adapter.js';
import { treeCpuSecondsOf } from '../processes.js';
import type { SyntheticRows } from './rows.js';

const TABLE = 'docs';
const COLUMN = 'v';
const INDEXES = { full: 'docs_full', bits: 'docs_bits' } as const;
const LOAD_ROWS = 1_000;
const FILL_ROWS = 1_000;
const UPDATE_ROWS = 500;
const TOP = 10;
const LOCK_WAIT_MS = 2_000;

/** The server under test. */
export interface Bench {
  readonly connections: Connections;
  readonly store: PgvectorStore;
  readonly serverPid: number;
}

/** Time for some rows, and the processor time of the server. */
export interface Work {
  readonly rows: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** An index that was built. */
export interface BuiltIndex extends Work {
  readonly bytes: number;
}

/** The table of compact vectors. */
export interface SideTable {
  readonly fill: Work;
  readonly index: BuiltIndex;
  readonly verify: Work;
  /** Bytes of the table and its key, without the index of the compact vectors. */
  readonly tableBytes: number;
}

/** One way of searching. */
export interface MeasuredSearch extends Pick<DemoSearch, 'indexed' | 'indexBytes' | 'rescored'> {
  readonly latencyMsP50: number;
  readonly latencyMsP95: number;
  readonly cpuMs: number;
  readonly recallAt10: number;
}

async function timed({ serverPid }: Bench, rows: number, body: () => Promise<unknown>): Promise<Work> {
  const [cpu, begunAtMs] = [treeCpuSecondsOf(serverPid), performance.now()];
  await body();
  const seconds = (performance.now() - begunAtMs) / 1000;
  return { rows, seconds, cpuSeconds: treeCpuSecondsOf(serverPid) - cpu };
}

async function withClient<T>({ connections }: Bench, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connections.openClient();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

async function numberOf(client: pg.Client, expression: string): Promise<number> {
  const { rows } = await client.query<{ value: string }>(`select (${expression})::text as value`);
  return Number(expectDefined(rows[0], 'a row').value);
}

/** Returns the versions of server and extension. */
export async function versionsOf(bench: Bench): Promise<string> {
  return withClient(bench, async (client) => {
    await client.query('create extension if not exists vector');
    const { rows } = await client.query<{ server: string; extension: string }>(
      `select split_part(current_setting('server_version'), ' ', 1) as server, (select extversion from pg_extension where extname = 'vector') as extension`,
    );
    const { server, extension } = expectDefined(rows[0], 'the versions');
    return `PostgreSQL ${server}, pgvector ${extension}`;
  });
}

/** Makes the table again and copies the points into it. */
export async function loadRows(bench: Bench, points: Matrix): Promise<Work> {
  return withClient(bench, async (client) => {
    await client.query(`drop table if exists ${TABLE} cascade`);
    await client.query(
      `create table ${TABLE} (id bigint primary key, ${COLUMN} vector(${points.cols}) not null)`,
    );
    return timed(bench, points.rows, async () => {
      for (let start = 0; start < points.rows; start += LOAD_ROWS) {
        const part = rowRange(points, start, Math.min(points.rows, start + LOAD_ROWS));
        const ids = Array.from({ length: part.rows }, (_, i) => BigInt(start + i));
        await copyInto(client, TABLE, ids, part);
      }
      await client.query(`analyze ${TABLE}`);
    });
  });
}

/** Builds an index that needs no encoder. */
export async function buildIndex(
  bench: Bench,
  which: keyof typeof INDEXES,
  dim: number,
): Promise<BuiltIndex> {
  const form =
    which === 'full'
      ? `${COLUMN} vector_cosine_ops`
      : `(binary_quantize(${COLUMN})::bit(${dim})) bit_hamming_ops`;
  const name = INDEXES[which];
  return withClient(bench, async (client) => {
    await client.query(`drop index if exists ${name}`);
    const rows = await numberOf(client, `select count(*) from ${TABLE}`);
    const work = await timed(bench, rows, () =>
      client.query(`create index ${name} on ${TABLE} using hnsw (${form})`),
    );
    return { ...work, bytes: await numberOf(client, `pg_relation_size('${name}')`) };
  });
}

/** Migrates the table in place, as `migrate start` does, and times its phases. */
export async function fillSideTable(bench: Bench, encoder: Encoder): Promise<SideTable> {
  const request = { collection: TABLE, vectorName: COLUMN, datatype: undefined, hnswM: undefined };
  const file = encoder.toBytes();
  const work = await bench.store.inPlace.begin({ ...request, encoder: file }, { lockWaitMs: LOCK_WAIT_MS });
  try {
    await work.install();
    let filled = 0;
    const fill = await timed(bench, 0, async () => {
      for (let isOver = false; !isOver;) {
        const done = await work.fillNext(FILL_ROWS);
        filled += done.rows;
        isOver = done.isOver;
      }
    });
    const index = await timed(bench, filled, () => work.buildIndex());
    const verify = await timed(bench, filled, () => work.verify({}));
    const { index: indexName, side } = objectsOf(await factsOf(bench));
    return await withClient(bench, async (client) => ({
      fill: { ...fill, rows: filled },
      index: { ...index, bytes: await numberOf(client, `pg_relation_size('${indexName}')`) },
      verify,
      tableBytes: await numberOf(
        client,
        `pg_total_relation_size('${side}') - pg_relation_size('${indexName}')`,
      ),
    }));
  } finally {
    await work.release();
  }
}

async function factsOf({ connections }: Bench): Promise<MigrationFacts> {
  const [stored] = await connections.read(({ query }) =>
    readMigrations(query, { schema: 'public', table: TABLE }),
  );
  return expectDefined(stored, 'the migration').facts;
}

/** Searches in every way, in rounds, so that a change of the machine's speed meets all of them. */
export async function searchAllWays(
  bench: Bench,
  { points, queries }: SyntheticRows,
  { rounds }: { readonly rounds: number },
): Promise<readonly MeasuredSearch[]> {
  const truth = await exactTopK(points, queries, { k: TOP, distance: 'cosine' });
  const searches = await demoSearches(bench.connections, await factsOf(bench), INDEXES);
  const times = searches.map(() => ({ ms: [] as number[], cpuSeconds: 0, found: 0 }));
  for (let round = -1; round < rounds; round++)
    for (const [i, search] of searches.entries()) {
      const own = expectDefined(times[i], 'the times of a search');
      const ms: number[] = [];
      let found = 0;
      const { cpuSeconds } = await timed(bench, queries.rows, async () => {
        for (let q = 0; q < queries.rows; q++) {
          const nearest = new Set(truth.subarray(q * TOP, (q + 1) * TOP));
          const begunAtMs = performance.now();
          const ids = await search.find(row(queries, q), TOP);
          ms.push(performance.now() - begunAtMs);
          found += ids.filter((id) => nearest.has(id)).length;
        }
      });
      // The first round warms up.
      if (round < 0) continue;
      own.ms.push(...ms);
      own.cpuSeconds += cpuSeconds;
      own.found += found;
    }
  return searches.map(({ indexed, indexBytes, rescored }, i) => {
    const { ms, cpuSeconds, found } = expectDefined(times[i], 'the times of a search');
    return {
      indexed,
      indexBytes,
      rescored,
      latencyMsP50: percentile(ms, 50),
      latencyMsP95: percentile(ms, 95),
      cpuMs: (1000 * cpuSeconds) / ms.length,
      recallAt10: found / (ms.length * TOP),
    };
  });
}

/** Writes compact vectors into a column of the table itself, whose full vectors have an index. */
export async function updateColumn(bench: Bench, encoder: Encoder, most: number): Promise<Work> {
  const project = `tldr."project_${encoderId(encoder.fingerprint)}"`;
  return withClient(bench, async (client) => {
    // The triggers of the migration and the other index belong to other rows of the table.
    await client.query(
      `alter table ${TABLE} disable trigger user; drop index if exists ${INDEXES.bits}; alter table ${TABLE} add column if not exists z halfvec(${encoder.outputDim})`,
    );
    const rows = Math.min(most, await numberOf(client, `select count(*) from ${TABLE}`));
    return timed(bench, rows, async () => {
      for (let start = 0; start < rows; start += UPDATE_ROWS)
        await client.query(
          `update ${TABLE} set z = ${project}(${COLUMN})::halfvec(${encoder.outputDim}) where id >= ${start} and id < ${Math.min(rows, start + UPDATE_ROWS)}`,
        );
    });
  });
}
