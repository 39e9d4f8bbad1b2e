import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '../../../src/core/run-options.js';
import { Rng } from '../../../src/core/rng.js';
import { CLI_PROGRAM, runCli, type CliResult } from '../../support/cli/run-cli.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const [ROWS, DIM] = [700, 64];
/** Few rows and little time: the figures are not looked at, only what they are of. */
const SMALL = [
  '--dims',
  '8',
  '--sample',
  '700',
  '--queries-count',
  '40',
  '--budget',
  '2s',
  '--deterministic',
];
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-pgvector-plan-'));
  await server.sql(`create table docs (id bigint primary key, topic text, embedding vector(${DIM}))`);
  const rng = new Rng(1);
  for (let i = 0; i < ROWS; i++) {
    const vector = Array.from({ length: DIM }, (_, d) => Math.fround(rng.normal() * 1.1 ** -d));
    await server.sql('insert into docs values ($1, $2, $3)', [String(i), 'a', `[${vector.join(',')}]`]);
  }
  await server.sql('create index on docs using hnsw (embedding vector_cosine_ops) with (m = 12)');
  await server.sql('analyze docs');
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

const plan = (...args: string[]): Promise<CliResult> =>
  runCli(['plan', 'docs', ...SMALL, '--yes', ...args], { cwd, env: { DATABASE_URL: server.url } });

async function scratchSchemas(): Promise<readonly string[]> {
  const rows = await server.sql(`select nspname as name from pg_namespace where nspname like 'tldr-plan-%'`);
  return rows.map(({ name }) => String(name));
}

interface PlanRow {
  readonly label: string;
  readonly oversampling: number;
  readonly recallAt10: number;
  readonly ramBytes: number;
  readonly diskBytes: number;
  readonly serverMsP50: number;
}

function rowsOf(json: unknown): readonly PlanRow[] {
  return (json as { readonly rows: readonly PlanRow[] }).rows;
}

describe('plan on a table of PostgreSQL', () => {
  postgresTest('measures every form in a scratch schema, and removes it', async () => {
    const { code, stderr, json } = await plan('--json', '--target', 'recall@10>=0.9');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const rows = rowsOf(json());
    const found = (label: string, oversampling: number): PlanRow | undefined =>
      rows.find((row) => row.label === label && row.oversampling === oversampling);
    expect(new Set(rows.map(({ label }) => label))).toEqual(
      new Set([
        `${DIM} as configured (current)`,
        `${DIM} halfvec`,
        `${DIM} bit`,
        `first 8 of ${DIM} halfvec`,
        '8 halfvec, m 12',
        '8 halfvec, m 8',
      ]),
    );
    const current = found(`${DIM} as configured (current)`, 1);
    const compact = found('8 halfvec, m 12', 10);
    const bit = found(`${DIM} bit`, 10);
    expect(current?.recallAt10).toBeGreaterThan(0.95);
    for (const row of [compact, bit, found(`first 8 of ${DIM} halfvec`, 10)]) {
      expect(row?.ramBytes).toBeGreaterThan(0);
      expect(row?.ramBytes).toBeLessThan(current?.ramBytes ?? 0);
      // The full vectors stay in the table: one of them is 4 bytes for each dimension.
      expect(row?.diskBytes).toBeGreaterThan(ROWS * DIM * 4);
    }
    for (const label of [`${DIM} bit`, `first 8 of ${DIM} halfvec`, '8 halfvec, m 12'])
      expect(found(label, 10)?.recallAt10).toBeGreaterThan((found(label, 1)?.recallAt10 ?? 1) + 0.1);
    for (const { serverMsP50 } of rows) expect(serverMsP50).toBeGreaterThan(0);
    expect(stderr).toContain('in server');
    expect(await scratchSchemas()).toEqual([]);
  });

  postgresTest(
    'leaves indexes out that no time is left for, names them, and still measures one',
    async () => {
      const args = ['--dims', '8', '--oversampling', '10', '--budget', '1s', '--yes', '--json'];
      const { code, stderr, json } = await runCli(['plan', 'docs', ...args], {
        cwd,
        env: { DATABASE_URL: server.url },
      });
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const { notes } = json() as { readonly notes: readonly string[] };
      const [note = ''] = notes.filter((one) => one.startsWith('not indexed and measured'));
      expect(note).toContain(`${DIM} as configured (current)`);
      const labels = new Set(rowsOf(json()).map(({ label }) => label));
      expect(labels.size).toBeGreaterThan(0);
      for (const label of labels) expect(note).not.toContain(label);
      expect(await scratchSchemas()).toEqual([]);
    },
  );

  postgresTest('is a dry run without a trace', async () => {
    const { code, stdout } = await plan('--dry-run');
    expect(code).toBe(0);
    expect(stdout).toContain('in scratch collection tldr-plan-');
    expect(await scratchSchemas()).toEqual([]);
  });

  postgresTest('after a kill, the next run removes what was left and names it', async () => {
    const child = spawn(process.execPath, [CLI_PROGRAM, 'plan', 'docs', ...SMALL, '--yes'], {
      cwd,
      env: { ...process.env, DATABASE_URL: server.url },
      stdio: 'ignore',
    });
    let left: readonly string[] = [];
    while (left.length === 0 && child.exitCode === null) {
      await sleep(20);
      left = await scratchSchemas();
    }
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    expect(left).toHaveLength(1);
    const { code, stdout } = await plan();
    expect(code).toBe(0);
    expect(stdout).toContain(`removed ${left.join()}, which runs that were killed had left behind`);
    expect(await scratchSchemas()).toEqual([]);
  });

  postgresTest('a schema of a user is never removed, whatever its name', async () => {
    await server.sql('create schema "tldr-plan-mine"');
    const { code, stdout } = await plan('--clean');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringContaining('nothing was left behind') as unknown,
    });
    expect(await scratchSchemas()).toEqual(['tldr-plan-mine']);
    await server.sql('drop schema "tldr-plan-mine"');
  });

  postgresTest('a role that may not make a schema is told what to ask for', async () => {
    await server.sql(`create role plan_reader login`);
    await server.sql('grant select on docs to plan_reader');
    const url = new URL(server.url);
    url.username = 'plan_reader';
    const { code, stderr } = await runCli(['plan', 'docs', ...SMALL, '--yes'], {
      cwd,
      env: { DATABASE_URL: url.href },
    });
    expect({ code, stderr }).toEqual({
      code: 6,
      stderr: expect.stringContaining('GRANT CREATE ON DATABASE') as unknown,
    });
    await server.sql('revoke select on docs from plan_reader');
    await server.sql('drop role plan_reader');
  });
});
