import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { runCli, type CliResult } from '../../../support/cli/run-cli.js';
import { expectEqual, linearEncoder, makeDocuments, sideTables } from '../../../support/postgres/in-place.js';
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
