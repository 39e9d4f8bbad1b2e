import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type {
  InPlaceCutOverRequest,
  InPlaceState,
  InPlaceWork,
} from '../../../../src/store/in-place-target.js';
import type { CliResult } from '../../../support/cli/run-cli.js';
import {
  DIM,
  asRole,
  linearEncoder,
  makeDocuments,
  resumeTable,
  startTable,
  urlAs,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import { testsOnPostgres, type PostgresServer } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

const postgresTest = await testsOnPostgres('programs');
const ENCODER = linearEncoder();
let server: PostgresServer;
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ needs: 'programs' });
  ({ server } = place);
});
afterAll(() => place.end());

const migrate = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.run(['migrate', verb, ...args]);

/** Works on the migration of a table as a role, and lets go of it. */
function working<T>(table: string, body: (work: InPlaceWork) => Promise<T>, url = server.url): Promise<T> {
  return withPgvector(url, async (store) => {
    const name = { collection: table, vectorName: undefined };
    const work = await store.inPlace.resume(name, { lockWaitMs: 500 });
    try {
      return await body(work);
    } finally {
      await work.release();
    }
  });
}

const byOperator = (role: string): InPlaceCutOverRequest => ({
  form: 'operator',
  name: role,
  candidates: 100,
});
const byFunction = (name: string): InPlaceCutOverRequest => ({ form: 'function', name, candidates: 100 });

async function stateOf(table: string): Promise<InPlaceState | null> {
  return withPgvector(server.url, (store) =>
    store.inPlace.find({ collection: table, vectorName: undefined }),
  );
}

/** Makes a table with its migration, and a role that may read it and nothing else. */
async function migrated(table: string, layout: 'side' | 'index-only' = 'side'): Promise<string> {
  await makeDocuments(server, table, { rows: 40 });
  await server.sql(`create role reads_${table} login; grant select on ${table} to reads_${table}`);
  await startTable(server.url, table, ENCODER, { layout });
  return `reads_${table}`;
}

/** Indexes of the base table that a migration made, and whether they are valid. */
const indexesOf = (table: string): Promise<readonly Record<string, unknown>[]> =>
  server.sql(
    `select indexrelid::regclass::text as name, indisvalid as valid from pg_index where indrelid = $1::regclass and indexprs is not null`,
    [table],
  );

/** Runs the statements that a message asks for. */
async function runAsked(message: string): Promise<void> {
  const lines = message.split('\n').filter((line) => line.startsWith('  '));
  await server.sql(lines.join('\n'));
}

describe('removing a migration', () => {
  postgresTest(
    'that waited while another process cut over leaves the function of clients alone',
    async () => {
      await migrated('raced');
      await server.sql(
        `create function match_raced(query_embedding vector(${DIM}), match_count int) returns table (id int, similarity float) language sql as $$ select id, 1 - (embedding <=> query_embedding) from raced order by embedding <=> query_embedding limit match_count $$`,
      );
      const source = `select prosrc from pg_proc where proname = 'match_raced'`;
      const before = await server.sql(source);
      const removing = await working('raced', async (work) => {
        // Waits for the lock until the cut-over is committed.
        const later = working('raced', (other) => other.remove()).then(
          () => null,
          (error: unknown) => error,
        );
        await work.cutOver(byFunction('match_raced'));
        return { later };
      });
      expect(await removing.later).toMatchObject({
        code: 'INVALID_ARGUMENT',
        hint: 'roll-back-first',
      });
      expect(
        await server.sql('select id from match_raced((select embedding from raced where id = 9), 1)'),
      ).toEqual([{ id: 9 }]);
      await working('raced', (work) => work.rollBack());
      expect(await server.sql(source)).toEqual(before);
    },
  );

  postgresTest('is done by a second attempt after a lost commit too', async () => {
    await migrated('twice');
    await working('twice', async (work) => {
      await work.remove();
      await work.remove();
    });
    expect(await stateOf('twice')).toBeNull();
  });
});

describe('the index of an operator', () => {
  postgresTest('that an interrupted cut-over left is shown, and removed by a rollback', async () => {
    const role = await migrated('stopped');
    await server.sql(
      `create function forbid() returns event_trigger language plpgsql as $$ begin raise exception 'no operators'; end $$`,
    );
    const stopped = async (): Promise<void> => {
      await server.sql(
        `create event trigger forbids on ddl_command_start when tag in ('CREATE OPERATOR') execute function forbid()`,
      );
      await expect(working('stopped', (work) => work.cutOver(byOperator(role)))).rejects.toThrow(
        'no operators',
      );
      await server.sql('drop event trigger forbids');
      expect(await indexesOf('stopped')).toMatchObject([{ valid: true }]);
    };
    await stopped();
    expect((await migrate('status', 'stopped')).stdout).toMatch(
      /tldr_stopped_\w+_hnsw" was left over: `migrate rollback` removes it/,
    );
    expect((await migrate('rollback', 'stopped')).stdout).toContain('was left over, is removed');
    expect(await indexesOf('stopped')).toHaveLength(1);
    expect((await migrate('rollback', 'stopped', '--execute')).code).toBe(0);
    expect(await indexesOf('stopped')).toEqual([]);
    expect((await stateOf('stopped'))?.leftovers).toEqual([]);
    expect((await migrate('rollback', 'stopped', '--execute')).code).not.toBe(0);

    await stopped();
    await working('stopped', (work) => work.cutOver(byFunction('find_stopped')));
    await working('stopped', (work) => work.rollBack());
    expect(await indexesOf('stopped')).toEqual([]);
  });

  postgresTest.each(['side', 'index-only'] as const)(
    'is built again if it is missing or not valid, in the layout %s',
    async (layout) => {
      const table = layout === 'side' ? 'beside' : 'indexed';
      const role = await migrated(table, layout);
      const invalid = `update pg_index set indisvalid = false where indrelid = '${table}'::regclass and indexprs is not null`;
      await server.sql(invalid);
      await working(table, (work) => work.cutOver(byOperator(role)));
      const [index] = await indexesOf(table);
      expect(index).toMatchObject({ valid: true });

      await server.sql(invalid);
      expect((await stateOf(table))?.warnings.join()).toContain('is not valid');
      await working(table, (work) => work.cutOver(byOperator(role)));
      expect(await indexesOf(table)).toEqual([index]);

      await server.sql(`drop index ${String(index?.['name'])}`);
      expect((await stateOf(table))?.warnings.join()).toContain('has no index');
      expect((await migrate('verify', table)).code).toBe(10);
      expect(await resumeTable(server.url, table)).toMatchObject({
        state: { phase: 'cut-over', warnings: [] },
      });
      expect(await indexesOf(table)).toEqual([index]);
      const completed = await migrate('complete', table);
      expect(completed.stdout).toContain('the operator needs the index');
    },
  );
});

describe('rights and search paths of others', () => {
  postgresTest.each(['side', 'index-only'] as const)(
    'a role that may only write writes on where functions are closed to it, in the layout %s',
    async (layout) => {
      const table = layout === 'side' ? 'closed_side' : 'closed_only';
      await server.sql('alter default privileges revoke execute on functions from public');
      try {
        const role = await migrated(table, layout);
        await server.sql(`create role writes_${table} login; grant insert on ${table} to writes_${table}`);
        await working(table, (work) => work.cutOver(byOperator(role)));
        await asRole(
          server,
          `writes_${table}`,
          `insert into ${table} values (900, '', '{}', array_fill(1, array[${DIM}])::vector)`,
        );
        const found = await asRole(
          server,
          role,
          `select id from ${table} order by embedding <=> array_fill(1, array[${DIM}])::vector limit 1`,
        );
        expect(found).toEqual([{ id: 900 }]);
        await working(table, (work) => work.rollBack());
        await server.sql(
          `create function find_${table}(query vector(${DIM}), k int) returns table (id int, distance float) language sql as $$ select id, embedding <=> query from ${table} order by embedding <=> query limit k $$; grant execute on function find_${table} to ${role}`,
        );
        await working(table, (work) => work.cutOver(byFunction(`find_${table}`)));
        expect(
          await asRole(server, role, `select id from find_${table}(array_fill(1, array[${DIM}])::vector, 1)`),
        ).toEqual([{ id: 900 }]);
      } finally {
        await server.sql('alter default privileges grant execute on functions to public');
      }
    },
  );

  postgresTest(
    'an operator in the path of the role runs nothing with the rights of the command',
    async () => {
      const role = await migrated('baited');
      await server.sql(
        `create schema bait; create table bait.ran (as_role text);
       create function bait.equal(text, text) returns boolean language plpgsql as $$ begin
         insert into bait.ran values (current_user); return $1 operator(pg_catalog.=) $2; end $$;
       create operator bait.= (leftarg = text, rightarg = text, function = bait.equal)`,
      );
      const [{ name } = {}] = await server.sql('select quote_ident(current_database()) as name');
      await server.sql(`alter role ${role} in database ${String(name)} set search_path = bait, pg_catalog`);
      await working('baited', (work) => work.cutOver(byOperator(role)));
      await working('baited', (work) => work.rollBack());
      expect(await server.sql('select distinct as_role from bait.ran')).toEqual([]);
    },
  );

  postgresTest(
    'what a rollback may not remove is asked for, and what others made of it is named',
    async () => {
      const role = await migrated('lent');
      await server.sql(
        `create role lends login; alter table lent owner to lends; grant create on schema public to lends; grant all on schema tldr to lends; grant all on all tables in schema tldr to lends`,
      );
      const url = urlAs(server, 'lends');
      await working('lent', (work) => work.cutOver(byOperator(role)));
      const [{ schema } = {}] = await server.sql(
        `select n.nspname as schema from pg_namespace n join pg_operator o on o.oprnamespace = n.oid where n.nspname like 'tldr_operator%' order by o.oid desc limit 1`,
      );
      const [{ distance } = {}] = await server.sql(
        `select o.oprcode::regprocedure::text as distance from pg_operator o where o.oprnamespace = '${String(schema)}'::regnamespace`,
      );
      await server.sql(
        `create view uses as select ${String(distance).replace(/\(.*/, '')}(embedding, embedding) as d from lent`,
      );
      await expect(working('lent', (work) => work.rollBack())).rejects.toMatchObject({
        code: 'MISMATCH',
        message: expect.stringContaining('view public.uses depends on function') as unknown,
      });
      await server.sql('drop view uses');

      const back = (): Promise<string> =>
        working('lent', (work) => work.rollBack(), url).then(() => '', String);
      for (const words of [
        'reset search_path',
        'drop schema if exists',
        'the cut-over is rolled back, but',
      ]) {
        const message = await back();
        expect(message).toContain(words);
        await runAsked(message);
      }
      expect(await stateOf('lent')).toMatchObject({ phase: 'ready', cutOver: null, leftovers: [] });
      expect(await server.sql(`select from pg_namespace where nspname = '${String(schema)}'`)).toEqual([]);

      await server.sql(`create schema ${String(schema)}; grant create on schema ${String(schema)} to lends`);
      const asked = await working('lent', (work) => work.cutOver(byOperator(role)), url).then(
        () => '',
        String,
      );
      expect(asked).toContain(`alter schema ${String(schema)} owner to lends;`);
    },
  );
});
