import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const [ROWS, DIM] = [400, 16];
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-pgvector-'));
  await server.sql(`create table docs (id uuid primary key, topic text, embedding vector(${DIM}))`);
  const rng = new Rng(1);
  const x = matrix(ROWS, DIM);
  for (let i = 0; i < ROWS; i++) {
    for (let d = 0; d < DIM; d++) x.data[i * DIM + d] = rng.normal() * 2 ** -d;
    const vector = `[${x.data.subarray(i * DIM, (i + 1) * DIM).join(',')}]`;
    await server.sql('insert into docs values (gen_random_uuid(), $1, $2)', [`topic ${i % 3}`, vector]);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

/** Runs a command with the address in the environment. */
const cli = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd, env: { DATABASE_URL: server.url } });

describe('the commands on a table of PostgreSQL', () => {
  postgresTest('inspect it by its name, with the address of DATABASE_URL', async () => {
    const { code, stderr, json } = await cli('inspect', 'docs', '--json');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining('docs: 400 points') as unknown,
    });
    expect(json()).toMatchObject({
      points: ROWS,
      vectors: [{ name: 'embedding', dim: DIM, distance: 'cosine' }],
    });
    expect(stderr).toContain("qdrant-tldr plan docs --target 'recall@10>=0.97'");
  });

  postgresTest('inspect it by address, table and column', async () => {
    const way = ['--table', 'public.docs', '--column', 'embedding'];
    const { code, stderr, json } = await runCli(['inspect', server.url, ...way, '--json'], { cwd });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(json()).toMatchObject({ collection: 'public.docs', points: ROWS });
    expect(stderr).toContain(`plan public.docs --target 'recall@10>=0.97' --url ${server.url}`);
    const wrong = await runCli(['inspect', server.url, '--table', 'docs', '--column', 'topic'], { cwd });
    expect({ code: wrong.code, stderr: wrong.stderr }).toEqual({
      code: 4,
      stderr: expect.stringContaining('it has "embedding"') as unknown,
    });
  });

  postgresTest('learn from it, with labels of its columns, and promise no migration', async () => {
    const learn = ['--dim', '4', '--steps', '3', '--k', '5', '--out', 'enc.onnx', '--report', 'page.html'];
    const { code, stderr, json } = await cli('train', 'docs', ...learn, '--labels-field', 'topic', '--json');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).not.toContain('migrate');
    expect(json()).toMatchObject({ inputDim: DIM, outputDim: 4 });
    expect(JSON.stringify(json())).toContain('topic');
  });

  postgresTest('learn linear encoders from it, and print them as SQL', async () => {
    const learn = ['--dim', '4', '--budget', '2s', '--out', 'linear.onnx', '--json'];
    const { code, stderr, stdout } = await cli('train', 'docs', ...learn);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr + stdout).toContain('only linear encoders compete');
    expect(stderr).toContain('qdrant-tldr sql --encoder linear.onnx');
    expect(stderr).toContain('qdrant-tldr migrate start docs --encoder linear.onnx');
    expect(stdout).not.toMatch(/residual|tldr-mlp/);
    const script = await cli('sql', '--encoder', 'linear.onnx');
    await server.sql(script.stdout);
    const [name] = script.stdout.match(/"tldr"\."project_\w+"/) ?? [];
    const dims = await server.sql(
      `select vector_dims(${name}(embedding)) as dim, count(*)::int as rows from docs group by 1`,
    );
    expect(dims).toEqual([{ dim: 4, rows: ROWS }]);
    await server.sql('drop schema tldr cascade');
  });

  postgresTest('say that a table has no new encoder by a copy, and write nothing', async () => {
    const { code, stderr } = await cli('migrate', 'reencode', 'docs', '--encoder', 'enc.onnx', '--yes');
    expect({ code, stderr }).toEqual({ code: 7, stderr: expect.stringContaining('pgvector') as unknown });
    const tables = await server.sql(
      `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    );
    expect(tables).toEqual([{ relname: 'docs' }]);
  });

  postgresTest('need no proxy, and serve says so', async () => {
    const { code, stderr } = await cli('serve', '--collection', 'docs', '--target', 'docs_2s');
    expect({ code, stderr }).toEqual({
      code: 7,
      stderr: expect.stringContaining('tables of PostgreSQL need no proxy') as unknown,
    });
    expect(stderr).toContain('`migrate cutover --form function`');
  });

  postgresTest('refuse a password on the command line, and never show one', async () => {
    const refused = await cli('inspect', 'docs', '--url', 'postgres://me:s3cret@127.0.0.1:1/app');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('give the whole address in DATABASE_URL');
    const shown = await runCli(['config'], {
      cwd,
      env: { DATABASE_URL: 'postgres://me:s3cret@127.0.0.1:1/app' },
    });
    expect(shown.stdout + shown.stderr).toContain('postgres://********@127.0.0.1:1/app');
    const failed = await runCli(['inspect', 'docs'], {
      cwd,
      env: { DATABASE_URL: 'postgres://me:s3cret@127.0.0.1:1/app', QDRANT_TLDR_LOG_LEVEL: 'debug' },
    });
    expect(failed.code).not.toBe(0);
    const inPlace = await cli('inspect', 'postgres://me:s3cret@127.0.0.1:1/app', '--table', 'docs');
    expect(inPlace.code).toBe(2);
    expect(inPlace.stderr).toContain('give the whole address in DATABASE_URL');
    for (const { stdout, stderr } of [refused, shown, failed, inPlace])
      expect(stdout + stderr).not.toContain('s3cret');
  });

  postgresTest('prefer the address of a flag and of QDRANT_URL to DATABASE_URL', async () => {
    const other = { DATABASE_URL: 'postgres://127.0.0.1:1/app' };
    const byFlag = await runCli(['inspect', 'docs', '--url', server.url], { cwd, env: other });
    expect({ code: byFlag.code, stderr: byFlag.stderr }).toMatchObject({ code: 0 });
    const env = { ...other, QDRANT_URL: 'http://127.0.0.1:1' };
    expect((await runCli(['config'], { cwd, env })).stdout).not.toContain('postgres://127');
    expect((await runCli(['inspect', 'docs'], { cwd, env })).stderr).toContain('http://127.0.0.1:1');
  });

  postgresTest('read the variables of psql where the address leaves something out', async () => {
    const { hostname, port, pathname, username } = new URL(server.url);
    const env = { PGHOST: hostname, PGPORT: port, PGDATABASE: pathname.slice(1), PGUSER: username };
    const { code, stdout } = await runCli(['inspect', 'docs', '--url', 'postgres://'], { cwd, env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('400 points') as unknown });
  });
});
