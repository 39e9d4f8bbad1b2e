import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { CliResult } from '../../../support/cli/run-cli.js';
import {
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideTables,
  startTable,
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
  await makeDocuments(server, 'docs', { rows: 300 });
});
afterAll(() => place.end());

const migrate = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.run(['migrate', verb, 'docs', ...args]);
const succeeded = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.succeeded(['migrate', verb, 'docs', ...args]);

const definition = `select pg_get_functiondef('match_documents'::regproc) as text, (select proacl::text from pg_proc where proname = 'match_documents') as rights`;

/** The function of guides for Supabase. */
const TEMPLATE = `create function match_documents (query_embedding vector(12), match_count int default null, filter jsonb default '{}')
returns table (id int, content text, metadata jsonb, similarity float) language plpgsql as $$
#variable_conflict use_column
begin
  return query
  select id, content, metadata, 1 - (docs.embedding <=> query_embedding) as similarity
  from docs where metadata @> filter
  order by docs.embedding <=> query_embedding limit match_count;
end; $$`;

describe('a migration of a table, by its commands', () => {
  postgresTest('goes from a dry run to a cut-over, and back to the function that was there', async () => {
    const dry = await succeeded('start', '--encoder', 'enc.onnx', '--dry-run');
    expect(dry.stdout).toContain('create trigger');
    expect(await server.sql(`select from pg_namespace where nspname = 'tldr'`)).toEqual([]);

    const started = await succeeded('start', '--encoder', 'enc.onnx', '--yes', '--json');
    expect(started.json()).toMatchObject({
      phase: 'ready',
      filled: 300,
      verified: { points: 300, missing: 0 },
    });
    const [side = ''] = await sideTables(server);
    await expectEqual(server, { table: 'docs', side, encoder: ENCODER });
    expect((await succeeded('status', '--json')).json()).toMatchObject({ phase: 'ready', runner: null });

    await server.sql(TEMPLATE);
    await server.sql('revoke execute on function match_documents from public');
    const search = `select id, content, metadata, round(similarity::numeric, 5)::text as s from match_documents((select embedding from docs where id = 7), 5, '{"part": 1}')`;
    const [before, found] = [await server.sql(definition), await server.sql(search)];

    const planned = await succeeded('cutover', '--form', 'function');
    expect(planned.stdout).toContain('is replaced, with the same parameters and results');
    expect(await server.sql(definition)).toEqual(before);
    await succeeded('cutover', '--form', 'function', '--execute');
    const after = await server.sql(definition);
    expect(String(after[0]?.['text'])).toContain(side.replace('tldr.', ''));
    expect(after[0]?.['rights']).toEqual(before[0]?.['rights']);
    expect(await server.sql(search)).toEqual(found);
    const all = `select count(*)::int as rows from match_documents((select embedding from docs where id = 7))`;
    expect(await server.sql(all)).toEqual([{ rows: 300 }]);

    const refused = await migrate('abort', '--execute');
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining('run `migrate rollback` first') as unknown,
    });
    await succeeded('rollback', '--execute');
    expect(await server.sql(definition)).toEqual(before);
  });

  postgresTest('makes a search function, completes, and drops the index of the full vectors', async () => {
    await server.sql('create index docs_full on docs using hnsw (embedding vector_cosine_ops)');
    await succeeded('cutover', '--form', 'function', '--function', 'find_docs', '--execute');
    const [first] = await server.sql(
      `select id, round(similarity::numeric, 4)::text as s from find_docs((select embedding from docs where id = 9), 1)`,
    );
    expect(first).toEqual({ id: 9, s: '1.0000' });
    await succeeded('complete', '--drop-full-index', '--execute');
    expect(await server.sql(`select to_regclass('docs_full')::text as index`)).toEqual([{ index: null }]);
    const back = await succeeded('rollback', '--execute');
    expect(back.stdout).toContain('CREATE INDEX docs_full ON public.docs USING hnsw');
    expect(await server.sql(`select from pg_proc where proname = 'find_docs'`)).toEqual([]);
  });

  postgresTest(
    'drops the index of the full vectors of a table named like a function of an encoder',
    async () => {
      const projects = (verb: string, ...args: string[]): Promise<CliResult> =>
        place.run(['migrate', verb, 'project_docs', ...args]);
      await makeDocuments(server, 'project_docs', { rows: 30 });
      await startTable(server.url, 'project_docs', ENCODER, { layout: 'index-only' });
      await server.sql(
        'create index full_of_projects on project_docs using hnsw ((embedding::halfvec(12)) halfvec_cosine_ops)',
      );
      expect((await projects('cutover', '--form', 'none', '--execute')).code).toBe(0);
      const completed = await projects('complete', '--drop-full-index', '--execute');
      expect(completed.stdout).toContain('full_of_projects is dropped');
      const left = await server.sql(
        `select relname::text as name from pg_index join pg_class c on c.oid = indexrelid where indrelid = 'project_docs'::regclass order by 1`,
      );
      expect(left.map(({ name }) => name)).toEqual([
        'project_docs_pkey',
        expect.stringMatching(/^tldr_project_docs_\w+_hnsw$/),
      ]);
      expect((await projects('rollback', '--execute')).code).toBe(0);
      expect((await projects('abort', '--execute')).code).toBe(0);
    },
  );

  postgresTest('refuses a rollback over a function that was changed since', async () => {
    await succeeded('cutover', '--form', 'function', '--function', 'find_docs', '--execute');
    await server.sql(
      `create or replace function find_docs(query_embedding vector, match_count integer default 10, filter jsonb default '{}') returns table(id integer, content text, metadata jsonb, similarity double precision) language sql as 'select 1, null::text, null::jsonb, 1.0::float8'`,
    );
    const { code, stderr } = await migrate('rollback', '--execute');
    expect({ code, stderr }).toMatchObject({ code: 9 });
    expect(stderr).toContain('was changed or dropped since the cut-over');
    const [undo] = await server.sql(`select cut_over -> 'undo' ->> 0 as statement from tldr.migration`);
    await server.sql(String(undo?.['statement']));
    await succeeded('rollback', '--execute');
    expect((await succeeded('status', '--json')).json()).toMatchObject({ phase: 'ready', cutOver: null });
  });

  postgresTest('prints a query that finds what the full vectors find', async () => {
    const { stdout } = await succeeded('cutover', '--form', 'none', '--execute');
    const query = stdout.slice(stdout.indexOf('  select'));
    const [nearest] = await server.sql(
      query
        .replaceAll('$1', `(select embedding from docs where id = 21)`)
        .replace('(first."row").*', '(first."row").id'),
    );
    expect(nearest).toMatchObject({ id: 21 });
    await succeeded('rollback', '--execute');
  });

  postgresTest('finds differences, repairs them, and removes all that it made', async () => {
    const [side = ''] = await sideTables(server);
    await server.sql(`delete from ${side} where k1 = 3`);
    await server.sql(`insert into ${side} select 9999, z from ${side} where k1 = 4`);
    await server.sql(`update ${side} set z = (select z from ${side} where k1 = 5) where k1 = 6`);
    const { code, stderr, stdout } = await migrate('verify');
    expect({ code, stderr }).toEqual({
      code: 10,
      stderr: expect.stringContaining(
        'all 300 rows: 1 without a compact vector, 1 compact vectors without a row, 1 differing',
      ) as unknown,
    });
    expect(stdout).toContain('row 9999: with a compact vector but no full one');
    await succeeded('resume', '--yes');
    await expectEqual(server, { table: 'docs', side, encoder: ENCODER });
    await succeeded('verify', '--sample', '50');
    const before = await server.sql('select md5(string_agg(docs::text, $1 order by id)) as sum from docs', [
      '',
    ]);
    await succeeded('abort', '--execute');
    expect(
      await server.sql(
        `select relname from pg_class where relnamespace = 'tldr'::regnamespace and relkind in ('r', 'v') order by 1`,
      ),
    ).toEqual([{ relname: 'encoder' }, { relname: 'migration' }]);
    expect(await server.sql(`select tgname from pg_trigger where not tgisinternal`)).toEqual([]);
    expect(
      await server.sql('select md5(string_agg(docs::text, $1 order by id)) as sum from docs', ['']),
    ).toEqual(before);
    expect((await migrate('status')).stderr).toContain('there is no migration of docs');
  });

  postgresTest.each<readonly [readonly string[], string]>([
    [['start', 'docs_new', '--encoder', 'enc.onnx', '--yes'], 'leave "docs_new" out'],
    [['start', '--encoder', 'enc.onnx', '--yes', '--catch-up'], 'is migrated without --catch-up'],
    [['start', '--encoder', 'enc.onnx', '--yes', '--layout', 'compact'], 'a table keeps its full vectors'],
    [['pause'], 'there is no migration of docs'],
    [['cutover', '--alias', 'search'], 'is migrated without --alias'],
  ])('refuses %j', async ([verb = '', ...args], words) => {
    const { code, stderr } = await migrate(verb, ...args);
    expect({ isFailure: code !== 0, stderr }).toEqual({
      isFailure: true,
      stderr: expect.stringContaining(words) as unknown,
    });
  });
});
