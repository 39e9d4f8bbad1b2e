import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng } from '../../../src/core/rng.js';
import { compactDifferences, linearEncoder, makeDocuments, sideTables } from './in-place.js';
import type { PostgresServer } from './postgres-server.js';
import { startWriters } from './writers.js';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const ROWS = 1_500;
const KILLS = 4;
/** Longest time from the moment at which a command reaches the server to its kill. */
const KILL_MS_MAX = 1_500;
/** Rests between batches, so that kills come in the middle of the filling. */
const NICE = '3';

/** What one run found. */
export interface OnlineResult {
  readonly seed: number;
  /** Committed transactions of the writers by kind. */
  readonly writes: Readonly<Record<string, number>>;
  /** What was killed, and the phase in which it was. */
  readonly kills: readonly string[];
  /** Keys that differ at the end, and at the verification of the command itself. */
  readonly differences: Awaited<ReturnType<typeof compactDifferences>>;
}

/** A command under way. */
interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  readonly errors: () => string;
}

function command(args: readonly string[], url: string, cwd: string): Running {
  const child = spawn(process.execPath, [MAIN, 'migrate', ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', DATABASE_URL: url },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (piece: Buffer) => (text += piece.toString()));
  const ended = once(child, 'close').then(([code]) => (typeof code === 'number' ? code : null));
  return { child, ended, errors: () => text };
}

/** Kills the command, its connection, or a process of the server, which then restarts all of its processes. */
async function kill(how: number, { child }: Running, server: PostgresServer): Promise<string> {
  if (how === 0) {
    child.kill('SIGKILL');
    return 'command';
  }
  const rows = await server.sql(CONNECTIONS).catch(() => []);
  const [pid] = rows.map((row) => Number(row['pid']));
  if (pid === undefined) return 'nothing';
  if (how === 1 || server.programs === null) {
    await server.sql('select pg_terminate_backend($1)', [pid]).catch(() => undefined);
    return 'connection';
  }
  process.kill(pid, 'SIGKILL');
  return 'server';
}

const CONNECTIONS = `select pid from pg_stat_activity where application_name = 'qdrant-tldr' and datname = current_database()`;

/** Waits until the command has a connection, or has ended. */
async function connected({ ended }: Running, server: PostgresServer): Promise<void> {
  const state = { isOver: false };
  void ended.then(() => (state.isOver = true));
  while (!state.isOver && (await server.sql(CONNECTIONS)).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 50));
}

async function phaseOf(server: PostgresServer, table: string): Promise<string> {
  const rows = await server
    .sql('select phase from tldr.migration where table_name = $1', [table])
    .catch(() => []);
  const phase = rows[0]?.['phase'];
  return typeof phase === 'string' ? phase : 'none';
}

/** Waits until the server answers again. */
async function answering(server: PostgresServer): Promise<void> {
  for (;;) {
    try {
      await server.sql('select 1');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** Migrates a table to which clients write all the time, with kills at random moments, and compares it at the end. */
export async function runOnline(server: PostgresServer, seed: number): Promise<OnlineResult> {
  const cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-online-'));
  const encoder = linearEncoder(seed + 1);
  const table = `online_${seed}`;
  const rng = new Rng(seed);
  const kills: string[] = [];
  const start = ['start', table, '--encoder', 'enc.onnx', '--yes', '--nice', NICE];
  try {
    await encoder.save(join(cwd, 'enc.onnx'));
    await makeDocuments(server, table, { rows: ROWS });
    const writers = startWriters(server.url, table, { seed });
    for (let i = 0; i < KILLS; i++) {
      const running = command(start, server.url, cwd);
      await connected(running, server);
      await new Promise((resolve) => setTimeout(resolve, rng.int(KILL_MS_MAX)));
      const phase = await phaseOf(server, table);
      const killed = await kill(rng.int(3), running, server);
      kills.push(`${killed} (${phase})`);
      if (killed !== 'command') await Promise.race([running.ended, new Promise((r) => setTimeout(r, 500))]);
      running.child.kill('SIGKILL');
      await running.ended;
      await answering(server);
    }
    const last = command(start, server.url, cwd);
    if ((await last.ended) !== 0) throw new Error(`seed ${seed}: ${last.errors()}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const writes = await writers.stop();
    const side = (await sideTables(server)).find((name) => name.includes(`compact_${table}_`)) ?? '';
    return { seed, writes, kills, differences: await compactDifferences(server, { table, side, encoder }) };
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}
