import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { createServer, type AddressInfo } from 'node:net';
import { openPgvector, type PgvectorStore } from '../../../adapters/pgvector/index.js';
import type { PointBatch } from '../../../src/store/points.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
let server: PostgresServer;
let store: PgvectorStore;
const opened: PgvectorStore[] = [];

async function open(
  settings: Readonly<Record<string, string>> = {},
  url = server.url,
): Promise<PgvectorStore> {
  const one = await openPgvector({ url, settings });
  opened.push(one);
  return one;
}

beforeAll(async () => {
  server = await startPostgres();
  store = await open();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await server.stop();
});

async function batchesOf(table: string, vectorName = 'v', from = store): Promise<PointBatch[]> {
  const batches: PointBatch[] = [];
  for await (const batch of from.scan(table, { vectorName })) batches.push(batch);
  return batches;
}
const idsOf = (batches: readonly PointBatch[]): unknown[] => batches.flatMap(({ ids }) => [...ids]);

describe('an address', () => {
  postgresTest('may ask for TLS if the server has it, or name a role without a server', async () => {
    const { hostname, port, pathname } = new URL(server.url);
    const [row] = await server.sql(`select current_setting('ssl') as ssl`);
    const [hasTls, user] = [row?.['ssl'] === 'on', new URL(server.url).username];
    if (!hasTls) {
      expect(await (await open({}, `${server.url}?sslmode=prefer`)).exists('pg_class')).toBe(true);
      await expect(open({}, `${server.url}?sslmode=require`)).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('has no TLS') as unknown,
      });
    }
    const withoutHost = `postgres://${user}@${pathname}?host=${hostname}&port=${port}`;
    expect(await (await open({}, withoutHost)).exists('pg_class')).toBe(true);
  });

  postgresTest('at which nobody answers is tried once', async () => {
    let connections = 0;
    const silent = createServer((socket) => {
      connections++;
      socket.resume();
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await expect(
      openPgvector({ url: `postgres://app@127.0.0.1:${port}/app`, connectTimeoutMs: 300 }),
    ).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(connections).toBe(1);
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('tables of PostgreSQL', () => {
  postgresTest('are found by the name as SQL reads it, in any schema, and listed so', async () => {
    await server.sql(`create schema "odd schema"`);
    await server.sql(`create table "odd schema"."T.1" (id int primary key, v vector(2))`);
    await server.sql(
      `create table "Mixed" (id int primary key, v vector(2)); create table lower (id int primary key, v vector(3))`,
    );
    await server.sql(`insert into "odd schema"."T.1" values (1, '[1,2]')`);
    for (const name of ['"odd schema"."T.1"', 'odd schema."T.1"']) expect(await store.count(name)).toBe(1);
    for (const name of ['Mixed', '"Mixed"', 'public.Mixed']) expect(await store.exists(name)).toBe(true);
    expect([await store.exists('mixed'), await store.exists('"LOWER"')]).toEqual([false, false]);
    expect([await store.exists('LOWER'), await store.exists('Public.Lower')]).toEqual([true, true]);
    expect(await store.listCollections()).toEqual(
      expect.arrayContaining(['Mixed', 'lower', 'odd schema."T.1"']),
    );
    await expect(store.describe('Mixe')).rejects.toThrow('did you mean "Mixed"?');
  });

  postgresTest('hold vectors of both types, with distances of their indexes', async () => {
    await server.sql(
      `create table kinds (id int primary key, a vector(3), b halfvec(3), "c d" vector(3), s sparsevec(5), note text)`,
    );
    await server.sql(`create index on kinds using hnsw (b halfvec_ip_ops)`);
    await server.sql(`create index on kinds using hnsw (("c d"::halfvec(3)) halfvec_l2_ops)`);
    await server.sql(`insert into kinds values (1, '[1,2,3]', '[0.5,1.5,65504]', '[3,4,5]', '{1:1}/5', 'x')`);
    const { vectors, otherVectors } = await store.describe('kinds');
    expect(vectors.map(({ name, distance, componentBytes }) => [name, distance, componentBytes])).toEqual([
      ['a', 'cosine', 4],
      ['b', 'dot', 2],
      ['c d', 'euclid', 4],
    ]);
    expect(otherVectors).toEqual(['s']);
    const [batch] = await batchesOf('kinds', 'b');
    expect([...(batch?.vectors.data ?? [])]).toEqual([0.5, 1.5, 65504]);
    expect(store.payloadJson(batch?.extra[0] ?? new Uint8Array())).toBe('{"note":"x"}');
    const manhattan = await open({ vectorDistance: 'manhattan' });
    expect((await manhattan.describe('kinds')).vectors.map(({ distance }) => distance)).toEqual(
      Array(3).fill('manhattan'),
    );
    await expect((await open({ vectorDistance: 'far' })).describe('kinds')).rejects.toThrow('got "far"');
  });

  postgresTest('may hold NULL, zero vectors and vectors of other lengths', async () => {
    await server.sql(`create table mixed_lengths (id int primary key, v vector)`);
    await server.sql(
      `insert into mixed_lengths values (1, '[3,4]'), (2, null), (3, '[1,2,3]'), (4, '[0,0]'), (5, '[1,0]')`,
    );
    expect((await store.describe('mixed_lengths')).vectors).toMatchObject([{ dim: 2 }]);
    const [batch] = await batchesOf('mixed_lengths');
    expect([...(batch?.hasVector ?? [])]).toEqual([1, 0, 0, 1, 1]);
    expect([...(batch?.vectors.data ?? [])].map((x) => Number(x.toFixed(6)))).toEqual([
      0.6, 0.8, 0, 0, 0, 0, 0, 0, 1, 0,
    ]);
    const { ids } = await store.sample('mixed_lengths', { vectorName: 'v', size: 10 });
    expect([...ids].sort()).toEqual([1n, 4n, 5n]);
    const request = { vectorName: 'v', vector: new Float32Array([1, 0]), limit: 5 };
    const found = await store.search('mixed_lengths', request);
    expect(found.map(({ id }) => id)).toEqual([5n, 1n, 4n]);
    await expect(store.search('mixed_lengths', { ...request, vector: new Float32Array(3) })).rejects.toThrow(
      'expected dim 2, got 3',
    );
  });

  postgresTest('are told how to get a key, and views which columns to name', async () => {
    await server.sql(
      `create table keyless (name text, v vector(2)); insert into keyless values ('a', '[1,2]'), ('b', '[2,1]')`,
    );
    await expect(store.describe('keyless')).rejects.toThrow(
      'has no primary key: add one, for example ALTER TABLE "public"."keyless"',
    );
    await server.sql(`create view seen as select name, v from keyless`);
    await expect(store.describe('seen')).rejects.toMatchObject({ code: 'UNSUPPORTED', hint: 'key-columns' });
    const named = await open({ keyColumns: 'name' });
    expect(idsOf(await batchesOf('seen', 'v', named))).toEqual(['a', 'b']);
    expect((await named.sample('seen', { vectorName: 'v', size: 1 })).ids).toHaveLength(1);
    await server.sql(`create unique index on keyless (name); alter table keyless alter name set not null`);
    expect(idsOf(await batchesOf('keyless'))).toEqual(['a', 'b']);
    await server.sql(`create table by_time (at timestamptz primary key, v vector(2))`);
    await expect(store.describe('by_time')).rejects.toThrow('"at" of type timestamptz: expected');
    await server.sql(
      `insert into keyless values ('c', '[1,1]'); create view holes as select nullif(name, 'c') as name, v from keyless`,
    );
    await expect(batchesOf('holes', 'v', named)).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });

  postgresTest('may be partitioned', async () => {
    await server.sql(
      `create table parts (tenant text, id bigint, v vector(2), primary key (tenant, id)) partition by list (tenant)`,
    );
    await server.sql(
      `create table parts_a partition of parts for values in ('a'); create table parts_b partition of parts for values in ('b')`,
    );
    await server.sql(
      `insert into parts select case when i % 2 = 0 then 'a' else 'b' end, i, array[i, 1]::vector from generate_series(1, 600) i`,
    );
    const ids = idsOf(await batchesOf('parts'));
    expect([ids.length, new Set(ids).size, ids[0], ids.at(-1)]).toEqual([600, 600, '["a",2]', '["b",599]']);
    expect(await store.listCollections()).not.toContain('parts_a');
    expect((await store.sample('parts', { vectorName: 'v', size: 50 })).ids).toHaveLength(50);
    expect((await store.retrieve('parts', ['["b",7]', '["a",7]'], { vectorName: 'v' })).ids).toEqual([
      '["b",7]',
    ]);
    await expect(store.retrieve('parts', [7n], { vectorName: 'v' })).rejects.toThrow('has 2 values, got 1');
  });

  postgresTest('are sampled by random blocks if they are large, and read page by page', async () => {
    await server.sql(`create table large (id bigint primary key, v vector(8))`);
    await server.sql(
      `insert into large select i, array[i, 1, 2, 3, 4, 5, 6, 7]::vector from generate_series(1, 60000) i`,
    );
    await server.sql(`analyze large`);
    const read = async (): Promise<number> => {
      await server.sql(`select pg_stat_clear_snapshot()`);
      const [row] = await server.sql(
        `select coalesce(seq_tup_read, 0)::int as rows from pg_stat_user_tables where relname = 'large'`,
      );
      return Number(row?.['rows']);
    };
    const before = await read();
    const { ids } = await store.sample('large', { vectorName: 'v', size: 300 });
    expect(new Set(ids).size).toBe(300);
    // Statistics arrive late: once they do, they show a part of the table.
    let after = before;
    for (let i = 0; i < 100 && after === before; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      after = await read();
    }
    expect(after - before).toBeGreaterThan(0);
    expect(after - before).toBeLessThan(30_000);
    // From all over the table: a tenth of it holds about a tenth of the sample.
    const tenths = new Set(ids.map((id) => (Number(id) / 6000) | 0));
    expect(tenths.size).toBeGreaterThanOrEqual(8);
    expect(idsOf(await batchesOf('large'))).toHaveLength(60_000);
  });

  postgresTest('need no right but to read, and nothing is written', async () => {
    await server.sql(
      `create table readable (id int primary key, v vector(2)); insert into readable values (1, '[1,2]')`,
    );
    await server.sql(`create table hidden (id int primary key, v vector(2))`);
    await server.sql(
      `create role reader_${process.pid} login; grant select on readable to reader_${process.pid}`,
    );
    const url = new URL(server.url);
    url.username = `reader_${process.pid}`;
    const reader = await open({}, url.href);
    expect(idsOf(await batchesOf('readable', 'v', reader))).toEqual([1n]);
    expect((await reader.sample('readable', { vectorName: 'v', size: 1 })).ids).toEqual([1n]);
    expect(await reader.listCollections()).not.toContain('hidden');
    await expect(reader.count('hidden')).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await reader.close();
    opened.splice(opened.indexOf(reader), 1);
    await server.sql(`drop owned by reader_${process.pid}; drop role reader_${process.pid}`);
  });

  postgresTest('end a statement that takes too long', async () => {
    await server.sql(
      `create view slow as select 1 as id, '[1,2]'::vector(2) as v, pg_sleep(30)::text as nothing`,
    );
    const impatient = await openPgvector({ url: server.url, timeoutMs: 200, settings: { keyColumns: 'id' } });
    opened.push(impatient);
    await expect(batchesOf('slow', 'v', impatient)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(await impatient.exists('slow')).toBe(true);
  });

  postgresTest('go on after the server has closed the connections', async () => {
    await server.sql(`create table lasting (id int primary key, v vector(2))`);
    await server.sql(`insert into lasting select i, array[i, 1]::vector from generate_series(1, 3000) i`);
    const ids: unknown[] = [];
    for await (const batch of store.scan('lasting', { vectorName: 'v', batchSize: 500 })) {
      ids.push(...batch.ids);
      await server.sql(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'qdrant-tldr' and datname = current_database()`,
      );
    }
    expect([ids.length, new Set(ids).size]).toEqual([3000, 3000]);
    expect(await store.count('lasting')).toBe(3000);
  });
});

describe('an address of PostgreSQL', () => {
  postgresTest('is never shown with its password', async () => {
    const refused = openPgvector({ url: 'postgres://me:s3cret@127.0.0.1:1/app?password=s3cret' });
    const message = await refused.then(String, String);
    expect(message).toContain('postgres://127.0.0.1:1/app');
    expect(message).not.toMatch(/s3cret|me:/);
    await expect(openPgvector({ url: 'mysql://me:s3cret@h/app' })).rejects.toThrow(
      '"mysql://********@h/app" is not the address',
    );
    expect(store.endpoint).not.toContain('@');
  });

  postgresTest('names the database that is missing, and the extension', async () => {
    const url = new URL(server.url);
    url.pathname = '/missing_database';
    await expect(openPgvector({ url: url.href })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    url.pathname = '/template1';
    const bare = await open({}, url.href);
    expect(await bare.listCollections()).toEqual([]);
    await expect(bare.describe('pg_class')).rejects.toThrow('run CREATE EXTENSION vector');
  });
});
