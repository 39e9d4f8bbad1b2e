import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { codeOf } from '../../../../src/core/errors.js';
import { matrix, row } from '../../../../src/core/matrix.js';
import { Rng } from '../../../../src/core/rng.js';
import { runCli, type CliResult } from '../../../support/cli/run-cli.js';
import {
  DIM,
  asRole,
  linearEncoder,
  makeDocuments,
  sideOf,
  startTable,
  urlAs,
  vectorText,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const ENCODER = linearEncoder();
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-drop-column-'));
  await ENCODER.save(join(cwd, 'enc.onnx'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

const migrate = (verb: string, ...args: string[]): Promise<CliResult> =>
  runCli(['migrate', verb, ...args], { cwd, env: { DATABASE_URL: server.url } });

/** Runs a command that has to succeed. */
async function succeeded(verb: string, ...args: string[]): Promise<CliResult> {
  const result = await migrate(verb, ...args);
  expect({ code: result.code, stderr: result.stderr }).toMatchObject({ code: 0 });
  return result;
}

/** Expects that a command fails with these words. */
async function refused(words: string, verb: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await migrate(verb, ...args);
  expect({ isFailure: code !== 0, stderr }).toEqual({
    isFailure: true,
    stderr: expect.stringContaining(words) as unknown,
  });
}

const wordsFor = (table: string): string => `delete embedding of public.${table}`;
const dropped = (table: string): string[] => [table, '--drop-full-column', wordsFor(table), '--execute'];

/** Makes a table whose clients use the search function `find_<table>`. */
async function cutOverTable(table: string): Promise<void> {
  await makeDocuments(server, table, { rows: 60 });
  await startTable(server.url, table, ENCODER);
  await succeeded('cutover', table, '--form', 'function', '--function', `find_${table}`, '--execute');
}

/** Makes such a table, and drops its full vectors. */
async function droppedTable(table: string): Promise<{ readonly side: string; readonly write: string }> {
  await cutOverTable(table);
  await succeeded('complete', ...dropped(table));
  const [made] = await server.sql(
    `select p.oid::regproc::text as name from pg_proc p where proname like 'write_vector_${table}_%'`,
  );
  return { side: await sideOf(server, table), write: String(made?.['name']) };
}

const hasColumn = async (table: string): Promise<boolean> =>
  (
    await server.sql(
      `select from pg_attribute where attrelid = '${table}'::regclass and attname = 'embedding' and not attisdropped`,
    )
  ).length > 0;

/** The compact vector of a text, as the encoder itself computes it. */
function projected(text: string): readonly number[] {
  const values = JSON.parse(text) as number[];
  return [...row(ENCODER.project(matrix(1, DIM, Float32Array.from(values))), 0)];
}

function expectNear(actual: unknown, expected: readonly number[]): void {
  const values = JSON.parse(String(actual)) as number[];
  expect(values).toHaveLength(expected.length);
  expect(Math.max(...expected.map((value, i) => Math.abs(value - (values[i] ?? NaN))))).toBeLessThan(2e-3);
}

describe('a completion that drops the full vectors', () => {
  postgresTest('only says what would happen, and asks for its words', async () => {
    await cutOverTable('asked');
    await server.sql('create index asked_full on asked using hnsw (embedding vector_cosine_ops)');
    await server.sql(
      `create function reads_asked() returns bigint language sql as 'select count(*) from asked where embedding is not null'`,
    );
    const { stdout, stderr } = await succeeded('complete', 'asked', '--drop-full-column');
    expect(stdout).toContain('gone for good');
    expect(stderr).toContain(
      `qdrant-tldr migrate complete asked --drop-full-column '${wordsFor('asked')}' --execute`,
    );
    expect(stdout).toContain('dropped with the column: index asked_full');
    expect(stdout).toContain('reads_asked() names the column in its text');
    expect(stdout).toContain('drop column "embedding"');
    await refused(`"${wordsFor('asked')}"`, 'complete', 'asked', '--drop-full-column', '--execute');
    await refused(
      'exactly these words',
      'complete',
      'asked',
      '--drop-full-column',
      'delete embedding',
      '--execute',
    );
    expect(await hasColumn('asked')).toBe(true);
  });

  postgresTest('searches in one pass, and compact vectors stay with their rows', async () => {
    const rows = (await server.sql(`select to_regclass('kept')::text as name`))[0];
    expect(rows).toEqual({ name: null });
    await cutOverTable('kept');
    const texts = await server.sql('select id, embedding::text as v from kept order by id');
    const textOf = (id: number): string => String(texts.find((one) => one['id'] === id)?.['v']);
    const { stdout } = await succeeded('complete', ...dropped('kept'));
    expect(stdout).toContain('select "tldr"."write_vector_kept_');
    expect(await hasColumn('kept')).toBe(false);
    const side = await sideOf(server, 'kept');
    const [{ write } = {}] = await server.sql(
      `select oid::regproc::text as write from pg_proc where proname like 'write_vector_kept_%'`,
    );

    const find = (id: number, count = 1): Promise<readonly Record<string, unknown>[]> =>
      server.sql('select id, round(similarity::numeric, 2)::text as s from find_kept($1::vector, $2)', [
        textOf(id),
        count,
      ]);
    expect(await find(7)).toEqual([{ id: 7, s: '1.00' }]);
    expect(await find(7, 500)).toHaveLength(60);

    await server.sql('update kept set id = 1007 where id = 7');
    await server.sql('update kept set id = id + 1 where id between 2000 and 3000');
    expect(await find(7)).toEqual([{ id: 1007, s: '1.00' }]);
    await server.sql('delete from kept where id = 1007');
    expect(await server.sql(`select from ${side} where k1 in (7, 1007)`)).toEqual([]);

    await server.sql(`insert into kept values (7, 'again')`);
    expect((await find(7))[0]?.['id']).not.toBe(7);
    await server.sql(`select ${String(write)}(7, $1::vector)`, [textOf(7)]);
    expect(await find(7)).toEqual([{ id: 7, s: '1.00' }]);
    expectNear(
      (await server.sql(`select z::text from ${side} where k1 = 7`))[0]?.['z'],
      projected(textOf(7)),
    );
    await expect(server.sql(`select ${String(write)}(70000, $1::vector)`, [textOf(7)])).rejects.toThrow(
      'no row has this key',
    );
    await expect(server.sql(`select ${String(write)}(7, '[1,2]')`)).rejects.toThrow();
    await server.sql(`select ${String(write)}(7, null)`);
    expect(await server.sql(`select from ${side} where k1 = 7`)).toEqual([]);

    await server.sql('truncate kept');
    expect(await server.sql(`select from ${side}`)).toEqual([]);
  });

  postgresTest('leaves no way back, and says so in every command', async () => {
    const { side } = await droppedTable('gone');
    expect((await succeeded('status', 'gone')).stdout).toContain('compact vectors are all that is left');
    expect((await succeeded('status', 'gone', '--json')).json()).toMatchObject({
      phase: 'complete',
      cutOver: { form: 'function', isFullColumnDropped: true },
      warnings: [],
    });
    const before = await server.sql(`select * from ${side} order by 1`);
    await refused('there is no way back', 'rollback', 'gone', '--execute');
    await refused('there is no way back', 'rollback', 'gone');
    await refused('there is no way back', 'abort', 'gone', '--execute');
    await refused('was dropped', 'cutover', 'gone', '--form', 'none');
    await refused('was dropped', 'cutover', 'gone', '--form', 'function', '--execute');
    await refused('was dropped', 'complete', 'gone', '--drop-full-column');
    await refused('was dropped', 'start', 'gone', '--encoder', 'enc.onnx', '--yes');
    expect((await succeeded('complete', ...dropped('gone'))).stdout).toContain('is dropped already');
    await succeeded('complete', 'gone');
    expect(await server.sql(`select * from ${side} order by 1`)).toEqual(before);

    expect((await succeeded('verify', 'gone')).stdout).toContain('every one of 60 compact vectors');
    await server.sql(`insert into ${side} select 999, z from ${side} where k1 = 1`);
    const found = await migrate('verify', 'gone');
    expect({ code: found.code, stderr: found.stderr }).toMatchObject({
      code: 10,
      stderr: expect.stringContaining('1 compact vectors without a row') as unknown,
    });
    // Nobody else has this vector, so nothing removes it unasked.
    await succeeded('resume', 'gone', '--yes');
    expect(await server.sql(`select k1 from ${side} where k1 = 999`)).toEqual([
      { k1: expect.anything() as unknown },
    ]);
    const statement = /remove the vectors by: (delete [^;]+);/.exec(found.stdout)?.[1];
    await server.sql(String(statement));
    await succeeded('verify', 'gone');
    expect(await server.sql(`select * from ${side} order by 1`)).toEqual(before);
    await server.sql(`insert into ${side} select 999, z from ${side} where k1 = 1`);
    await server.sql(`insert into gone values (999, 'not the row of that vector')`);
    expect(await server.sql(`select from ${side} where k1 = 999`)).toEqual([]);
    await server.sql(
      `insert into ${side} select 998, z from ${side} where k1 = 1; update gone set id = 998 where id = 2`,
    );
    expect(
      await server.sql(`select (select z from ${side} where k1 = 998)::text = $1 as same`, [
        String(before.find((one) => String(one['k1']) === '2')?.['z']),
      ]),
    ).toEqual([{ same: true }]);
  });

  postgresTest('survives another table under its name, and a lost index or trigger', async () => {
    const { side } = await droppedTable('swap');
    const before = await server.sql(`select * from ${side} order by 1`);
    await server.sql('alter table swap rename to swap_old; create table swap (like swap_old including all)');
    expect((await succeeded('status', 'swap')).stdout).toContain('another table than the one');
    await refused('another table than the one', 'resume', 'swap', '--yes');
    await refused('another table than the one', 'verify', 'swap');
    expect(await server.sql(`select * from ${side} order by 1`)).toEqual(before);
    await server.sql('drop table swap; alter table swap_old rename to swap');
    await server.sql(`drop index ${side}_hnsw; alter table swap disable trigger user`);
    await succeeded('resume', 'swap', '--yes');
    expect((await succeeded('status', 'swap', '--json')).json()).toMatchObject({
      phase: 'complete',
      warnings: [],
      problems: [],
    });
    expect(await server.sql(`select * from ${side} order by 1`)).toEqual(before);
  });

  postgresTest('ends when its column is back, and begins again', async () => {
    const { side } = await droppedTable('back');
    await server.sql(`alter table back add embedding vector(${DIM})`);
    await server.sql(`update back set embedding = '${vectorText(new Rng(5))}'`);
    await refused('start it again', 'start', 'back', '--encoder', 'enc.onnx', '--yes');
    expect((await succeeded('status', 'back')).stdout).toContain('again, which its searches do not use');
    const { stdout } = await succeeded('abort', 'back', '--execute');
    expect(stdout).toContain('fails from now on: drop or replace it');
    expect(await server.sql(`select from pg_class where oid = to_regclass($1)`, [side])).toEqual([]);
    await succeeded('start', 'back', '--encoder', 'enc.onnx', '--yes');
  });

  postgresTest('keeps the files that undo a cut-over from losing the last vectors', async () => {
    await makeDocuments(server, 'filed', { rows: 30 });
    const database = { cwd, env: { DATABASE_URL: server.url } };
    const made = await runCli(
      [
        'sql',
        'filed',
        '--encoder',
        'enc.onnx',
        '--steps',
        'filed',
        '--form',
        'function',
        '--function',
        'find_filed',
      ],
      database,
    );
    expect(made.code).toBe(0);
    const run = async (folder: string): Promise<void> => {
      for (const name of (await readdir(folder)).filter((one) => one.endsWith('.sql')).sort())
        await server.sql(await readFile(join(folder, name), 'utf8'));
    };
    await run(join(cwd, 'filed'));
    await succeeded('complete', ...dropped('filed'));
    const side = await sideOf(server, 'filed');
    await expect(run(join(cwd, 'filed', 'undo'))).rejects.toThrow('there is no way back');
    await refused('there is no way back', 'abort', 'filed', '--execute');
    expect(await server.sql(`select count(*)::int as n from ${side}`)).toEqual([{ n: 30 }]);
  });

  postgresTest('lets clients search by their own query', async () => {
    await makeDocuments(server, 'plain');
    await startTable(server.url, 'plain', ENCODER);
    await succeeded('cutover', 'plain', '--form', 'none', '--execute');
    const [{ v } = {}] = await server.sql('select embedding::text as v from plain where id = 11');
    const { stdout } = await succeeded('complete', 'plain', '--drop-full-column');
    await succeeded('complete', ...dropped('plain'));
    const query = /^ *(select \(first[\s\S]*?limit 10)\n(?! *\) first)/m.exec(stdout)?.[1] ?? '';
    const [nearest] = await server.sql(query.replaceAll('$1', `'${String(v)}'::vector`));
    expect(nearest).toMatchObject({ id: 11, content: 'text 11' });
  });

  postgresTest('lets what is left be removed when the table is gone', async () => {
    const { side, write } = await droppedTable('over');
    await refused('there is no way back', 'abort', 'over', '--execute');
    await server.sql('drop table over');
    expect((await succeeded('status', 'over')).stdout).toContain('is not there any more');
    await succeeded('abort', 'over', '--execute');
    expect(await server.sql(`select from pg_class where oid = to_regclass($1)`, [side])).toEqual([]);
    expect(await server.sql(`select from pg_proc where oid = to_regproc($1)`, [write])).toEqual([]);
  });

  postgresTest('keeps the vectors apart under writers of every kind', async () => {
    const { side, write } = await droppedTable('busy');
    const rng = new Rng(3);
    const texts = Array.from({ length: 50 }, () => vectorText(rng));
    await server.sql('delete from busy');
    const failures = new Set<string>();
    const writer = async (seed: number): Promise<void> => {
      const own = new Rng(seed);
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      for (let i = 0; i < 150; i++) {
        const [id, other, tag] = [own.int(40), own.int(40), own.int(texts.length)];
        const body = [
          `insert into busy values (${id}, 'v${tag}'); select ${write}(${id}, '${texts[tag]}')`,
          `update busy set content = 'v${tag}' where id = ${id}; select ${write}(${id}, '${texts[tag]}') from busy where id = ${id}`,
          `update busy set id = ${other} where id = ${id}`,
          `update busy set id = id + 1000 where id % 5 = ${own.int(5)} and id < 1000`,
          `delete from busy where id = ${id} or id = ${1000 + id}`,
          `update busy set content = 'none' where id = ${id}; select ${write}(${id}, null) from busy where id = ${id}`,
          `savepoint s; delete from busy where id = ${id}; rollback to s; update busy set metadata = '{"a": 1}' where id = ${other}`,
        ][own.int(7)];
        const level = own.int(3) === 0 ? 'repeatable read' : 'read committed';
        const end = own.int(5) === 0 ? 'rollback' : 'commit';
        try {
          await client.query(`begin isolation level ${level}; ${body ?? ''}; ${end}`);
        } catch (error) {
          failures.add(codeOf(error));
          await client.query('rollback');
        }
      }
      await client.end();
    };
    await Promise.all([1, 2, 3, 4].map(writer));
    // Conflicts that these writers would have without compact vectors too.
    expect([...failures].filter((code) => !['23505', '40001', '40P01', 'P0001'].includes(code))).toEqual([]);
    const found = await server.sql(
      `select t.id, t.content, s.k1, s.z::text from busy t full join ${side} s on s.k1 = t.id order by 1`,
    );
    expect(found.length).toBeGreaterThan(10);
    for (const { id, content, k1, z } of found) {
      const tag = /^v(\d+)$/.exec(String(content))?.[1];
      expect({ id, content, hasVector: k1 !== null }).toEqual({
        id: expect.any(Number) as unknown,
        content,
        hasVector: tag !== undefined,
      });
      if (tag !== undefined) expectNear(z, projected(String(texts[Number(tag)])));
    }
    await succeeded('verify', 'busy');
  });
});

describe('what is in the way of dropping the full vectors', () => {
  /** Expects that nothing is changed. */
  async function staysWhole(table: string, words: string): Promise<void> {
    await refused(words, 'complete', ...dropped(table));
    expect(await hasColumn(table)).toBe(true);
  }

  postgresTest('is named before anything is changed', async () => {
    await makeDocuments(server, 'early');
    await startTable(server.url, 'early', ENCODER);
    await staysWhole('early', 'clients do not use the compact vectors yet');
    await cutOverTable('watched');
    await server.sql('create view seen as select id, embedding from watched');
    await staysWhole('watched', 'view seen');
    await server.sql('drop view seen');
    await server.sql(
      'alter table watched add half halfvec(12) generated always as (embedding::halfvec(12)) stored',
    );
    await staysWhole('watched', 'half');
    await server.sql('alter table watched drop half');
    await server.sql('alter table watched disable trigger user');
    await staysWhole('watched', 'switched off');
    await server.sql('alter table watched enable trigger user');
    const side = await sideOf(server, 'watched');
    await server.sql(`delete from ${side} where k1 = 5`);
    await staysWhole('watched', 'row 5: without a compact vector');
    await succeeded('resume', 'watched', '--yes');
    await succeeded('complete', ...dropped('watched'));
  });

  postgresTest('may be the form of the cut-over, the layout or the table', async () => {
    await makeDocuments(server, 'indexed');
    await startTable(server.url, 'indexed', ENCODER, { layout: 'index-only' });
    await succeeded('cutover', 'indexed', '--form', 'none', '--execute');
    await staysWhole('indexed', 'index-only');

    await makeDocuments(server, 'operated');
    await server.sql('create role drop_app login; grant select on operated to drop_app');
    await startTable(server.url, 'operated', ENCODER);
    await succeeded('cutover', 'operated', '--form', 'operator', '--role', 'drop_app', '--execute');
    await staysWhole('operated', 'the cut-over is by operator');

    await server.sql(
      `create table parts (id int primary key, content text, metadata jsonb not null default '{}', embedding vector(${DIM})) partition by range (id);
       create table parts_1 partition of parts for values from (0) to (100)`,
    );
    await server.sql(`insert into parts values (1, 'a', '{}', '${vectorText(new Rng(1))}')`);
    await startTable(server.url, 'parts', ENCODER);
    await succeeded('cutover', 'parts', '--form', 'none', '--execute');
    await staysWhole('parts', 'changes its partition');

    await makeDocuments(server, 'swapped');
    await server.sql(
      'alter table swapped drop constraint swapped_pkey; alter table swapped add primary key (id) deferrable',
    );
    await startTable(server.url, 'swapped', ENCODER);
    await succeeded('cutover', 'swapped', '--form', 'none', '--execute');
    await staysWhole('swapped', 'deferrable');
  });

  postgresTest('may be a subscription, a publication, or a column of any length', async () => {
    await makeDocuments(server, 'sent');
    await startTable(server.url, 'sent', ENCODER);
    await succeeded('cutover', 'sent', '--form', 'none', '--execute');
    await server.sql(`create publication own_sent for table sent, ${await sideOf(server, 'sent')}`);
    await staysWhole('sent', 'the publication own_sent');
    await server.sql('drop publication own_sent');

    await makeDocuments(server, 'loose', { type: 'vector' });
    await server.sql(`insert into loose values (99, 'short', '{}', '[1,2,3]')`);
    await startTable(server.url, 'loose', ENCODER);
    await succeeded('cutover', 'loose', '--form', 'none', '--execute');
    await staysWhole('loose', 'the column has no length');
  });

  postgresTest('may be the search function', async () => {
    await makeDocuments(server, 'returned');
    await server.sql(
      `create function find_returned(q vector, n int) returns table (id int, embedding vector) language sql as 'select id, embedding from returned order by embedding <=> q limit n'`,
    );
    await startTable(server.url, 'returned', ENCODER);
    await succeeded('cutover', 'returned', '--form', 'function', '--function', 'find_returned', '--execute');
    await staysWhole('returned', 'returns "embedding"');

    await cutOverTable('edited');
    await server.sql(
      `create or replace function find_edited(query_embedding vector, match_count integer default 10, filter jsonb default '{}') returns table(id integer, content text, metadata jsonb, similarity double precision) language sql as 'select 1, null::text, null::jsonb, 1.0::float8'`,
    );
    await staysWhole('edited', 'was changed or dropped since the cut-over');
  });

  postgresTest('may be a client that holds the table, or the rights of the command', async () => {
    await cutOverTable('held');
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query('begin; select from held limit 1');
    const running = migrate('complete', ...dropped('held'), '--lock-timeout', '0.2', '--log-level', 'info');
    const isEarly = await Promise.race([running.then(() => true), sleep(8_000).then(() => false)]);
    expect(isEarly).toBe(false);
    expect(await hasColumn('held')).toBe(true);
    await client.query('commit');
    await client.end();
    const { code: ended, stderr: said } = await running;
    expect({ ended, said }).toMatchObject({
      ended: 0,
      said: expect.stringContaining('trying again later') as unknown,
    });
    expect(await hasColumn('held')).toBe(false);

    await server.sql('create role drop_worker login; grant all on schema public to drop_worker');
    await cutOverTable('owned');
    await server.sql(
      `grant all on owned to drop_worker; grant all on schema tldr to drop_worker; grant all on all tables in schema tldr to drop_worker; grant execute on all functions in schema tldr to drop_worker`,
    );
    const { code, stderr } = await runCli(['migrate', 'complete', ...dropped('owned')], {
      cwd,
      env: { DATABASE_URL: urlAs(server, 'drop_worker') },
    });
    expect({ code, stderr }).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('only the owner of "public"."owned"') as unknown,
    });
    expect(await hasColumn('owned')).toBe(true);
  });

  postgresTest('is not row-level security, which the function for writing follows', async () => {
    await makeDocuments(server, 'secured');
    await server.sql(
      `create role drop_tenant login; grant select, insert, update, delete on secured to drop_tenant;
       alter table secured enable row level security;
       create policy own on secured for all to drop_tenant using (id % 2 = 0) with check (id % 2 = 0)`,
    );
    await startTable(server.url, 'secured', ENCODER);
    await succeeded('cutover', 'secured', '--form', 'function', '--function', 'find_secured', '--execute');
    await succeeded('complete', ...dropped('secured'));
    const side = await sideOf(server, 'secured');
    const [{ write } = {}] = await server.sql(
      `select oid::regproc::text as write from pg_proc where proname like 'write_vector_secured_%'`,
    );
    const text = vectorText(new Rng(77));
    await asRole(server, 'drop_tenant', `select ${String(write)}(4, '${text}')`);
    expectNear((await server.sql(`select z::text from ${side} where k1 = 4`))[0]?.['z'], projected(text));
    await expect(asRole(server, 'drop_tenant', `select ${String(write)}(5, '${text}')`)).rejects.toThrow(
      'no row has this key',
    );
    await server.sql(
      `drop policy own on secured; create policy seen on secured for select to drop_tenant using (true);
       create policy changed on secured for update to drop_tenant using (id % 2 = 0)`,
    );
    const deletion = `with d as (delete from ${side} where k1 in (8, 9) returning 1) select count(*)::int as n from d`;
    expect(await asRole(server, 'drop_tenant', deletion)).toEqual([{ n: 1 }]);
    expect(await server.sql(`select k1::int as k from ${side} where k1 in (8, 9)`)).toEqual([{ k: 9 }]);
    await expect(
      asRole(server, 'drop_tenant', `insert into ${side} select 5000, z from ${side} limit 1`),
    ).rejects.toThrow('row-level security');
    await expect(
      asRole(
        server,
        'drop_tenant',
        `with w as (update ${side} set k1 = k1 where k1 = 5 returning 1) select count(*)::int as n from w`,
      ),
    ).resolves.toEqual([{ n: 0 }]);
  });
});
