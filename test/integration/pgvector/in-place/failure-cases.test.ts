import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { Rng } from '../../../../src/core/rng.js';
import { resumeInPlace, startInPlace } from '../../../../src/migrate/in-place/run.js';
import {
  DIM,
  compactDifferences,
  expectEqual,
  linearEncoder,
  makeDocuments,
  resumeTable,
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

const postgresTest = await testsOnPostgres('programs');
const run = promisify(execFile);
const ENCODER = linearEncoder();
const rng = new Rng(3);
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres('programs');
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-in-place-'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

async function expectAllEqual(table: string): Promise<void> {
  await expectEqual(server, { table, encoder: ENCODER });
}

describe('clients change rows', () => {
  postgresTest(
    'of every kind, and each change reaches the compact vectors in its own transaction',
    async () => {
      await makeDocuments(server, 'written');
      await startTable(server.url, 'written', ENCODER);
      const one = vectorText(rng);
      await server.sql(`insert into written values (1000, 'new', '{}', '${one}')`);
      await server.sql(
        `insert into written values (1000, 'again', '{}', '${vectorText(rng)}') on conflict (id) do update set embedding = excluded.embedding`,
      );
      await server.sql(`update written set embedding = '${vectorText(rng)}' where id < 5`);
      await server.sql(`update written set content = 'other' where id between 5 and 9`);
      await server.sql(`update written set embedding = null where id = 10`);
      await server.sql(`update written set embedding = '${vectorText(rng)}' where id = 10`);
      await server.sql(`update written set embedding = null where id = 11`);
      await server.sql(`update written set id = -id where id between 12 and 15`);
      await server.sql(`update written set embedding = array_fill(0, array[${DIM}])::vector where id = 16`);
      await server.sql('delete from written where id between 20 and 25');
      await server.sql(`begin; insert into written values (2000, '', '{}', '${one}'); rollback`);
      await server.sql(
        `begin; savepoint a; delete from written where id = 30; rollback to a; delete from written where id = 31; commit`,
      );
      await server.sql(
        `begin isolation level serializable; update written set id = 3000 where id = 32; commit`,
      );
      await expectAllEqual('written');
      await server.sql(`create table copied as select * from written where id between 40 and 50`);
      await server.sql('truncate written');
      await expectAllEqual('written');
      await server.sql('insert into written select * from copied');
      await expectAllEqual('written');
    },
  );

  postgresTest('whose keys change places, also by triggers of their own', async () => {
    await server.sql(
      `create table swapped (id int primary key deferrable initially deferred, embedding vector(${DIM}))`,
    );
    for (let id = 1; id <= 6; id++)
      await server.sql(`insert into swapped values (${id}, '${vectorText(rng)}')`);
    await startTable(server.url, 'swapped', ENCODER);
    await server.sql('update swapped set id = id + 1');
    await expectAllEqual('swapped');
    await server.sql(
      'begin; update swapped set id = 99 where id = 2; update swapped set id = 2 where id = 3; update swapped set id = 3 where id = 99; commit',
    );
    await expectAllEqual('swapped');
    await server.sql(`create function again() returns trigger language plpgsql as $$ begin
      if pg_trigger_depth() = 1 then update swapped set embedding = '${vectorText(rng)}' where id = new.id; end if; return null; end $$`);
    await server.sql('create trigger aa after update on swapped for each row execute function again()');
    await server.sql(`update swapped set embedding = '${vectorText(rng)}' where id = 4`);
    await expectAllEqual('swapped');
  });

  postgresTest(
    'in a snapshot that is older than a compact vector: the delete fails and is repeated',
    async () => {
      await makeDocuments(server, 'old_snapshots', { rows: 3 });
      await startTable(server.url, 'old_snapshots', ENCODER);
      const side = await sideOf(server, 'old_snapshots');
      await server.sql(`create table kept as select * from ${side}`);
      await server.sql(`delete from ${side}`);
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      try {
        await client.query('begin isolation level repeatable read');
        await client.query('select count(*) from old_snapshots');
        await server.sql(`insert into ${side} select * from kept`);
        await expect(client.query('delete from old_snapshots where id = 2')).rejects.toMatchObject({
          code: '40001',
        });
        await client.query('rollback');
        await client.query('delete from old_snapshots where id = 2');
      } finally {
        await client.end();
      }
      await expectAllEqual('old_snapshots');
    },
  );

  postgresTest('to NULL while their batch is filled', async () => {
    await makeDocuments(server, 'nulled', { rows: 5 });
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await withPgvector(server.url, async (store) => {
      const request = { collection: 'nulled', encoder: ENCODER.toBytes(), datatype: undefined };
      const whole = { ...request, vectorName: undefined, hnswM: undefined };
      const work = await store.inPlace.begin(whole, { lockWaitMs: 500 });
      await work.install();
      await client.query('begin; update nulled set embedding = null where id = 2');
      const filling = work.fillNext(100);
      await new Promise((resolve) => setTimeout(resolve, 500));
      await client.query('commit');
      await filling;
      await work.release();
    });
    await client.end();
    await expectAllEqual('nulled');
  });
});

describe('tables of other forms', () => {
  postgresTest('keys of several columns, odd names, and vectors of several lengths', async () => {
    await server.sql('create schema "Odd one"');
    await server.sql(
      `create table "Odd one"."t%s" (tenant text, "Key" uuid default gen_random_uuid(), embedding vector, primary key (tenant, "Key"))`,
    );
    for (const dim of [DIM, DIM, DIM, 3])
      await server.sql(
        `insert into "Odd one"."t%s" (tenant, embedding) values ('it''s', '${vectorText(rng, dim)}')`,
      );
    const { verified, state } = await startTable(server.url, '"Odd one"."t%s"', ENCODER);
    expect(verified).toMatchObject({ points: 3, missing: 0, orphans: 0, differing: 0 });
    await withPgvector(server.url, async (store) => {
      const name = { collection: '"Odd one"."t%s"', vectorName: undefined };
      const work = await store.inPlace.resume(name, { lockWaitMs: 500 });
      await work.cutOver({ form: 'function', name: '"Odd one".find', candidates: 100 });
      await work.release();
    });
    expect(state.phase).toBe('ready');
    const rows = await server.sql(
      `select f.similarity from "Odd one"."t%s" t, "Odd one".find(t.embedding, 1) f where vector_dims(t.embedding) = ${DIM}`,
    );
    expect(rows.map(({ similarity }) => Math.round(Number(similarity) * 1e4))).toEqual([1e4, 1e4, 1e4]);
  });

  postgresTest('halfvec columns', async () => {
    await makeDocuments(server, 'halves', { type: `halfvec(${DIM})` });
    await startTable(server.url, 'halves', ENCODER);
    await server.sql(`update halves set embedding = '${vectorText(rng)}' where id = 4`);
    await expectAllEqual('halves');
  });

  postgresTest('partitions, also those that are attached, emptied and changed later', async () => {
    await server.sql(
      `create table parted (id int, region text, embedding vector(${DIM}), primary key (id, region)) partition by list (region)`,
    );
    await server.sql(`create table parted_a partition of parted for values in ('a')`);
    await server.sql(`create table parted_b partition of parted for values in ('b')`);
    for (let id = 1; id <= 20; id++)
      await server.sql(
        `insert into parted values (${id}, '${id % 2 === 0 ? 'a' : 'b'}', '${vectorText(rng)}')`,
      );
    await startTable(server.url, 'parted', ENCODER);
    const side = await sideOf(server, 'parted');
    const counts = (): Promise<readonly Record<string, unknown>[]> =>
      server.sql(
        `select (select count(*)::int from parted) as full, (select count(*)::int from ${side}) as compact, (select count(*)::int from parted join ${side} on id = k1 and region = k2) as pairs`,
      );
    await server.sql(`update parted set region = 'b' where id in (2, 4)`);
    await server.sql('truncate parted_a');
    expect(await counts()).toEqual([{ full: 12, compact: 12, pairs: 12 }]);
    await server.sql(`create table parted_c (like parted including all)`);
    await server.sql(`insert into parted_c values (100, 'c', '${vectorText(rng)}')`);
    await server.sql(`alter table parted attach partition parted_c for values in ('c')`);
    await withPgvector(server.url, async (store) => {
      const state = await store.inPlace.find({ collection: 'parted', vectorName: undefined });
      expect(state?.warnings.join()).toContain('public.parted_c was attached later');
    });
    await resumeTable(server.url, 'parted');
    expect(await counts()).toEqual([{ full: 13, compact: 13, pairs: 13 }]);
    await server.sql('truncate parted_c');
    await server.sql(`insert into parted values (101, 'c', '${vectorText(rng)}')`);
    expect(await counts()).toEqual([{ full: 13, compact: 13, pairs: 13 }]);
  });

  postgresTest(
    'two columns with two encoders at once, and a second encoder for one column refused',
    async () => {
      await server.sql(`create table pairs (id int primary key, a vector(${DIM}), b vector(${DIM}))`);
      await server.sql(`insert into pairs values (1, '${vectorText(rng)}', '${vectorText(rng)}')`);
      const other = linearEncoder(2);
      await Promise.all([
        startTable(server.url, 'pairs', ENCODER, { vectorName: 'a' }),
        startTable(server.url, 'pairs', other, { vectorName: 'b' }),
      ]);
      await server.sql(`update pairs set a = '${vectorText(rng)}', b = '${vectorText(rng)}'`);
      const sides = (await sideTables(server)).filter((name) => name.includes('compact_pairs_'));
      expect(sides).toHaveLength(2);
      for (const side of sides) {
        const found = await Promise.all(
          [['a', ENCODER] as const, ['b', other] as const].map(([column, encoder]) =>
            compactDifferences(server, {
              table: `(select id, ${column} as embedding from pairs)`,
              side,
              encoder,
            }),
          ),
        );
        expect(found.filter(({ differing }) => differing.length === 0)).toHaveLength(1);
      }
      await expect(startTable(server.url, 'pairs', other, { vectorName: 'a' })).rejects.toMatchObject({
        code: 'MISMATCH',
      });
    },
  );

  postgresTest('two encoders for one column at the same moment: one of them is refused', async () => {
    await makeDocuments(server, 'contested', { rows: 20 });
    const encoders = [ENCODER, linearEncoder(3)];
    const ends = await Promise.allSettled(
      encoders.map((encoder) => startTable(server.url, 'contested', encoder)),
    );
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [rows] = await server.sql(`select fingerprint from tldr.migration where table_name = 'contested'`);
    const encoder = encoders.find(({ fingerprint }) => fingerprint === rows?.['fingerprint']) ?? ENCODER;
    await expectEqual(server, { table: 'contested', encoder });
  });

  postgresTest.each<readonly [string, string, string]>([
    ['nokey', `create table nokey (id int, embedding vector(${DIM}))`, 'has no primary key'],
    [
      'viewed',
      `create view viewed as select 1 as id, array_fill(1, array[${DIM}])::vector(${DIM}) as embedding`,
      'is a view',
    ],
    [
      'parent',
      `create table parent (id int primary key, embedding vector(${DIM})); create table child () inherits (parent)`,
      'inherit from',
    ],
    ['narrow', `create table narrow (id int primary key, embedding vector(3))`, 'has 3 dimensions'],
  ])('refuses %s with words', async (table, statement, words) => {
    await server.sql(statement);
    await expect(startTable(server.url, table, ENCODER)).rejects.toThrow(words);
  });
});

describe('rights', () => {
  postgresTest('that are missing are asked for in SQL', async () => {
    await makeDocuments(server, 'guarded', { rows: 5 });
    await server.sql('create role helper login');
    const attempt = startTable(urlAs(server, 'helper'), 'guarded', ENCODER);
    await expect(attempt).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const message = await attempt.then(() => '', String);
    const asked = [...message.matchAll(/^ +(grant .*;)/gm)].map(([, statement]) => String(statement));
    expect(asked.join()).toContain('grant select, update, trigger on "public"."guarded" to helper;');
    for (const statement of asked) await server.sql(statement);
    await startTable(urlAs(server, 'helper'), 'guarded', linearEncoder(5));
    await expectEqual(server, { table: 'guarded', encoder: linearEncoder(5) });
  });

  postgresTest('of readers follow those of the table, with row-level security too', async () => {
    await makeDocuments(server, 'secured', { rows: 30 });
    await server.sql('create role reader login; grant select on secured to reader');
    await server.sql('alter table secured enable row level security');
    await server.sql(`create policy few on secured using (id <= 4)`);
    await startTable(server.url, 'secured', ENCODER);
    const side = await sideOf(server, 'secured');
    await withPgvector(server.url, async (store) => {
      const work = await store.inPlace.resume(
        { collection: 'secured', vectorName: undefined },
        { lockWaitMs: 500 },
      );
      await work.cutOver({ form: 'function', name: 'find_secured', candidates: 100 });
      await work.release();
    });
    const reader = new pg.Client({ connectionString: urlAs(server, 'reader') });
    await reader.connect();
    try {
      const seen = await reader.query<{ rows: number }>(`select count(*)::int as rows from ${side}`);
      expect(seen.rows).toEqual([{ rows: 4 }]);
      const found = await reader.query<{ id: number }>(
        `select id from find_secured((select embedding from secured where id = 2), 10)`,
      );
      expect(found.rows.map(({ id }) => id).sort()).toEqual([1, 2, 3, 4]);
    } finally {
      await reader.end();
    }
    await server.sql('create role limited login; grant select, update, trigger on secured to limited');
    await expect(startTable(urlAs(server, 'limited'), 'secured', ENCODER)).rejects.toThrow(
      /bypassrls|row-level security/i,
    );
  });

  postgresTest('a server that forbids settings of functions gets a function without them', async () => {
    await makeDocuments(server, 'plain', { rows: 60 });
    await startTable(server.url, 'plain', ENCODER);
    await server.sql(`create function forbid() returns event_trigger language plpgsql as $$ begin
      if exists (select from pg_event_trigger_ddl_commands() c join pg_proc p on p.oid = c.objid where p.proconfig::text like '%hnsw%')
      then raise exception 'permission denied to set parameter'; end if; end $$`);
    await server.sql('create event trigger forbids on ddl_command_end execute function forbid()');
    await withPgvector(server.url, async (store) => {
      const work = await store.inPlace.resume(
        { collection: 'plain', vectorName: undefined },
        { lockWaitMs: 500 },
      );
      const { lines } = await work.cutOver({ form: 'function', name: 'find_plain', candidates: 100 });
      await work.release();
      expect(lines.join()).toContain('each search has 40 candidates');
    });
    await server.sql('drop event trigger forbids');
    const found = await server.sql(
      `select id from find_plain((select embedding from plain where id = 3), 5)`,
    );
    expect(found[0]).toEqual({ id: 3 });
  });
});

describe('what a run is told while it works', () => {
  postgresTest(
    'a pause ends it after a batch, and it continues, watching how fast searches are',
    async () => {
      await makeDocuments(server, 'paused', { rows: 1_000 });
      const name = { collection: 'paused', vectorName: undefined };
      await withPgvector(server.url, async (store) => {
        const request = { ...name, encoder: ENCODER.toBytes(), datatype: undefined, hnswM: undefined };
        const running = startInPlace(store, request, { lockWaitMs: 500, throttle: { nice: 100 } });
        const ended = running.then(
          () => 'finished',
          (error: unknown) => String(error),
        );
        await withPgvector(server.url, async (other) => {
          while (((await other.inPlace.find(name))?.filled ?? 0) === 0)
            await new Promise((resolve) => setTimeout(resolve, 20));
          await other.inPlace.pause(name, 60_000);
        });
        expect(await ended).toContain('the migration was paused');
        const state = await store.inPlace.find(name);
        expect(state).toMatchObject({ phase: 'filling', paused: true, runner: null });
        const done = await resumeInPlace(store, name, {
          lockWaitMs: 500,
          throttle: { maxLoad: '50x', nice: 0 },
        });
        expect(done.filled).toBe(1_000 - (state?.filled ?? 0));
      });
      await expectAllEqual('paused');
    },
  );
});

describe('what is left by others', () => {
  postgresTest('an invalid index is dropped and built again', async () => {
    await makeDocuments(server, 'broken', { rows: 10 });
    await startTable(server.url, 'broken', ENCODER);
    const index = `${(await sideOf(server, 'broken')).replace('tldr.', '')}_hnsw`;
    await server.sql(`update pg_index set indisvalid = false where indexrelid = 'tldr."${index}"'::regclass`);
    await server.sql(`update tldr.migration set phase = 'indexing' where table_name = 'broken'`);
    await resumeTable(server.url, 'broken');
    expect(
      await server.sql(
        `select indisvalid as valid from pg_index where indexrelid = 'tldr."${index}"'::regclass`,
      ),
    ).toEqual([{ valid: true }]);
  });

  postgresTest(
    'a client that holds the table only delays the start, and others wait for a moment',
    async () => {
      await makeDocuments(server, 'held', { rows: 10 });
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      await client.query('begin; update held set content = $$held$$ where id = 1');
      let isOver = false;
      const starting = startTable(server.url, 'held', ENCODER).finally(() => (isOver = true));
      await server.sql(`update held set content = 'not held' where id = 2`);
      expect(isOver).toBe(false);
      await client.query('commit');
      await client.end();
      await starting;
      await expectAllEqual('held');
    },
  );

  postgresTest(
    'a dump restores the migration, and a restored table alone is found and repaired',
    async () => {
      const own = await server.beside();
      await makeDocuments(own, 'dumped', { rows: 40 });
      await startTable(own.url, 'dumped', ENCODER);
      const program = (name: string): string => join(String(server.programs), name);
      const [whole, alone] = [join(cwd, 'whole.sql'), join(cwd, 'alone.sql')];
      await run(program('pg_dump'), ['-d', own.url, '-f', whole]);
      const copy = await server.beside();
      await run(program('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', copy.url, '-f', whole]);
      const side = await sideOf(copy, 'dumped');
      await copy.sql(`update dumped set embedding = '${vectorText(rng)}' where id = 1`);
      await expectEqual(copy, { table: 'dumped', side, encoder: ENCODER });
      await withPgvector(copy.url, async (store) => {
        const state = await store.inPlace.find({ collection: 'dumped', vectorName: undefined });
        expect(state?.warnings.join()).toContain('was made again');
      });
      await resumeTable(copy.url, 'dumped');

      await run(program('pg_dump'), ['-d', own.url, '-t', 'dumped', '-f', alone]);
      await copy.sql('drop table dumped');
      await run(program('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', copy.url, '-f', alone]);
      await copy.sql(`delete from dumped where id = 5`);
      const differing = await compactDifferences(copy, { table: 'dumped', side, encoder: ENCODER });
      expect(differing.differing).toEqual(['1']);
      await resumeTable(copy.url, 'dumped');
      await expectEqual(copy, { table: 'dumped', side, encoder: ENCODER });
      await copy.stop();
      await own.stop();
    },
  );
});
