import { afterAll, beforeAll, expect } from '@jest/globals';
import pg from 'pg';
import { openPgvector } from '../../../../adapters/pgvector/index.js';
import { Rng } from '../../../../src/core/rng.js';
import {
  DIM,
  expectEqual,
  linearEncoder,
  resumeTable,
  sideOf,
  startTable,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsByFeature,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const icuTest = (await testsByFeature())('collations of ICU');
const ENCODER = linearEncoder();
const rng = new Rng(19);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server.stop();
});

const vector = (): string => `'${vectorText(rng)}'`;
const FOLDING = `create collation if not exists folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;

/** Compares in the database. */
function verified(table: string): Promise<unknown> {
  return withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    try {
      return await work.verify({ sample: undefined });
    } finally {
      await work.release();
    }
  });
}

icuTest('a key that is compared without case: nothing is lost or doubled', async () => {
  await server.sql(FOLDING);
  await server.sql(`create table folded (id text collate folding primary key, embedding vector(${DIM}))`);
  for (let i = 0; i < 20; i++) await server.sql(`insert into folded values ('k${i}', ${vector()})`);
  await startTable(server.url, 'folded', ENCODER);
  await server.sql(`update folded set id = 'K1' where id = 'k1'`);
  await server.sql(`update folded set id = 'K2', embedding = ${vector()} where id = 'k2'`);
  await server.sql(`delete from folded where id = 'K3'`);
  await server.sql(
    `insert into folded values ('K4', ${vector()}) on conflict (id) do update set id = excluded.id, embedding = excluded.embedding`,
  );
  await server.sql(`delete from folded where id = 'K1'`);
  await expectEqual(server, { table: 'folded', encoder: ENCODER });
  expect(await verified('folded')).toMatchObject({ points: 18, missing: 0, orphans: 0, differing: 0 });
});

icuTest('a key of two texts, one of which is compared without case', async () => {
  await server.sql(FOLDING);
  await server.sql(
    `create table mixed (a text collate folding, b text, embedding vector(${DIM}), primary key (a, b))`,
  );
  await server.sql(
    `insert into mixed values ('x', 'b', ${vector()}), ('x', 'B', ${vector()}), ('y', 'c', ${vector()}), ('y', 'C', ${vector()})`,
  );
  await startTable(server.url, 'mixed', ENCODER);
  await server.sql(`delete from mixed where a = 'X' and b = 'b'`);
  await server.sql(`update mixed set embedding = null where b = 'c'`);
  const side = await sideOf(server, 'mixed');
  expect(await server.sql(`select k1, k2 from ${side} order by k1`)).toEqual([
    { k1: 'x', k2: 'B' },
    { k1: 'y', k2: 'C' },
  ]);
  expect(await verified('mixed')).toMatchObject({ points: 2, missing: 0, orphans: 0, differing: 0 });
});

icuTest('the same key, without full vectors', async () => {
  await server.sql(FOLDING);
  await server.sql(
    `create table dropped (a text collate folding, b text, embedding vector(${DIM}), primary key (a, b))`,
  );
  await server.sql(`insert into dropped values ('x', 'b', ${vector()}), ('x', 'B', ${vector()})`);
  await startTable(server.url, 'dropped', ENCODER);
  await withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: 'dropped', vectorName: undefined },
      { lockWaitMs: 500 },
    );
    await work.cutOver({ form: 'none', name: undefined, candidates: 100 });
    await work.complete({ dropFullIndexes: false, dropFullColumn: 'delete embedding of public.dropped' });
    await work.release();
  });
  const [writer] = await server.sql(
    `select oid::regproc::text as name from pg_proc where proname like 'write_vector_dropped%'`,
  );
  await server.sql(`select ${String(writer?.['name'])}(a, b, null) from dropped where b = 'b'`);
  const side = await sideOf(server, 'dropped');
  expect(await server.sql(`select k1, k2 from ${side}`)).toEqual([{ k1: 'x', k2: 'B' }]);
});

icuTest('an index that compares more exactly than its column is no key', async () => {
  await server.sql(FOLDING);
  await server.sql(`create table exact (id text collate folding not null, embedding vector(${DIM}))`);
  await server.sql(`create unique index on exact (id collate "C")`);
  await server.sql(`insert into exact values ('a', ${vector()}), ('A', ${vector()})`);
  await expect(startTable(server.url, 'exact', ENCODER)).rejects.toThrow(/no primary key/);
  const store = await openPgvector({ url: server.url, settings: { keyColumns: 'id' } });
  const request = {
    collection: 'exact',
    vectorName: undefined,
    encoder: ENCODER.toBytes(),
    datatype: undefined,
    hnswM: undefined,
  };
  await expect(store.inPlace.plan(request)).rejects.toThrow(/an index whose collation/);
  await store.close();
});

icuTest('a database that orders texts by a language is read in the order of bytes', async () => {
  const name = `icu_${process.pid}`;
  await server.sql(
    `create database ${name} template template0 locale_provider icu icu_locale 'en' locale 'C'`,
  );
  const url = Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    `create extension vector; create table t (id text primary key, embedding vector(${DIM}))`,
  );
  await client.query(`insert into t select k, ${vector()} from unnest('{b,A,a,B,_}'::text[]) k`);
  await client.end();
  const ids = await withPgvector(url, async (store) => {
    const read: unknown[] = [];
    for await (const batch of store.scan('t', { vectorName: 'embedding', batchSize: 2 }))
      read.push(...batch.ids);
    return read;
  });
  expect(ids).toEqual(['A', 'B', '_', 'a', 'b']);
  await server.sql(`drop database ${name} with (force)`);
});

postgresTest('a collation that is changed later is said, with the statement that mends it', async () => {
  await server.sql(`create table recollated (id text collate "C" primary key, embedding vector(${DIM}))`);
  await server.sql(`insert into recollated values ('a', ${vector()}), ('B', ${vector()})`);
  await startTable(server.url, 'recollated', ENCODER);
  await server.sql('alter table recollated alter id type text collate "POSIX"');
  const said = await resumeTable(server.url, 'recollated').then(
    () => '',
    (error: unknown) => String(error),
  );
  const [, statement = ''] = /: run (alter table .*?); then resume/.exec(said) ?? [];
  await server.sql(statement);
  await server.sql(`update recollated set embedding = ${vector()} where id = 'a'`);
  await resumeTable(server.url, 'recollated');
  await expectEqual(server, { table: 'recollated', encoder: ENCODER });
});
