import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import pg from 'pg';
import { openPgvector } from '../../../../adapters/pgvector/index.js';
import { Rng } from '../../../../src/core/rng.js';
import { startInPlace } from '../../../../src/migrate/in-place/run.js';
import type { InPlaceChange } from '../../../../src/store/in-place-target.js';
import {
  DIM,
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideOf,
  sideTables,
  startTable,
  urlAs,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';
import { startTransactionPooler } from '../../../support/postgres/transaction-pooler.js';

const postgresTest = await testsOnPostgres('programs');
const ENCODER = linearEncoder();
const rng = new Rng(13);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres('programs');
});
afterAll(async () => {
  await server.stop();
});

const vector = (): string => `'${vectorText(rng)}'`;

/** Makes or replaces a search function over a migrated table. */
function cutOver(table: string, name: string): Promise<InPlaceChange> {
  return withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    try {
      return await work.cutOver({ form: 'function', name, candidates: 100 });
    } finally {
      await work.release();
    }
  });
}

describe('names', () => {
  postgresTest('of columns that the search uses itself', async () => {
    await makeDocuments(server, 'worded', { rows: 20 });
    await server.sql(
      'alter table worded add t text, add s int, add "row" int, add first int, add distance int',
    );
    await server.sql(
      'alter table worded add k1 int, add z int, add v int, add relation int, add compact int',
    );
    await startTable(server.url, 'worded', ENCODER);
    await cutOver('worded', 'find_worded');
    const one = vectorText(rng);
    await server.sql(`insert into worded values (99, 'here', '{}', '${one}', 'a text')`);
    expect(await server.sql(`select id, t from find_worded($1::vector, 1)`, [one])).toEqual([
      { id: 99, t: 'a text' },
    ]);
    await expectEqual(server, { table: 'worded', side: await sideOf(server, 'worded'), encoder: ENCODER });
  });

  postgresTest('that hold the quotes of function bodies, and signs of formats', async () => {
    await server.sql('create schema "a$tldr$b"');
    const name = '"a$tldr$b"."x$write$%I"';
    await server.sql(`create table ${name} ("i$sync$d""x" int primary key, "v$truncate$" vector(${DIM}))`);
    await server.sql(`insert into ${name} values (1, ${vector()}), (2, ${vector()})`);
    await startTable(server.url, name, ENCODER);
    await cutOver(name, '"a$tldr$b".find');
    await server.sql(`update ${name} set "i$sync$d""x" = 3 where "i$sync$d""x" = 1`);
    const found = await server.sql(
      `select f."i$sync$d""x" as id from ${name} t, "a$tldr$b".find(t."v$truncate$", 1) f order by 1`,
    );
    expect(found).toEqual([{ id: 2 }, { id: 3 }]);
    await server.sql(`truncate ${name}`);
  });

  postgresTest('of 63 bytes that begin alike, and the same name in two schemas', async () => {
    const [a, b] = [`${'long_'.repeat(12)}aaa`, `${'long_'.repeat(12)}bbb`];
    await server.sql(
      `create schema other; create table other.${a} (id int primary key, embedding vector(${DIM}))`,
    );
    await makeDocuments(server, a, { rows: 3 });
    await makeDocuments(server, b, { rows: 4 });
    for (const table of [a, b, `other.${a}`]) await startTable(server.url, table, ENCODER);
    await server.sql(`insert into other.${a} values (1, ${vector()})`);
    const rows = await server.sql(
      `select m.schema_name, m.table_name, m.verified ->> 'points' as points from tldr.migration m where table_name like 'long%' order by 1, 2`,
    );
    expect(rows).toEqual([
      { schema_name: 'other', table_name: a, points: '0' },
      { schema_name: 'public', table_name: a, points: '3' },
      { schema_name: 'public', table_name: b, points: '4' },
    ]);
  });

  postgresTest('that a new search function would have twice are named', async () => {
    await makeDocuments(server, 'scored', { rows: 3 });
    await server.sql('alter table scored add similarity real');
    await startTable(server.url, 'scored', ENCODER);
    await expect(cutOver('scored', 'find_scored')).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('two columns or parameters named "similarity"') as unknown,
    });
  });
});

describe('a search function', () => {
  postgresTest('of another table is not replaced', async () => {
    await makeDocuments(server, 'docs', { rows: 5 });
    await makeDocuments(server, 'docs_of_others', { rows: 5 });
    await server.sql(
      `create function match_documents(query_embedding vector(${DIM}), match_count int) returns table (id int, similarity float) language sql as $$ select id, 1 - (embedding <=> query_embedding) from docs order by embedding <=> query_embedding limit match_count $$`,
    );
    await startTable(server.url, 'docs_of_others', ENCODER);
    await expect(cutOver('docs_of_others', 'match_documents')).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('does not name the table "docs_of_others"') as unknown,
    });
    await startTable(server.url, 'docs', ENCODER);
    await cutOver('docs', 'match_documents');
  });

  postgresTest('serves a role that may read some columns only', async () => {
    await makeDocuments(server, 'columned', { rows: 12 });
    await server.sql(
      'create role few_columns login; grant select (id, content, metadata, embedding) on columned to few_columns',
    );
    await startTable(server.url, 'columned', ENCODER);
    await cutOver('columned', 'find_columned');
    const found = await asRole(server, 'few_columns', `select id from find_columned(${vector()}, 3)`);
    expect(found).toHaveLength(3);
  });
});

describe('a role with limits of its own', () => {
  postgresTest('migrates, although its settings would stop long work', async () => {
    await makeDocuments(server, 'limited', { rows: 600 });
    await server.sql('create role limits login superuser');
    for (const setting of [
      `default_transaction_isolation = 'serializable'`,
      `lock_timeout = '5ms'`,
      `statement_timeout = '2s'`,
      `idle_session_timeout = '300ms'`,
      `idle_in_transaction_session_timeout = '300ms'`,
    ])
      await server.sql(`alter role limits set ${setting}`);
    // The building of the index waits for it.
    const older = new pg.Client({ connectionString: server.url });
    await older.connect();
    await older.query('begin isolation level repeatable read; select count(*) from limited');
    let isOver = false;
    const writing = (async () => {
      for (let i = 0; !isOver; i++)
        await server.sql(`update limited set embedding = ${vector()} where id = ${1 + (i % 600)}`);
    })();
    try {
      const ended = { yet: false };
      const starting = startTable(urlAs(server, 'limits'), 'limited', ENCODER).finally(() => {
        ended.yet = true;
      });
      const indexing = `select count(*)::int as n from pg_stat_progress_create_index`;
      while (!ended.yet && (await server.sql(indexing))[0]?.['n'] === 0)
        await new Promise((resolve) => setTimeout(resolve, 50));
      await new Promise((resolve) => setTimeout(resolve, 400));
      await older.query('commit');
      await starting;
    } finally {
      isOver = true;
      await writing;
      await older.end();
    }
    await expectEqual(server, { table: 'limited', side: await sideOf(server, 'limited'), encoder: ENCODER });
  });
});

describe('refused with words', () => {
  postgresTest('a pooler in transaction mode, whose sessions are left as they were', async () => {
    await makeDocuments(server, 'pooled', { rows: 5 });
    const pooler = await startTransactionPooler(server.url);
    try {
      await withPgvector(pooler.url, async (store) => {
        expect(await store.count('pooled')).toBe(5);
      });
      await expect(startTable(pooler.url, 'pooled', ENCODER)).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('a pooler in session mode') as unknown,
      });
      expect(await asRole(pooler, 'postgres', 'show extra_float_digits')).toEqual([
        { extra_float_digits: '1' },
      ]);
    } finally {
      await pooler.stop();
    }
    await startTable(server.url, 'pooled', ENCODER);
  });

  postgresTest('a unique key that may be NULL', async () => {
    await server.sql(`create table nullable (a int, b int, embedding vector(${DIM}), unique (a, b))`);
    await server.sql(`insert into nullable values (1, null, ${vector()})`);
    const store = await openPgvector({ url: server.url, settings: { keyColumns: 'a,b' } });
    const request = {
      collection: 'nullable',
      vectorName: undefined,
      encoder: ENCODER.toBytes(),
      datatype: undefined,
      hnswM: undefined,
    };
    await expect(startInPlace(store, request, { lockWaitMs: 500 })).rejects.toThrow(
      /columns that are not null/,
    );
    await store.close();
  });

  postgresTest('a partition that is a foreign table', async () => {
    await server.sql('create foreign data wrapper remote; create server remote foreign data wrapper remote');
    await server.sql(
      `create table spread (id int not null, embedding vector(${DIM})) partition by range (id);
       create table spread_1 partition of spread for values from (0) to (10);
       create foreign table spread_2 partition of spread for values from (10) to (20) server remote`,
    );
    const store = await openPgvector({ url: server.url, settings: { keyColumns: 'id' } });
    const request = {
      collection: 'spread',
      vectorName: undefined,
      encoder: ENCODER.toBytes(),
      datatype: undefined,
      hnswM: undefined,
    };
    await expect(store.inPlace.plan(request)).rejects.toThrow(/spread_2.* is a foreign table/);
    await store.close();
  });

  postgresTest('a table of somebody else where states of migrations are kept', async () => {
    const own = await server.beside();
    await own.sql('create schema tldr; create table tldr.migration (id int)');
    await makeDocuments(own, 'plain', { rows: 3 });
    await expect(startTable(own.url, 'plain', ENCODER)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('that this program did not make') as unknown,
    });
    await own.stop();
  });
});

postgresTest('one column after another of a table is migrated', async () => {
  await makeDocuments(server, 'doubled', { rows: 5 });
  await server.sql(`alter table doubled add other vector(${DIM}) generated always as (embedding) stored`);
  await startTable(server.url, 'doubled', ENCODER, { vectorName: 'embedding' });
  await startTable(server.url, 'doubled', ENCODER, { vectorName: 'other' });
  await server.sql(`update doubled set embedding = ${vector()} where id = 2`);
  const sides = (await sideTables(server)).filter((name) => name.includes('compact_doubled_'));
  expect(sides).toHaveLength(2);
  for (const side of sides) await expectEqual(server, { table: 'doubled', side, encoder: ENCODER });
});

postgresTest('several first migrations of a database begin at the same moment', async () => {
  const own = await server.beside();
  const tables = ['first_a', 'first_b', 'first_c', 'first_d'];
  for (const table of tables) await makeDocuments(own, table, { rows: 3 });
  await Promise.all(tables.map((table) => startTable(own.url, table, ENCODER)));
  expect(await own.sql('select count(*)::int as n from tldr.migration')).toEqual([{ n: 4 }]);
  await own.stop();
});
