import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Connections } from '../../../../adapters/pgvector/connect/connections.js';
import { openPgvector } from '../../../../adapters/pgvector/index.js';
import { Rng } from '../../../../src/core/rng.js';
import {
  DIM,
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  urlAs,
  vectorText,
} from '../../../support/postgres/in-place.js';
import { testsByFeature, testsOnPostgres } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

/** The packaged server of this version has the most of what is tested here. */
const VERSION = '18';
const postgresTest = await testsOnPostgres('any', [VERSION]);
const testNeeding = await testsByFeature(VERSION);
const ENCODER = linearEncoder();
const rng = new Rng(23);
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ encoder: ENCODER, version: VERSION });
});
afterAll(async () => {
  await place.end();
});

const vector = (): string => `'${vectorText(rng)}'`;
const start = (table: string, ...flags: string[]): string[] => [
  'migrate',
  'start',
  table,
  '--encoder',
  'enc.onnx',
  '--yes',
  ...flags,
];

/** Number of things that migrations made, but for the tables of their states. */
async function madeThings(server: TablePlace['server']): Promise<unknown> {
  const [row] = await server.sql(
    `select ((select count(*) from pg_trigger where tgname like 'zz_tldr%')
       + (select count(*) from pg_proc where pronamespace = to_regnamespace('tldr'))
       + (select count(*) from pg_class where relnamespace = to_regnamespace('tldr') and relname ~ '^(compact|weights)'))::int as n`,
  );
  return row?.['n'];
}

postgresTest('a connection that breaks between two statements is replaced', async () => {
  const { url, sql } = place.server;
  const connections = new Connections({
    config: { connectionString: url },
    endpoint: 'the server',
    timeoutMs: 10_000,
  });
  let attempts = 0;
  const read = connections.read(async ({ query }) => {
    const [row] = await query('select pg_backend_pid()::text as pid');
    if (attempts++ === 0) {
      await sql('select pg_terminate_backend($1::int)', [row?.['pid']]);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return query('select 1 as one');
  });
  expect(await read).toEqual([{ one: 1 }]);
  expect(attempts).toBe(2);
  await connections.close();
});

describe('event triggers', () => {
  postgresTest('that refuse a step leave nothing half-made', async () => {
    const server = await place.server.beside();
    await makeDocuments(server, 'ruled', { rows: 5 });
    await server.sql(
      `create function refuse() returns event_trigger language plpgsql as $$ begin raise exception 'schema changes need a ticket'; end $$`,
    );
    const refused = async (tag: string, args: readonly string[]): Promise<void> => {
      await server.sql(
        `create event trigger refusing on ddl_command_start when tag in ('${tag}') execute function refuse()`,
      );
      const { code, stderr } = await place.run(args, server);
      expect({ tag, code, stderr }).toEqual({
        tag,
        code: 6,
        stderr: expect.stringMatching(/need a ticket \(a function of the database says so/) as unknown,
      });
      expect(stderr).not.toContain('    at ');
      await server.sql('drop event trigger refusing');
    };
    for (const tag of ['CREATE SCHEMA', 'CREATE TABLE AS', 'CREATE FUNCTION', 'ALTER TABLE']) {
      await refused(tag, start('ruled'));
      expect(await madeThings(server)).toBe(0);
    }
    await refused('CREATE TRIGGER', start('ruled'));
    await place.succeeded(['migrate', 'resume', 'ruled', '--yes'], server);
    await expectEqual(server, { table: 'ruled', encoder: ENCODER });
    const made = await madeThings(server);
    await refused('DROP FUNCTION', ['migrate', 'abort', 'ruled', '--execute', '--yes']);
    expect(await madeThings(server)).toBe(made);
    await place.succeeded(['migrate', 'abort', 'ruled', '--execute', '--yes'], server);
    expect(await madeThings(server)).toBe(0);
    await server.stop();
  });

  postgresTest('that switch row-level security on for new tables hide no compact vectors', async () => {
    const server = await place.server.beside();
    await makeDocuments(server, 'shown', { rows: 12 });
    const role = `reader_${process.pid}`;
    await server.sql(`create role ${role} login; grant select on shown to ${role}`);
    await server.sql(
      `create function secure() returns event_trigger language plpgsql security definer as $$ declare made record; begin
         for made in select * from pg_event_trigger_ddl_commands() where object_type = 'table' loop
           execute format('alter table %s enable row level security', made.objid::regclass); end loop; end $$;
       create event trigger securing on ddl_command_end when tag in ('CREATE TABLE', 'CREATE TABLE AS') execute function secure()`,
    );
    await place.succeeded(start('shown'), server);
    await place.succeeded(
      ['migrate', 'cutover', 'shown', '--form', 'function', '--function', 'find_shown', '--execute'],
      server,
    );
    const search = `select id from find_shown(${vector()}, 3)`;
    expect(await asRole(server, role, search)).toHaveLength(3);
    await server.sql(`grant select, insert, update, delete on tldr.migration, tldr.encoder to ${role}`);
    const shown = await place.succeeded(['migrate', 'status', 'shown'], { url: urlAs(server, role) });
    expect(shown.stdout).toContain('phase cut-over');
    await server.sql(`drop owned by ${role}; drop role ${role}`);
    await server.stop();
  });
});

describe('keys', () => {
  testNeeding('what PostgreSQL 18 brings')('that may still be NULL are refused', async () => {
    const { server, run } = place;
    await server.sql(`create table unchecked (id int unique, embedding vector(${DIM}))`);
    await server.sql(`insert into unchecked values (1, ${vector()}), (null, ${vector()})`);
    await server.sql('alter table unchecked add constraint given not null id not valid');
    expect((await run(start('unchecked'))).stderr).toContain('has no primary key');
    const named = await run(start('unchecked', '--key-columns', 'id'));
    expect(named.code).toBe(7);
    expect(named.stderr).toContain('A NOT NULL that is NOT VALID does not count');
    await server.sql('delete from unchecked where id is null');
    await server.sql('alter table unchecked validate constraint given');
    await place.succeeded(start('unchecked'));
  });

  testNeeding('what PostgreSQL 18 brings', 'the extension btree_gist')(
    'WITHOUT OVERLAPS are none',
    async () => {
      const { server, run } = place;
      await server.sql('create extension btree_gist');
      await server.sql(
        `create table periods (id int, during daterange, embedding vector(${DIM}), primary key (id, during without overlaps))`,
      );
      await server.sql(
        `insert into periods values (1, '[2020-01-01,2021-01-01)', ${vector()}), (1, '[2021-01-01,2022-01-01)', ${vector()})`,
      );
      expect((await run(['inspect', 'periods'])).stderr).toMatch(/"during" of type daterange.*--key-columns/);
      expect((await run(start('periods', '--key-columns', 'id'))).code).toBe(7);
      await server.sql('alter table periods add number bigint generated always as identity unique');
      await place.succeeded(start('periods'));
    },
  );

  testNeeding('the extension citext')('of other types give way to another key', async () => {
    const { server, run } = place;
    await server.sql('create extension citext');
    await server.sql(`create table tagged (tag citext primary key, embedding vector(${DIM}))`);
    expect((await run(['inspect', 'tagged'])).stderr).toMatch(/"tag" of type citext.*--key-columns/);
    await server.sql('alter table tagged add number bigint generated always as identity unique');
    await place.succeeded(['inspect', 'tagged']);
  });
});

testNeeding('what PostgreSQL 18 brings')('virtual columns beside the vector', async () => {
  const { server, succeeded } = place;
  await server.sql(
    `create table computed (id uuid primary key default uuidv7(), content text, title text generated always as (upper(content)) virtual, embedding vector(${DIM}))`,
  );
  for (const content of ['a', 'b', 'c', 'd'])
    await server.sql(`insert into computed (content, embedding) values ('${content}', ${vector()})`);
  await succeeded(start('computed'));
  await succeeded([
    'migrate',
    'cutover',
    'computed',
    '--form',
    'function',
    '--function',
    'find_computed',
    '--execute',
  ]);
  await server.sql(`update computed set content = 'x', embedding = ${vector()} where content = 'a'`);
  for (const count of ['4', 'null'])
    expect(await server.sql(`select title from find_computed(${vector()}, ${count}) order by title`)).toEqual(
      [{ title: 'B' }, { title: 'C' }, { title: 'D' }, { title: 'X' }],
    );
  await expectEqual(server, { table: 'computed', encoder: ENCODER });
});

testNeeding('the extension postgres_fdw')('a foreign table is read, and not migrated', async () => {
  const { server, run, succeeded } = place;
  const far = await server.beside();
  await makeDocuments(far, 'far', { rows: 200 });
  const { port, pathname, username } = new URL(far.url);
  await server.sql(
    `create extension postgres_fdw;
     create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '${port}', dbname '${pathname.slice(1)}');
     create user mapping for current_user server far options (user '${username}');
     create foreign table near (id int not null, content text, embedding vector(${DIM})) server far options (table_name 'far')`,
  );
  expect((await run(['inspect', 'near'])).stderr).toMatch(/is a foreign table: name the columns/);
  const key = ['--key-columns', 'id'];
  const { stdout } = await succeeded(['inspect', 'near', ...key]);
  expect(stdout).toContain('near: 200 points');
  const store = await openPgvector({ url: server.url, settings: { keyColumns: 'id' } });
  const { ids } = await store.sample('near', { vectorName: 'embedding', size: 50 });
  expect(new Set(ids).size).toBe(50);
  const read: unknown[] = [];
  for await (const batch of store.scan('near', { vectorName: 'embedding', batchSize: 64 }))
    read.push(...batch.ids);
  expect(read).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i + 1)));
  await store.close();
  expect((await run(start('near', ...key))).stderr).toContain('is a foreign table: triggers');
  await far.sql('drop table far');
  const gone = await run(['inspect', 'near', ...key]);
  expect({ code: gone.code, stderr: gone.stderr }).toMatchObject({ code: 4 });
  await far.stop();
});
