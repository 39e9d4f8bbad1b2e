import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { expectDefined } from '../../../src/core/errors.js';
import { giveToServer, SERVER_USER } from './install.js';
import type { PostgresServer } from './postgres-server.js';

const run = promisify(execFile);

/** A copy of a server that follows it, and that can only be read. */
export interface Standby {
  /** Address of the same database. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts a standby of a packaged server, which has everything that was committed before. */
export async function startStandby({ url, programs, sql }: PostgresServer): Promise<Standby> {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-standby-'));
  await giveToServer(folder);
  const program = (name: string): string => join(expectDefined(programs, 'the programs of the server'), name);
  const data = join(folder, 'data');
  const { hostname, port: primary, username } = new URL(url);
  const from = ['-h', hostname, '-p', primary, '-U', username];
  await run(program('pg_basebackup'), [...from, '-D', data, '-R', '-c', 'fast'], SERVER_USER);
  const [port = 0] = await freePorts(1);
  const child = spawn(
    program('postgres'),
    ['-D', data, '-p', String(port), '-k', folder, '-h', '127.0.0.1', '-F', '-c', 'jit=off'],
    { ...SERVER_USER, stdio: 'ignore' },
  );
  const own = new URL(url);
  own.port = String(port);
  const [row] = await sql('select pg_current_wal_lsn()::text as position');
  await replayed(own.href, String(row?.['position']));
  return {
    url: own.href,
    stop: async () => {
      const closed = once(child, 'close');
      child.kill('SIGINT');
      await closed;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Waits until the standby answers, and has everything up to a position. */
async function replayed(url: string, position: string): Promise<void> {
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      const { rows } = await client.query<{ is_there: boolean }>(
        'select pg_last_wal_replay_lsn() >= $1::pg_lsn as is_there',
        [position],
      );
      if (rows[0]?.is_there === true) return;
    } catch {
      // It does not answer yet.
    } finally {
      await client.end().catch(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
