import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { runCli, type CliResult } from '../../../support/cli/run-cli.js';
import {
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  sideTables,
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
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-steps-'));
  await ENCODER.save(join(cwd, 'enc.onnx'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

const cli = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd, env: { DATABASE_URL: server.url } });

async function succeeded(...args: string[]): Promise<CliResult> {
  const result = await cli(...args);
  expect({ code: result.code, stderr: result.stderr }).toMatchObject({ code: 0 });
  return result;
}

/** Runs the files of a folder as a tool does: in order, each as one query of a plain client. */
async function runFiles(folder: string): Promise<readonly string[]> {
  const files = (await readdir(join(cwd, folder))).sort();
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    for (const file of files) await client.query(await readFile(join(cwd, folder, file), 'utf8'));
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
      await server.sql(await readFile(join(cwd, 'half.sql'), 'utf8'));
      const weights = `select pg_typeof(weights)::text as type, md5(string_agg(w::text, ',' order by output, part)) as sum from tldr."weights_${id}" w group by 1`;
      const before = await server.sql(weights);
      expect(before).toMatchObject([{ type: 'halfvec' }]);
      await succeeded('sql', 'kept', '--encoder', 'enc.onnx', '--steps', 'kept');
      await runFiles('kept');
      expect(await server.sql(weights)).toEqual(before);
      await succeeded('migrate', 'verify', 'kept');
      await succeeded('sql', '--encoder', 'enc.onnx', '--out', 'float.sql');
      const float = await readFile(join(cwd, 'float.sql'), 'utf8');
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
      await server.sql('drop table kept');
      await server.sql(float);
      expect(await server.sql(weights)).toMatchObject([{ type: 'vector' }]);
      await server.sql(`drop function tldr."project_${id}"; drop table tldr."weights_${id}"`);
    },
  );

  postgresTest('refuse weights whose precision changed after they were written', async () => {
    const own = linearEncoder(8);
    await own.save(join(cwd, 'other.onnx'));
    await makeDocuments(server, 'late', { rows: 10 });
    await succeeded('sql', 'late', '--encoder', 'other.onnx', '--steps', 'late');
    await succeeded('sql', '--encoder', 'other.onnx', '--precision', 'half', '--out', 'late.sql');
    await server.sql(await readFile(join(cwd, 'late.sql'), 'utf8'));
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
    const last = (await readdir(join(cwd, 'searched'))).sort().at(-1) ?? '';
    await server.sql(await readFile(join(cwd, 'searched', last), 'utf8'));
    expect(await server.sql(definition)).not.toEqual(before);
    const [nearest] = await server.sql(
      `select id, round(similarity::numeric, 4)::text as s from replaced((select embedding from searched where id = 9), 1)`,
    );
    expect(nearest).toEqual({ id: 9, s: '1.0000' });
    await succeeded('migrate', 'rollback', 'searched', '--execute');
    expect(await server.sql(definition)).toEqual(before);
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
    for (const file of (await readdir(join(cwd, 'owned'))).sort())
      await asRole(server, 'owns', await readFile(join(cwd, 'owned', file), 'utf8'));
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
    expect((await cli(...args)).stderr).toContain('index is not empty');
    expect((await cli('sql', 'plain', '--encoder', 'enc.onnx')).stderr).toContain('go together');
  });
});
