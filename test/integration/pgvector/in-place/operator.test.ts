import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { distanceBetween } from '../../../support/postgres/compact-distance.js';
import type { CliResult } from '../../../support/cli/run-cli.js';
import {
  DIM,
  asRole,
  linearEncoder,
  makeDocuments,
  startTable,
  urlAs,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import { testsOnPostgres, type PostgresServer } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

const postgresTest = await testsOnPostgres('programs');
const run = promisify(execFile);
const ENCODER = linearEncoder();
/** A search as clients write it, with the distance that they show. */
const search = (table: string, id: number): string =>
  `select id, embedding <=> (select embedding from ${table} where id = ${id}) as distance from ${table} order by distance limit 5`;
let server: PostgresServer;
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ needs: 'programs', encoder: ENCODER });
  ({ server } = place);
});
afterAll(() => place.end());

const succeeded = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.succeeded(['migrate', verb, ...args]);

/** Makes a table, and a role that may read it and nothing else. */
async function tableFor(role: string, table: string, rows = 300): Promise<void> {
  await makeDocuments(server, table, { rows });
  await server.sql(`create role ${role} login; grant select on ${table} to ${role}`);
}

const roleSettings = (): Promise<readonly Record<string, unknown>[]> =>
  server.sql(
    `select r.rolname, s.setconfig from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole order by 1`,
  );

/** The plan of a search with a vector as clients send it. */
async function planFor(role: string, table: string): Promise<string> {
  const [{ v } = {}] = await server.sql(`select embedding::text as v from ${table} where id = 3`);
  const rows = await asRole(
    server,
    role,
    `explain (costs off) select id from ${table} order by embedding <=> '${String(v)}' limit 5`,
  );
  return rows.map((row) => String(row['QUERY PLAN'])).join('\n');
}

async function cutOver(url: string, table: string, role: string): Promise<readonly string[]> {
  return withPgvector(url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    try {
      return (await work.cutOver({ form: 'operator', name: role, candidates: 100 })).lines;
    } finally {
      await work.release();
    }
  });
}

async function rollBack(url: string, table: string): Promise<void> {
  await withPgvector(url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    try {
      await work.rollBack();
    } finally {
      await work.release();
    }
  });
}

/** Statements that a message asks an administrator to run. */
function askedFor(message: string): string {
  return message
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .join('\n');
}

describe('the operator of one role', () => {
  postgresTest('is used by its searches as they are, until the rollback', async () => {
    await tableFor('app', 'docs');
    await server.sql('create schema "Odd, one"');
    const [{ name } = {}] = await server.sql('select quote_ident(current_database()) as name');
    await server.sql(`alter role app in database ${String(name)} set work_mem = '5MB'`);
    await server.sql(
      `begin; select set_config('search_path', '"Odd, one",public,  "$user"', true); alter role app in database ${String(name)} set search_path from current; commit`,
    );
    const [settings, exact] = [await roleSettings(), await asRole(server, 'app', search('docs', 7))];
    await succeeded('start', 'docs', '--encoder', 'enc.onnx', '--yes');

    const operator = ['docs', '--form', 'operator', '--role', 'app'];
    const planned = await succeeded('cutover', ...operator);
    expect(planned.stdout).toMatch(
      /approximate[^]*create operator tldr_operator_\w+\.<=>[^]*alter role "app"/,
    );
    expect(await roleSettings()).toEqual(settings);
    expect(await planFor('app', 'docs')).not.toContain('_hnsw');

    await succeeded('cutover', ...operator, '--execute');
    expect(await planFor('app', 'docs')).toMatch(/Index Scan using tldr_docs_\w+_hnsw on docs/);
    const found = await asRole(server, 'app', search('docs', 7));
    expect(found[0]).toMatchObject({ id: 7 });
    for (const { id, distance } of found)
      expect(Number(distance)).toBeCloseTo(
        await distanceBetween(server, 'docs', ENCODER, [7, Number(id)]),
        2,
      );
    expect(await asRole(server, 'postgres', search('docs', 7))).toEqual(exact);
    const paths = await asRole(server, 'app', 'show search_path');
    expect(String(paths[0]?.['search_path'])).toMatch(/^tldr_operator_\w+, "Odd, one",public, {2}"\$user"$/);

    await succeeded('complete', 'docs');
    await succeeded('rollback', 'docs', '--execute');
    expect(await roleSettings()).toEqual(settings);
    expect(await asRole(server, 'app', search('docs', 7))).toEqual(exact);
    expect(await server.sql(`select nspname from pg_namespace where nspname like 'tldr_operator%'`)).toEqual(
      [],
    );
    expect(await server.sql(`select from pg_class where relname like 'tldr_docs%'`)).toEqual([]);
  });

  postgresTest('stays while the table is written, reindexed, dumped and restored', async () => {
    await tableFor('reader', 'kept');
    await server.sql('create role writer login; grant insert on kept to writer');
    await startTable(server.url, 'kept', ENCODER, { layout: 'index-only' });
    await cutOver(server.url, 'kept', 'reader');
    await asRole(
      server,
      'writer',
      `insert into kept values (9000, 'new', '{}', array_fill(1, array[${DIM}])::vector)`,
    );
    await server.sql(`begin; set local search_path = ''; reindex table public.kept; commit`);
    expect(await planFor('reader', 'kept')).toContain('tldr_kept');
    const before = await asRole(server, 'reader', search('kept', 9000));

    const dump = join(place.cwd, 'kept.sql');
    const program = (name: string): string => join(String(server.programs), name);
    await run(program('pg_dump'), ['-d', server.url, '-f', dump]);
    const copy = await server.beside();
    await run(program('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', copy.url, '-f', dump]);
    const [{ schema } = {}] = await server.sql(
      `select nspname as schema from pg_namespace where nspname like 'tldr_operator%'`,
    );
    const path = `set search_path = ${String(schema)}, public`;
    expect(await asRole(copy, 'reader', path, search('kept', 9000))).toEqual(before);
    expect(before[0]).toMatchObject({ id: 9000 });

    // A dump of a database has no settings of roles.
    const exact = await asRole(copy, 'reader', search('kept', 9000));
    expect(exact).not.toEqual(before);
    const { stdout, stderr } = await succeeded('status', 'kept', '--url', copy.url);
    expect(stdout).toContain('"reader" has not the search path of the cut-over');
    expect(stderr).toMatch(/next:\n {2}qdrant-tldr migrate resume kept/);
    await succeeded('resume', 'kept', '--url', copy.url, '--yes');
    expect(await asRole(copy, 'reader', search('kept', 9000))).toEqual(before);
    await copy.stop();
  });

  postgresTest('is not removed under a view that was made with it', async () => {
    await tableFor('viewer', 'viewed');
    await startTable(server.url, 'viewed', ENCODER, { layout: 'index-only' });
    await cutOver(server.url, 'viewed', 'viewer');
    const [{ schema } = {}] = await server.sql(
      `select nspname as schema from pg_namespace n join pg_operator o on o.oprnamespace = n.oid order by n.oid desc limit 1`,
    );
    await server.sql(
      `create view nearest as select id, embedding operator(${String(schema)}.<=>) embedding as d from viewed`,
    );
    await expect(rollBack(server.url, 'viewed')).rejects.toThrow(/view nearest was made with the operator/);
    await server.sql('drop view nearest');
    await rollBack(server.url, 'viewed');
    expect(await planFor('viewer', 'viewed')).not.toContain('tldr_viewed');
  });
});

describe('an operator is refused', () => {
  postgresTest('for distances that are no cosine', async () => {
    await makeDocuments(server, 'dotted', { rows: 20 });
    await server.sql('create index on dotted using hnsw (embedding vector_ip_ops)');
    await startTable(server.url, 'dotted', linearEncoder(1, [DIM, 4], 'dot'));
    await expect(cutOver(server.url, 'dotted', 'postgres')).rejects.toThrow(/only for cosine/);
  });

  postgresTest('for a role that reads other vectors, and for one that is not there', async () => {
    await tableFor('broad', 'wide', 20);
    await makeDocuments(server, 'beside', { rows: 5 });
    await server.sql('grant select on beside to broad');
    await startTable(server.url, 'wide', ENCODER);
    await expect(cutOver(server.url, 'wide', 'broad')).rejects.toThrow(
      /"broad" may also read public.beside.embedding/,
    );
    await expect(cutOver(server.url, 'wide', 'nobody')).rejects.toThrow('there is no role "nobody"');
    expect(await server.sql(`select from pg_class where relname like 'tldr_wide%'`)).toEqual([]);
  });

  postgresTest(
    'until an administrator gives the missing rights, with the statements to ask for',
    async () => {
      await server.sql('create role owning login; create role asking login');
      await server.sql('grant create on schema public to owning');
      await makeDocuments(server, 'first', { rows: 5 });
      await startTable(server.url, 'first', ENCODER);
      await makeDocuments(server, 'owned', { rows: 30 });
      await server.sql('alter table owned owner to owning; grant select on owned to asking');
      await server.sql(
        'grant usage, create on schema tldr to owning; grant select, insert, update, delete on tldr.migration, tldr.encoder to owning',
      );
      const own = linearEncoder(9);
      await startTable(urlAs(server, 'owning'), 'owned', own);
      const url = urlAs(server, 'owning');
      const settings = await roleSettings();
      for (const words of [/create schema tldr_operator/, /alter role "asking"/]) {
        const message = await cutOver(url, 'owned', 'asking').then(() => '', String);
        expect(message).toMatch(words);
        await server.sql(askedFor(message));
      }
      await cutOver(url, 'owned', 'asking');
      expect(await planFor('asking', 'owned')).toContain('tldr_owned');
      const message = await rollBack(url, 'owned').then(() => '', String);
      expect(message).toContain('reset search_path');
      await server.sql(askedFor(message));
      await rollBack(url, 'owned');
      expect(await roleSettings()).toEqual(settings);
    },
  );
});
