import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { CliResult } from '../../../support/cli/run-cli.js';
import {
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideTables,
} from '../../../support/postgres/in-place.js';
import { testsOnPostgres, type PostgresServer } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

const postgresTest = await testsOnPostgres();
const ENCODER = linearEncoder();
let server: PostgresServer;
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ encoder: ENCODER });
  ({ server } = place);
});
afterAll(() => place.end());

const succeeded = (...args: string[]): Promise<CliResult> => place.succeeded(args);
const succeededOn = (on: PostgresServer, ...args: string[]): Promise<CliResult> => place.succeeded(args, on);

/** The files of a folder, in their order. */
async function filesOf(folder: string): Promise<readonly string[]> {
  return (await readdir(join(place.cwd, folder))).filter((name) => name.endsWith('.sql')).sort();
}

/** Runs the files of a folder as a tool does: in order, each as one query of a plain client. */
async function runFiles(folder: string, { url } = server): Promise<readonly string[]> {
  const files = await filesOf(folder);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const file of files) await client.query(await readFile(join(place.cwd, folder, file), 'utf8'));
  } finally {
    await client.end();
  }
  return files;
}

describe('the steps of a migration as files', () => {
  postgresTest('touch nothing until they are run, and leave a migration behind', async () => {
    await makeDocuments(server, 'docs', { rows: 200 });
    const form = ['--form', 'function', '--function', 'find_docs'];
    await succeeded('sql', 'docs', '--encoder', 'enc.onnx', '--steps', 'side', ...form);
    expect(await server.sql(`select from pg_namespace where nspname = 'tldr'`)).toEqual([]);
    const files = await runFiles('side');
    expect(files[0]).toMatch(/^01_/);
    const [side = ''] = await sideTables(server);
    await expectEqual(server, { table: 'docs', side, encoder: ENCODER });
    await server.sql(`insert into docs select 900, 'new', '{}', embedding from docs where id = 7`);
    await expectEqual(server, { table: 'docs', side, encoder: ENCODER });
    await succeeded('migrate', 'verify', 'docs');
    const status = await succeeded('migrate', 'status', 'docs', '--json');
    expect(status.json()).toMatchObject({ phase: 'cut-over', cutOver: { form: 'function' } });
    const [nearest] = await server.sql(
      `select round(similarity::numeric, 4)::text as s from find_docs((select embedding from docs where id = 9), 1)`,
    );
    expect(nearest).toEqual({ s: '1.0000' });
    await succeeded('migrate', 'rollback', 'docs', '--execute');
    expect(await server.sql(`select from pg_proc where proname = 'find_docs'`)).toEqual([]);
    await succeeded('migrate', 'abort', 'docs', '--execute');
    expect(await sideTables(server)).toEqual([]);
  });

  postgresTest(
    'keep a function of the encoder that was there, and the precision of its weights',
    async () => {
      const id = ENCODER.fingerprint.slice(0, 12);
      await makeDocuments(server, 'kept', { rows: 20 });
      await succeeded('sql', '--encoder', 'enc.onnx', '--precision', 'half', '--out', 'half.sql');
      await server.sql(await readFile(join(place.cwd, 'half.sql'), 'utf8'));
      const weights = `select pg_typeof(weights)::text as type, md5(string_agg(w::text, ',' order by output, part)) as sum from tldr."weights_${id}" w group by 1`;
      const before = await server.sql(weights);
      expect(before).toMatchObject([{ type: 'halfvec' }]);
      await succeeded('sql', 'kept', '--encoder', 'enc.onnx', '--steps', 'kept');
      await runFiles('kept');
      expect(await server.sql(weights)).toEqual(before);
      await succeeded('migrate', 'verify', 'kept');
      await succeeded('sql', '--encoder', 'enc.onnx', '--out', 'float.sql');
      const float = await readFile(join(place.cwd, 'float.sql'), 'utf8');
      await expect(server.sql(float)).rejects.toThrow('a migration uses the weights');
      await succeeded('migrate', 'abort', 'kept', '--execute');
      expect(await server.sql(weights)).toEqual(before);
      const started = await succeeded('migrate', 'start', 'kept', '--encoder', 'enc.onnx', '--yes');
      expect(started.stdout).toContain('none differs');
      await succeeded('migrate', 'abort', 'kept', '--execute');
      expect(await server.sql(weights)).toEqual(before);
      await server.sql(
        `create index kept_compact on kept using hnsw ((tldr."project_${id}"(embedding)::vector(4)) vector_cosine_ops)`,
      );
      await expect(server.sql(float)).rejects.toThrow('an index or a column uses the weights');
      expect(await server.sql(weights)).toEqual(before);
      await server.sql(`drop index kept_compact;
        alter table kept add compact vector(4) generated always as (tldr."project_${id}"(embedding)) stored`);
      await expect(server.sql(float)).rejects.toThrow('an index or a column uses the weights');
      expect(await server.sql(weights)).toEqual(before);
      await server.sql('drop table kept');
      await server.sql(float);
      expect(await server.sql(weights)).toMatchObject([{ type: 'vector' }]);
      await server.sql(`drop function tldr."project_${id}"; drop table tldr."weights_${id}"`);
    },
  );

  postgresTest('refuse weights whose precision changed after they were written', async () => {
    const own = linearEncoder(8);
    await own.save(join(place.cwd, 'other.onnx'));
    await makeDocuments(server, 'late', { rows: 10 });
    await succeeded('sql', 'late', '--encoder', 'other.onnx', '--steps', 'late');
    await succeeded('sql', '--encoder', 'other.onnx', '--precision', 'half', '--out', 'late.sql');
    await server.sql(await readFile(join(place.cwd, 'late.sql'), 'utf8'));
    await expect(runFiles('late')).rejects.toThrow('was changed meanwhile');
    const [kept] = await server.sql(
      `select pg_typeof(weights)::text as type, count(*)::int as rows from tldr."weights_${own.fingerprint.slice(0, 12)}" group by 1`,
    );
    expect(kept).toEqual({ type: 'halfvec', rows: 4 });
  });

  postgresTest('replace a function as it was, and never one that was changed meanwhile', async () => {
    const search = (limit: string): Promise<unknown> =>
      server.sql(`create or replace function replaced(query_embedding vector(12), match_count int default 5)
        returns table (id int, content text, similarity float) language sql stable as $$
        select id, content, 1 - (embedding <=> query_embedding) from searched order by embedding <=> query_embedding limit ${limit} $$`);
    const definition = `select pg_get_functiondef('replaced'::regproc) as text`;
    await makeDocuments(server, 'searched', { rows: 30 });
    await search('match_count');
    const form = ['--form', 'function', '--function', 'replaced'];
    await succeeded('sql', 'searched', '--encoder', 'enc.onnx', '--steps', 'searched', ...form);
    await search('least(match_count, 50)');
    const changed = await server.sql(definition);
    await expect(runFiles('searched')).rejects.toThrow('was changed after this file was written');
    expect(await server.sql(definition)).toEqual(changed);
    const status = await succeeded('migrate', 'status', 'searched', '--json');
    expect(status.json()).toMatchObject({ phase: 'ready', cutOver: null });

    await search('match_count');
    const before = await server.sql(definition);
    const last = (await filesOf('searched')).at(-1) ?? '';
    await server.sql(await readFile(join(place.cwd, 'searched', last), 'utf8'));
    expect(await server.sql(definition)).not.toEqual(before);
    const [nearest] = await server.sql(
      `select id, round(similarity::numeric, 4)::text as s from replaced((select embedding from searched where id = 9), 1)`,
    );
    expect(nearest).toEqual({ id: 9, s: '1.0000' });
    await runFiles('searched/undo');
    expect(await server.sql(definition)).toEqual(before);
    await expect(runFiles('searched/undo')).rejects.toThrow('there was no cut-over');
    await succeeded('migrate', 'abort', 'searched', '--execute');
  });

  postgresTest('run each in a connection of its own, by a role that is no superuser', async () => {
    await makeDocuments(server, 'owned', { rows: 20 });
    const [{ database } = {}] = await server.sql('select current_database()::text as database');
    await server.sql(`create role owns login; alter table owned owner to owns;
      grant create on schema public to owns; grant create on database ${String(database)} to owns;
      drop schema if exists tldr cascade`);
    const form = ['--form', 'function', '--function', 'find_owned'];
    await succeeded('sql', 'owned', '--encoder', 'enc.onnx', '--steps', 'owned', ...form);
    for (const file of await filesOf('owned'))
      await asRole(server, 'owns', await readFile(join(place.cwd, 'owned', file), 'utf8'));
    const [nearest] = await asRole(
      server,
      'owns',
      `select id from find_owned((select embedding from owned where id = 9), 1)`,
    );
    expect(nearest).toEqual({ id: 9 });
    await succeeded('migrate', 'rollback', 'owned', '--execute');
    await succeeded('migrate', 'abort', 'owned', '--execute');
    await server.sql('drop table owned; drop owned by owns; drop role owns');
  });

  postgresTest('of the layout index-only, and files that are there already are kept', async () => {
    await makeDocuments(server, 'plain', { rows: 60 });
    const args = ['sql', 'plain', '--encoder', 'enc.onnx', '--layout', 'index-only', '--steps', 'index'];
    await succeeded(...args);
    await runFiles('index');
    await succeeded('migrate', 'verify', 'plain');
    expect((await succeeded('migrate', 'status', 'plain', '--json')).json()).toMatchObject({
      phase: 'ready',
      layout: 'index-only',
    });
    expect((await place.run(args)).stderr).toContain('index is not empty');
    expect((await place.run(['sql', 'plain', '--encoder', 'enc.onnx'])).stderr).toContain('go together');
  });
});

/** Everything in the catalogue that a migration and its cut-over made, and the state. */
async function catalogOf({ sql }: PostgresServer): Promise<unknown> {
  const own = `n.nspname like 'tldr%'`;
  return Promise.all(
    [
      `select n.nspname, n.nspacl::text from pg_namespace n where ${own} order by 1`,
      `select pg_get_functiondef(p.oid) as text, p.proacl::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${own} order by 1`,
      `select o.oprname, n.nspname, o.oprcode::text, o.oprleft::regtype::text from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where ${own}`,
      `select pg_get_indexdef(i.indexrelid) as text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indrelid where c.relname = 'chosen' or c.relnamespace = 'tldr'::regnamespace order by 1`,
      `select c.relname, c.relacl::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${own} and c.relkind = 'r' order by 1`,
      `select r.rolname, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole join pg_database d on d.oid = s.setdatabase where d.datname = current_database()`,
      `select phase, replace(cut_over::text, current_database(), 'own') as "cutOver" from tldr.migration`,
    ].map((text) => sql(text)),
  );
}

describe('the operator of a role as files', () => {
  const OPERATOR = ['--form', 'operator', '--role', 'app'];
  const search = `select id from chosen order by embedding <=> (select embedding from chosen where id = 7) limit 5`;

  beforeAll(() => server.sql('create role app login'));
  afterAll(() => server.sql('drop role app'));

  postgresTest.each<readonly [string, string | null]>([
    ['side', null],
    ['side', '"$user",  public'],
    ['index-only', ''],
  ])('leaves behind what the cut-over does, in the layout %s after the path %j', async (layout, path) => {
    const [files, commands] = [await server.beside(), await server.beside()];
    for (const database of [files, commands]) {
      await makeDocuments(database, 'chosen', { rows: 200 });
      await database.sql('grant select on chosen to app');
      if (path === null) continue;
      const [{ name } = {}] = await database.sql('select quote_ident(current_database()) as name');
      await database.sql(
        `begin; select set_config('search_path', '${path}', true); alter role app in database ${String(name)} set search_path from current; commit`,
      );
    }
    const given = ['chosen', '--encoder', 'enc.onnx', '--layout', layout];
    const folder = `operator-${layout}-${path === null ? 'plain' : 'own'}`;
    // Written for one database, and run in another one.
    await succeededOn(commands, 'sql', ...given, '--steps', folder, ...OPERATOR);
    await succeededOn(commands, 'migrate', 'start', ...given, '--yes');
    const before = await catalogOf(commands);
    await runFiles(folder, files);
    await succeededOn(commands, 'migrate', 'cutover', 'chosen', ...OPERATOR, '--execute');
    const after = await catalogOf(files);
    expect(after).toEqual(await catalogOf(commands));
    expect(after).not.toEqual(before);
    expect(JSON.stringify(after)).toContain('<=>');
    if (path !== '') {
      const asked = ['set enable_seqscan = off', `explain (costs off) ${search}`];
      expect(JSON.stringify(await asRole(files, 'app', ...asked))).toContain('tldr_chosen');
    }

    await runFiles(`${folder}/undo`, files);
    await succeededOn(commands, 'migrate', 'rollback', 'chosen', '--execute');
    const undone = await catalogOf(files);
    expect(undone).toEqual(await catalogOf(commands));
    // What everybody may execute is not revoked again.
    if (layout === 'side') expect(undone).toEqual(before);
    await expect(runFiles(`${folder}/undo`, files)).rejects.toThrow('there was no cut-over');
    await Promise.all([files.stop(), commands.stop()]);
  });

  postgresTest('refuses a role that reads other vectors by now, and a path that was changed', async () => {
    const own = await server.beside();
    await makeDocuments(own, 'chosen', { rows: 50 });
    await own.sql('grant select on chosen to app');
    const given = ['chosen', '--encoder', 'enc.onnx', '--layout', 'index-only'];
    await succeededOn(own, 'sql', ...given, '--steps', 'refused', ...OPERATOR);
    await makeDocuments(own, 'beside', { rows: 5 });
    await own.sql('grant select on beside to app');
    await expect(runFiles('refused', own)).rejects.toThrow('app may also read public.beside.embedding');
    expect(await own.sql('select phase, cut_over from tldr.migration')).toEqual([
      { phase: 'ready', cut_over: null },
    ]);
    expect(await own.sql(`select from pg_namespace where nspname like 'tldr_operator%'`)).toEqual([]);

    await own.sql('drop table beside');
    const last = (await filesOf('refused')).at(-1) ?? '';
    await own.sql(await readFile(join(place.cwd, 'refused', last), 'utf8'));
    const [{ name } = {}] = await own.sql('select quote_ident(current_database()) as name');
    await own.sql(`alter role app in database ${String(name)} set search_path = public`);
    const after = await catalogOf(own);
    await expect(runFiles('refused/undo', own)).rejects.toThrow('the search path of app was changed');
    expect(await catalogOf(own)).toEqual(after);
    await own.stop();
  });
});
