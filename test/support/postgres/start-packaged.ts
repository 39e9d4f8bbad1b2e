import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { expectDefined } from '../../../src/core/errors.js';
import { giveToServer, installPostgres, SERVER_USER } from './install.js';

const run = promisify(execFile);
const START_ATTEMPTS = 200;

/** A running server of its own. */
export interface PackagedPostgres {
  /** Address of the database `postgres`. */
  readonly url: string;
  /** Its first process, which starts all others. */
  readonly pid: number;
  /** Folder of the programs, such as pg_dump. */
  readonly programs: string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts the packaged server.
 * @param options.version its major version; by default the one that most tests run
 * @param options.data a folder that stays, with its database; by default a new one that `stop` removes
 * @param options.settings of the server, such as `shared_buffers=1GB`
 */
export async function startPackagedPostgres({
  data: kept,
  settings = [],
  version,
}: {
  readonly data?: string | undefined;
  readonly settings?: readonly string[];
  readonly version?: string | undefined;
} = {}): Promise<PackagedPostgres> {
  const programs = await installPostgres(version);
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-postgres-data-'));
  await giveToServer(folder);
  const data = kept ?? join(folder, 'data');
  if (kept !== undefined) {
    await mkdir(kept, { recursive: true });
    await giveToServer(kept);
  }
  const initial = ['-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  if (!existsSync(join(data, 'PG_VERSION')))
    await run(join(programs, 'initdb'), ['-D', data, ...initial], SERVER_USER);
  const [port = 0] = await freePorts(1);
  const given = ['jit=off', ...settings].flatMap((setting) => ['-c', setting]);
  const child = spawn(
    join(programs, 'postgres'),
    ['-D', data, '-p', String(port), '-k', folder, '-h', '127.0.0.1', '-F', ...given],
    { ...SERVER_USER, stdio: 'ignore' },
  );
  const stop = async (): Promise<void> => {
    await ended(child);
    await rm(folder, { recursive: true, force: true });
  };
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await answers(url);
  return { url, pid: expectDefined(child.pid, 'the process id of the server'), programs, stop };
}

/** Ends the server, with its connections. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGINT');
  await closed;
}

async function answers(url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      await client.end().catch(() => undefined);
      if (attempt === START_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
