import { afterAll, beforeAll, expect } from '@jest/globals';
import { tmpdir } from 'node:os';
import pg from 'pg';
import { PGVECTOR } from '../../../adapters/pgvector/adapter.js';
import { expectDefined } from '../../../src/core/errors.js';
import { maskAddress } from '../../../src/core/masked-address-and-redirect.js';
import { row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { startInPlace } from '../../../src/migrate/in-place/run.js';
import type { DemoDatabase } from '../../../src/store/adapter.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import {
  DIM,
  linearEncoder,
  makeDocuments,
  startTable,
  withPgvector,
} from '../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';
import { randomMatrix } from '../../support/random-encoder.js';

const postgresTest = await testsOnPostgres();
const ROWS = 600;
const ENCODER = linearEncoder(3);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server.stop();
});

const demo = (...args: string[]): Promise<CliResult> =>
  runCli(['demo', '--json', ...args], { cwd: tmpdir(), env: { DATABASE_URL: server.url } });

async function withDemo<T>(body: (database: DemoDatabase) => Promise<T>): Promise<T> {
  const database = await expectDefined(PGVECTOR.demo, 'the demo').open({ url: server.url, settings: {} });
  try {
    return await body(database);
  } finally {
    await database.close();
  }
}

async function schemas(): Promise<unknown[]> {
  const rows = await server.sql(
    `select nspname::text as name from pg_namespace where nspname like 'tldr%' order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** Makes the demo's table and migrates it. */
async function prepare(database: DemoDatabase): Promise<void> {
  const vectors = randomMatrix(ROWS, DIM, new Rng(4));
  await database.fill({ vectors, texts: Array.from({ length: ROWS }, (_, i) => `text ${i}`) }, {});
  const request = {
    collection: database.collection,
    vectorName: undefined,
    datatype: undefined,
    hnswM: undefined,
  };
  await startInPlace(database.store, { ...request, encoder: ENCODER.toBytes() }, { lockWaitMs: 500 });
}

postgresTest('the demo searches its table in every way, and removes all that it made', async () => {
  await withDemo(async (database) => {
    await database.remove();
    await prepare(database);
    const [text] = await server.sql(`select content from tldr_demo.glosses where id = 599`);
    expect(text).toEqual({ content: 'text 599' });
    const searches = await database.searches();
    expect(searches.map(({ indexed, rescored }) => `${indexed}, ${rescored}`)).toEqual([
      `${DIM} vector, null`,
      `${DIM} bit, 100`,
      '4 halfvec, null',
      '4 halfvec, 30',
      '4 halfvec, 100',
    ]);
    const query = row(randomMatrix(ROWS, DIM, new Rng(4)), 7);
    for (const { find, rescored, isCompact } of searches) {
      const found = await find(query, 10);
      expect(new Set(found).size).toBe(10);
      // The query is a row of the table, and full vectors come first in the end.
      if (rescored !== null || !isCompact) expect(found[0]).toBe(7);
    }
    expect(await schemas()).toEqual(['tldr', 'tldr_demo']);
    await database.remove();
    expect(await schemas()).toEqual([]);
  });
});

postgresTest(
  'the next demo removes what an interrupted one left, but no migration of somebody else',
  async () => {
    await makeDocuments(server, 'docs');
    await startTable(server.url, 'docs', ENCODER);
    await withDemo(prepare);
    await withPgvector(server.url, async (store) => {
      const name = { collection: 'tldr_demo.glosses', vectorName: undefined };
      const work = await store.inPlace.resume(name, { lockWaitMs: 500 });
      await work.cutOver({ form: 'function', name: 'public.find_glosses', candidates: 100 });
      await work.release();
    });
    await withDemo((database) => database.remove());
    expect(await server.sql(`select from pg_proc where proname = 'find_glosses'`)).toEqual([]);
    expect(await schemas()).toEqual(['tldr']);
    await withPgvector(server.url, async (store) => {
      const name = { collection: 'docs', vectorName: undefined };
      expect(await store.inPlace.find(name)).toMatchObject({ phase: 'ready' });
      const work = await store.inPlace.resume(name, { lockWaitMs: 500 });
      await work.remove();
      await work.release();
    });
    // Made before the demo, so it is not the demo's to remove.
    expect(await schemas()).toEqual(['tldr']);
    await server.sql('drop schema tldr cascade');
  },
);

postgresTest('the demo keeps the schema of migrations if somebody else made something in it', async () => {
  await withDemo(prepare);
  await server.sql(`create function tldr.theirs() returns int language sql as 'select 7'`);
  await withDemo((database) => database.remove());
  expect(await schemas()).toEqual(['tldr']);
  expect(await server.sql('select tldr.theirs() as value')).toEqual([{ value: 7 }]);
  // The tables are left as they were, so the next migration finds them.
  expect(await server.sql('select from tldr.migration')).toEqual([]);
  await server.sql('drop schema tldr cascade');
});

postgresTest('the demo waits for a migration that begins, and keeps it', async () => {
  await withDemo(prepare);
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(`begin; insert into tldr.encoder values ('theirs', '', true)`);
  const removing = withDemo((database) => database.remove());
  const waits = `select exists (select from pg_locks where not granted and relation = 'tldr.encoder'::regclass) as "isThere"`;
  while ((await server.sql(waits))[0]?.['isThere'] !== true)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await client.query('commit');
  await client.end();
  await removing;
  expect(await schemas()).toEqual(['tldr']);
  expect(await server.sql('select fingerprint from tldr.encoder')).toEqual([{ fingerprint: 'theirs' }]);
  await server.sql('drop schema tldr cascade');
});

postgresTest("a schema of the same name that is not the demo's stops it", async () => {
  await server.sql('create schema tldr_demo');
  await expect(withDemo((database) => database.remove())).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(await schemas()).toEqual(['tldr_demo']);
  await server.sql('drop schema tldr_demo');
});

postgresTest('the command takes the database of the address, or the one that is named', async () => {
  expect((await demo('--dry-run')).json()).toMatchObject({ dryRun: true, server: maskAddress(server.url) });
  expect(await demo()).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  expect(await schemas()).toEqual([]);
  expect((await demo('--dry-run', '--database', 'qdrant')).json()).toMatchObject({
    server: 'a server started for the demo',
  });
  const other = await demo('--dry-run', '--database', 'pgvector', '--url', 'http://localhost:6333');
  expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('is no address of pgvector') });
});
