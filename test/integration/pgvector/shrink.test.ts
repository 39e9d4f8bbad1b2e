import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { row, type Matrix } from '../../../src/core/matrix.js';
import { Encoder } from '../../../src/encoder/model.js';
import { CLI_PROGRAM, runCli, type CliResult } from '../../support/cli/run-cli.js';
import { demoEmbeddings, makeDemoTable } from '../../support/postgres/demo-table.js';
import { runInTerminal, type TerminalRun } from '../../support/cli/run-in-terminal.js';
import {
  asRole,
  compactDifferences,
  linearEncoder,
  sideTables,
  startTable,
} from '../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';
import { SMALL, type ShrinkJson } from '../../support/shrink/shrink-place.js';

const postgresTest = await testsOnPostgres();
const [ROWS, DIM] = [500, 32];
const DOWN = '\x1b[B';
const ENTER = '\r';
const BACKSPACE = '\x7f';
const OPERATOR = ['--form', 'operator', '--role', 'app'];
const RUN = ['--yes', '--choose', 'balanced', ...SMALL];
let server: PostgresServer;
let cwd = '';
let base: Matrix;
let result: ShrinkJson;

beforeAll(async () => {
  server = await startPostgres();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-shrink-table-'));
  base = await demoEmbeddings(ROWS, DIM);
  await makeDemoTable(server, 'docs', base);
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

/** Runs the guide by the address of the database, the table and the column. */
const shrink = (...more: string[]): Promise<CliResult> =>
  runCli(['shrink', server.url, '--table', 'docs', '--column', 'v', ...more], { cwd });

/** Schemas that are not of the server itself. */
async function schemas(): Promise<readonly string[]> {
  const rows = await server.sql(
    `select nspname as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1`,
  );
  return rows.map(({ name }) => String(name));
}

const digest = async (): Promise<unknown> =>
  server.sql(`select md5(string_agg(docs::text, ',' order by id)) as sum from docs`);

/** Runs the guide at a terminal, and types an answer to each question. */
const onTerminal = (answers: readonly (readonly [RegExp, string])[]): Promise<TerminalRun> =>
  runInTerminal(
    [process.execPath, CLI_PROGRAM, 'shrink', server.url, '--table', 'docs', '--column', 'v', ...SMALL],
    { columns: 160, cwd, answers },
  );

/** The plan of a search as clients write it. */
async function planFor(role: string): Promise<string> {
  const question = `[${row(base, 21).join(',')}]`;
  const rows = await asRole(
    server,
    role,
    'set enable_seqscan = off',
    `explain (costs off) select id from docs order by v <=> '${question}' limit 5`,
  );
  return rows.map((line) => String(line['QUERY PLAN'])).join('\n');
}

async function rollBack(): Promise<void> {
  const args = ['migrate', 'rollback', 'docs', '--execute'];
  const { code, stderr } = await runCli(args, { cwd, env: { DATABASE_URL: server.url } });
  expect({ code, stderr }).toMatchObject({ code: 0 });
}

describe('shrink of a table of PostgreSQL', () => {
  postgresTest('says in a dry run what would happen, and writes nothing', async () => {
    const dry = await shrink('--dry-run', ...SMALL);
    expect({ code: dry.code, stderr: dry.stderr }).toMatchObject({ code: 0 });
    expect(dry.stdout).toContain('into a temporary schema and remove them again');
    expect(dry.stdout).toContain('write compact vectors beside docs');
    expect(dry.stdout).toContain('qdrant-tldr plan docs --vector v --dims');
    expect([await schemas(), await readdir(cwd)]).toEqual([['public'], []]);
  });

  postgresTest.each<readonly [readonly string[], string]>([
    [['--target', 'docs_small'], 'leave --target docs_small out'],
    [['--layout', 'compact'], 'a table keeps its full vectors'],
    [['--switch', 'search'], 'leave --switch search out'],
    [['--form', 'operator'], '--form operator needs --role'],
    [['--role', 'app'], '--role needs --form operator'],
    [['--form', 'none', '--function', 'find_docs'], '--function needs --form function'],
  ])('refuses %j before it begins', async (flags, words) => {
    const { code, stderr } = await shrink(...RUN, ...flags);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(words) as unknown });
    expect(await schemas()).toEqual(['public']);
  });

  postgresTest('is killed while it migrates, and the same command goes on to the end', async () => {
    const before = await digest();
    await server.sql('create role app login; grant select on docs to app');
    const args = ['shrink', server.url, '--table', 'docs', '--column', 'v', ...RUN, ...OPERATOR];
    const child = spawn(process.execPath, [CLI_PROGRAM, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let shown = '';
    child.stderr.resume();
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      if (shown.includes('step 5 of 7')) child.kill('SIGKILL');
    });
    await once(child, 'close');
    expect(shown).toContain('step 5 of 7: migrate: write compact vectors beside docs and verify them');

    const done = await shrink(...RUN, ...OPERATOR, '--report', 'page.html', '--json');
    expect({ code: done.code, stderr: done.stderr }).toMatchObject({ code: 0 });
    for (const words of ['measured by an earlier run', 'trained by an earlier run'])
      expect(done.stderr).toContain(words);
    result = done.json() as unknown as ShrinkJson;
    expect(result).toMatchObject({
      target: null,
      choice: 'balanced',
      migration: { phase: 'ready', verified: ROWS },
      switched: null,
      cutOver: { form: 'operator', name: 'app' },
    });
    expect(done.stderr).toContain('distances that it returns are approximate');
    expect(result.evaluation.forms.map(({ name }) => name)).toEqual([
      'full, as configured',
      'compact',
      'rescored',
    ]);
    expect(await schemas()).toEqual(['public', 'tldr', expect.stringMatching(/^tldr_operator_/)]);
    expect(await digest()).toEqual(before);
    const page = await readFile(join(cwd, 'page.html'), 'utf8');
    expect(page).toContain('docs, shrunk');
  });

  postgresTest('leaves compact vectors of the encoder beside the full ones', async () => {
    const encoder = await Encoder.load(join(cwd, 'docs.onnx'));
    expect(encoder.fingerprint).toBe(result.encoder.fingerprint);
    const [side = ''] = await sideTables(server);
    const table = '(select id, v as embedding from docs)';
    expect(await compactDifferences(server, { table, side, encoder })).toEqual({
      missing: [],
      orphans: [],
      differing: [],
    });
  });

  postgresTest('shows a query that finds what the full vectors find', async () => {
    const [byFunction, byOperator, byQuery] = result.clients;
    expect(byFunction?.lines.join()).toContain('migrate cutover docs --vector v --form function');
    expect(byOperator?.title).toMatch(/Distances are approximate: .* find \d+\.\d % of the same/);
    expect(byOperator?.lines.at(-1)).toContain('--form operator --role app --execute');
    const text = (byQuery?.lines.join('\n') ?? '').replace('(first."row").*', '(first."row").id');
    const found = await server.sql(text, [`[${row(base, 21).join(',')}]`]);
    expect(found[0]).toMatchObject({ id: '21' });
  });

  postgresTest('shows the same again, and changes nothing', async () => {
    const again = await shrink(...RUN, ...OPERATOR, '--json');
    expect({ code: again.code, stderr: again.stderr }).toMatchObject({ code: 0 });
    for (const words of ['verified by an earlier run: 500 rows', 'done before: app searches compact vectors'])
      expect(again.stderr).toContain(words);
    const { commands, encoder } = again.json() as unknown as ShrinkJson;
    expect(encoder).toEqual(result.encoder);
    expect(commands).toEqual(result.commands);
    const [, , , migration = '', evaluation = ''] = commands;
    expect(migration).toMatch(
      /^qdrant-tldr migrate start docs --encoder docs.onnx --vector v --datatype float16/,
    );
    expect(evaluation).toMatch(
      /^qdrant-tldr evaluate docs --encoder docs.onnx --column v --rescore \d+ --seed 0/,
    );
    expect(commands.at(-1)).toMatch(
      /^qdrant-tldr migrate cutover docs --vector v --form operator --role app --execute/,
    );
    for (const line of [migration, evaluation]) {
      const { code, stderr } = await runCli(line.split(' ').slice(1), { cwd });
      expect({ line, code, stderr }).toMatchObject({ code: 0 });
    }
  });

  postgresTest('lets the role search by its operator, and no other way beside it', async () => {
    expect(await planFor('app')).toContain('tldr_docs_');
    expect(await planFor('postgres')).not.toContain('tldr_docs_');
    const other = await shrink(...RUN, '--form', 'function');
    expect(other.stderr).toContain('clients were sent to the compact vectors already');
    await rollBack();
    expect(await planFor('app')).not.toContain('tldr_docs_');
  });

  postgresTest('asks at a terminal, shows the change, and makes a search function', async () => {
    const asked = await onTerminal([
      [/Change now what clients use\?/, `${DOWN}${ENTER}`],
      [/Which function\?/, `${BACKSPACE.repeat('match_documents'.length)}find_docs${ENTER}`],
      [/Do it now\?/, 'y'],
    ]);
    expect({ code: asked.code, lines: asked.lines }).toMatchObject({ code: 0 });
    expect(asked.lines.join('\n')).toMatch(/find_docs.* is not there yet and is made/);
    const found = await server.sql('select id from find_docs((select v from docs where id = 21), 1)');
    expect(found).toEqual([{ id: '21' }]);
    await rollBack();
  });

  postgresTest('changes nothing for a user who answers with no', async () => {
    const asked = await onTerminal([
      [/Change now what clients use\?/, `${DOWN}${DOWN}${ENTER}`],
      [/Which role do the clients connect as\?/, `app${ENTER}`],
      [/Do it now\?/, 'n'],
    ]);
    expect({ code: asked.code, lines: asked.lines }).toMatchObject({ code: 0 });
    for (const words of ['distances that it returns are approximate', 'nothing was changed for clients'])
      expect(asked.lines.join('\n')).toContain(words);
    expect(await planFor('app')).not.toContain('tldr_docs_');
    expect(await server.sql(`select from pg_proc where proname = 'find_docs'`)).toEqual([]);
  });

  postgresTest('refuses an operator for another distance than cosine before it measures', async () => {
    await makeDemoTable(server, 'dotted', base);
    await server.sql('drop index dotted_full');
    await server.sql('create index on dotted using hnsw (v vector_ip_ops)');
    const { code, stderr } = await runCli(
      ['shrink', 'dotted', ...RUN, '--form', 'operator', '--role', 'app'],
      { cwd, env: { DATABASE_URL: server.url } },
    );
    expect({ code, stderr }).toEqual({
      code: 7,
      stderr: expect.stringContaining('--form operator is only for cosine') as unknown,
    });
    expect((await readdir(cwd)).filter((name) => name.startsWith('dotted'))).toEqual([]);
    await server.sql('drop table dotted');
  });

  postgresTest('does not begin on a table that has compact vectors of another encoder', async () => {
    await makeDemoTable(server, 'taken', base);
    await startTable(server.url, 'taken', linearEncoder(1, [DIM, 4]));
    const { code, stderr } = await runCli(['shrink', 'taken', ...RUN], {
      cwd,
      env: { DATABASE_URL: server.url },
    });
    expect({ code, stderr }).toEqual({
      code: 5,
      stderr: expect.stringContaining(
        'has compact vectors already (ready), which this run did not make',
      ) as unknown,
    });
  });
});
