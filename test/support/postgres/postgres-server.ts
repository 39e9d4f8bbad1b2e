import { test } from '@jest/globals';
import pg from 'pg';
import { messageOf } from '../../../src/core/errors.js';
import { whyNoDocker } from '../server/test-server.js';
import { POSTGRES_IMAGE, startPostgresContainer } from './container.js';
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

/** Where the server of a suite comes from here: a given address, the package, a container; else why there is none. */
async function source(
  needs: 'any' | 'programs',
  versions: readonly string[],
): Promise<'given' | 'packaged' | 'container' | { readonly none: string }> {
  if (GIVEN_URL !== '' && needs === 'any') return 'given';
  try {
    for (const version of versions) await installPostgres(version);
    return 'packaged';
  } catch (error) {
    const noPackage = messageOf(error).split('\n').slice(0, 3).join(' ');
    if (needs === 'programs') return { none: `they need its programs, and ${noPackage}` };
    const noContainer = await whyNoDocker(POSTGRES_IMAGE);
    if (noContainer === null) return 'container';
    return { none: `there is no DATABASE_URL, ${noContainer}, and ${noPackage}` };
  }
}

/** What only some servers have, with a statement that returns a row where it is there, and fails or returns none elsewhere. */
const FEATURES = {
  'what PostgreSQL 18 brings': `select 1 where current_setting('server_version_num')::int >= 180000`,
  'collations of ICU': `select 1 where 'a' < 'b' collate "und-x-icu"`,
  'the extension btree_gist': `select 1 from pg_available_extensions where name = 'btree_gist'`,
  'the extension citext': `select 1 from pg_available_extensions where name = 'citext'`,
  'the extension postgres_fdw': `select 1 from pg_available_extensions where name = 'postgres_fdw'`,
} as const;

/** `test` where the server has all of this, else `test.skip`, with the reason said aloud. */
export type TestsNeeding = (...features: (keyof typeof FEATURES)[]) => typeof test.skip;

/** Starts a server for a moment to see what it has. @param version of the packaged server */
export async function testsByFeature(version = POSTGRES_VERSION): Promise<TestsNeeding> {
  if ((await testsOnPostgres('any', [version])) !== test) return () => test.skip;
  const server = await startPostgres('any', [], version);
  const found = new Set<string>();
  for (const [name, statement] of Object.entries(FEATURES))
    if ((await server.sql(statement).catch(() => [])).length > 0) found.add(name);
  await server.stop();
  return (...features) => {
    const lacked = features.filter((feature) => !found.has(feature));
    if (lacked.length === 0) return test;
    process.stderr.write(`a test is left out: the server is without ${lacked.join(', without ')}\n`);
    return test.skip;
  };
}

/**
 * `test` where a server with pgvector can be had, else `test.skip`, with the reason said aloud.
 * @param versions all of which packages are needed for
 */
export async function testsOnPostgres(
  needs: 'any' | 'programs' = 'any',
  versions: readonly string[] = [POSTGRES_VERSION],
): Promise<typeof test.skip> {
  const from = await source(needs, versions);
  if (typeof from !== 'string') {
    process.stderr.write(`tests of PostgreSQL are left out: ${from.none}\n`);
    return test.skip;
  }
  const where = {
    given: 'the server of DATABASE_URL',
    packaged: `the packaged server, version ${versions.join(' and ')}`,
    container: `a container of ${POSTGRES_IMAGE}`,
  };
  process.stderr.write(`tests of PostgreSQL use ${where[from]}\n`);
  return test;
}

/**
 * Makes a database on the server of DATABASE_URL, on the packaged one, or on one in a container, in this order.
 * @param settings of the packaged server, such as `wal_level=logical`
 * @param version of the packaged server
 */
export async function startPostgres(
  needs: 'any' | 'programs' = 'any',
  settings: readonly string[] = [],
  version?: string,
): Promise<PostgresServer> {
  const from = await source(needs, [version ?? POSTGRES_VERSION]);
  if (from === 'given') return databaseOn(GIVEN_URL, null, () => Promise.resolve());
  if (from === 'container') {
    const container = await startPostgresContainer();
    return databaseOn(container.url, null, container.stop);
  }
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
