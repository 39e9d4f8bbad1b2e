import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { join } from 'node:path';
import type { CliResult } from '../../../support/cli/run-cli.js';
import { DIM, asRole, linearEncoder, makeDocuments, startTable } from '../../../support/postgres/in-place.js';
import { testsOnPostgres, type PostgresServer } from '../../../support/postgres/postgres-server.js';
import { openTablePlace, type TablePlace } from '../../../support/postgres/table-place.js';

const postgresTest = await testsOnPostgres('programs');
const ENCODER = linearEncoder();
let server: PostgresServer;
let place: TablePlace;

beforeAll(async () => {
  place = await openTablePlace({ needs: 'programs', encoder: ENCODER });
  ({ server } = place);
  await makeDocuments(server, 'docs', { rows: 300 });
});
afterAll(() => place.end());

const migrate = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.run(['migrate', verb, ...args]);
const succeeded = (verb: string, ...args: string[]): Promise<CliResult> =>
  place.succeeded(['migrate', verb, ...args]);

/** Indexes, triggers and tables that a migration made. */
const made = (): Promise<readonly Record<string, unknown>[]> =>
  server.sql(
    `select relname::text as name from pg_class where relname like 'tldr_docs%' or relname like 'compact_docs%'
     union all select tgname::text from pg_trigger where not tgisinternal
     union all select proname::text from pg_proc where pronamespace = 'tldr'::regnamespace order by 1`,
  );

/** The plan of what a function or a query runs. */
async function plan(text: string): Promise<string> {
  const rows = await server.sql(`explain (costs off) ${text}`);
  return rows.map((row) => String(row['QUERY PLAN'])).join('\n');
}

describe('the layout index-only', () => {
  postgresTest('adds an index and nothing else, and goes through all commands', async () => {
    const start = ['--encoder', 'enc.onnx', '--layout', 'index-only'];
    const dry = await succeeded('start', 'docs', ...start, '--dry-run');
    expect(dry.stdout).toContain('create index concurrently');
    expect(dry.stdout).not.toContain('create trigger');
    const started = await succeeded('start', 'docs', ...start, '--yes', '--json');
    expect(started.json()).toMatchObject({
      phase: 'ready',
      layout: 'index-only',
      filled: 0,
      verified: { points: 300, missing: 0, differing: 0 },
    });
    const names = (await made()).map(({ name }) => String(name));
    expect(names.filter((name) => !name.startsWith('project_'))).toEqual([
      expect.stringMatching(/^tldr_docs_\w+_hnsw$/),
    ]);
    await succeeded('verify', 'docs', '--sample', '20');
    expect((await succeeded('status', 'docs')).stdout).toContain('layout index-only');

    await succeeded('cutover', 'docs', '--form', 'function', '--function', 'find_docs', '--execute');
    const found = `select id, round(similarity::numeric, 4)::text as s from find_docs((select embedding from docs where id = 9), 3)`;
    expect((await server.sql(found))[0]).toEqual({ id: 9, s: '1.0000' });
    await server.sql(
      `insert into docs select 1000, 'new', '{}', embedding from docs where id = 9; delete from docs where id = 9`,
    );
    const again = await server.sql(found.replace('where id = 9', 'where id = 1000'));
    expect(again[0]).toEqual({ id: 1000, s: '1.0000' });
    await succeeded('rollback', 'docs', '--execute');

    const { stdout } = await succeeded('cutover', 'docs', '--form', 'none', '--execute');
    const query = stdout.slice(stdout.indexOf('  select'));
    const [{ v } = {}] = await server.sql('select embedding::text as v from docs where id = 21');
    expect(await plan(query.replaceAll('$1', `'${String(v)}'`))).toMatch(
      /Index Scan using tldr_docs_\w+_hnsw/,
    );
    await succeeded('complete', 'docs');
    await succeeded('rollback', 'docs', '--execute');
    await succeeded('abort', 'docs', '--execute');
    expect(await made()).toEqual([]);
  });

  postgresTest('lets every role write that may, and repairs an index that is missing', async () => {
    await makeDocuments(server, 'written', { rows: 50 });
    await server.sql('create role adds login; grant insert on written to adds');
    await startTable(server.url, 'written', ENCODER, { layout: 'index-only' });
    await asRole(
      server,
      'adds',
      `insert into written values (900, '', '{}', array_fill(1, array[${DIM}])::vector), (901, '', '{}', null)`,
    );
    const [{ index } = {}] = await server.sql(
      `select indexrelid::regclass::text as index from pg_index where indrelid = 'written'::regclass and indexprs is not null`,
    );
    await server.sql(`drop index ${String(index)}`);
    const { stdout } = await migrate('status', 'written');
    expect(stdout).toContain('has no index');
    expect((await migrate('verify', 'written')).code).toBe(10);
    const resumed = await migrate('resume', 'written', '--yes', '--json');
    expect(resumed.json()).toMatchObject({ phase: 'ready', verified: { points: 51, missing: 0 } });
  });

  postgresTest('says whose index has the name, after another table took the name of the table', async () => {
    await makeDocuments(server, 'taken', { rows: 20 });
    await startTable(server.url, 'taken', ENCODER, { layout: 'index-only' });
    await server.sql('create table taking as select * from taken; alter table taking add primary key (id)');
    await server.sql(`alter table taking alter embedding type vector(${DIM})`);
    await server.sql('alter table taken rename to taken_before; alter table taking rename to taken');
    expect((await migrate('status', 'taken')).stdout).toContain('has no index');
    const refused = await migrate('resume', 'taken', '--yes');
    expect(refused.code).toBe(5);
    const [, name = ''] = /the index (\S+) is one of another table/.exec(refused.stderr) ?? [];
    await server.sql(`drop index ${name}`);
    const resumed = await migrate('resume', 'taken', '--yes', '--json');
    expect(resumed.json()).toMatchObject({ phase: 'ready', warnings: [], verified: { points: 20 } });
    await succeeded('abort', 'taken', '--execute');
  });

  postgresTest('finds weights that are not those of the encoder', async () => {
    await makeDocuments(server, 'changed', { rows: 30 });
    const own = linearEncoder(4);
    await startTable(server.url, 'changed', own, { layout: 'index-only' });
    await server.sql(
      `update tldr."weights_${own.fingerprint.slice(0, 12)}" set bias = bias + 1 where output = 0`,
    );
    const { code, stdout } = await migrate('verify', 'changed', '--sample', '10');
    expect(code).toBe(10);
    expect(stdout).toContain('the database projects it in another way than the encoder');
    const resumed = await migrate('resume', 'changed', '--yes');
    expect({ code: resumed.code, stderr: resumed.stderr }).toEqual({
      code: 10,
      stderr: expect.stringContaining('does not agree with the encoder file') as unknown,
    });
    // As the message says.
    await succeeded('abort', 'changed', '--execute');
    await startTable(server.url, 'changed', own, { layout: 'index-only' });
  });

  postgresTest('accepts float32 compact vectors of weights in half precision', async () => {
    const dim = 2000;
    const wide = linearEncoder(6, [dim, 4]);
    await wide.save(join(place.cwd, 'wide.onnx'));
    await server.sql(`create table wide (id int primary key, embedding vector(${dim}));
      insert into wide select i, array(select cos(i * j) from generate_series(1, ${dim}) j)::vector from generate_series(1, 20) i`);
    const flags = ['--encoder', 'wide.onnx', '--layout', 'index-only', '--datatype', 'float32', '--yes'];
    const started = await succeeded('start', 'wide', ...flags, '--json');
    expect(started.json()).toMatchObject({ phase: 'ready', verified: { points: 20, differing: 0 } });
    const [weights] = await server.sql(
      `select pg_typeof(weights)::text as type from tldr."weights_${wide.fingerprint.slice(0, 12)}" limit 1`,
    );
    expect(weights).toEqual({ type: 'halfvec' });
  });

  postgresTest.each<readonly [string, string, string]>([
    [
      'parted',
      `create table parted (id int primary key, embedding vector(${DIM})) partition by range (id)`,
      'is partitioned',
    ],
    ['loose', 'create table loose (id int primary key, embedding vector)', 'vectors of any length'],
  ])('refuses %s with words', async (table, statement, words) => {
    await server.sql(statement);
    if (table === 'loose')
      await server.sql(`insert into loose values (1, array_fill(1, array[${DIM}])::vector)`);
    await expect(startTable(server.url, table, ENCODER, { layout: 'index-only' })).rejects.toThrow(words);
  });

  postgresTest('refuses the other layout for a migration that was begun', async () => {
    await makeDocuments(server, 'begun', { rows: 10 });
    await startTable(server.url, 'begun', ENCODER);
    await expect(startTable(server.url, 'begun', ENCODER, { layout: 'index-only' })).rejects.toThrow(
      'has a migration with the layout side',
    );
  });
});
