import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import pg from 'pg';
import { Rng } from '../../../../src/core/rng.js';
import {
  expectEqual,
  linearEncoder,
  makeDocuments,
  resumeTable,
  sideOf,
  sideTables,
  startTable,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';
import { startStandby } from '../../../support/postgres/standby.js';

const postgresTest = await testsOnPostgres('programs');
const ENCODER = linearEncoder();
const rng = new Rng(5);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres('programs');
});
afterAll(async () => {
  await server.stop();
});

async function expectAllEqual(table: string): Promise<void> {
  await expectEqual(server, { table, encoder: ENCODER });
}

/** Runs statements in one connection. Returns the rows of the last one. */
async function inOneSession(
  statements: readonly string[],
  url = server.url,
): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: readonly Record<string, unknown>[] = [];
    for (const statement of statements) rows = (await client.query<Record<string, unknown>>(statement)).rows;
    return rows;
  } finally {
    await client.end();
  }
}

/** Makes a search function over a migrated table. */
async function cutOver(table: string, name: string): Promise<void> {
  await withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    await work.cutOver({ form: 'function', name, candidates: 100 });
    await work.release();
  });
}

describe('a search path that finds nothing', () => {
  postgresTest('is enough for writes, searches, REINDEX, VACUUM and views', async () => {
    await makeDocuments(server, 'pathless');
    await startTable(server.url, 'pathless', ENCODER);
    await cutOver('pathless', 'find_pathless');
    const side = await sideOf(server, 'pathless');
    const one = vectorText(rng);
    const found = await inOneSession([
      `set search_path = ''`,
      `insert into public.pathless values (1000, '', '{}', '${one}')`,
      `update public.pathless set embedding = '${vectorText(rng)}' where id = 1`,
      `delete from public.pathless where id = 2`,
      `reindex table ${side}`,
      `vacuum (analyze) ${side}`,
      `create materialized view public.nearest as select * from public.find_pathless('${one}', 5)`,
      `refresh materialized view public.nearest`,
      `select id from public.nearest limit 1`,
    ]);
    expect(found).toEqual([{ id: 1000 }]);
    await expectAllEqual('pathless');
  });
});

describe('a search with a filter', () => {
  postgresTest('returns as many rows as there are, since the index is scanned further', async () => {
    await makeDocuments(server, 'filtered', { rows: 1_500 });
    await server.sql(`update filtered set metadata = '{"rare": true}' where id % 150 = 0`);
    await startTable(server.url, 'filtered', ENCODER);
    await cutOver('filtered', 'find_filtered');
    await server.sql(`analyze filtered`);
    const side = await sideOf(server, 'filtered');
    await server.sql(`analyze ${side}`);
    // The index is used however small the table is.
    const byIndex = [
      'set enable_seqscan = off',
      'set enable_sort = off',
      'set enable_hashjoin = off',
      'set enable_mergejoin = off',
    ];
    const asked = `(select embedding from filtered where id = 1)`;
    const within = await inOneSession([
      ...byIndex,
      'set hnsw.iterative_scan = off',
      `select count(*)::int as rows from (select t.id from filtered t join ${side} s on t.id = s.k1
         where t.metadata @> '{"rare": true}' order by s.z <=> (select z from ${side} where k1 = 1) limit 10) found`,
    ]);
    expect(Number(within[0]?.['rows'])).toBeLessThan(10);
    const all = await inOneSession([
      ...byIndex,
      `select count(*)::int as rows from find_filtered(${asked}, 10, '{"rare": true}')`,
    ]);
    expect(all).toEqual([{ rows: 10 }]);
  });
});

describe('writes without triggers', () => {
  postgresTest('as on the subscriber of a replication are found, and repaired by resume', async () => {
    await makeDocuments(server, 'replicated');
    await startTable(server.url, 'replicated', ENCODER);
    await inOneSession([
      'set session_replication_role = replica',
      `insert into replicated values (1000, '', '{}', '${vectorText(rng)}')`,
      `update replicated set embedding = '${vectorText(rng)}' where id = 1`,
      'delete from replicated where id = 2',
    ]);
    await withPgvector(server.url, async (store) => {
      const name = { collection: 'replicated', vectorName: undefined };
      const work = await store.inPlace.resume(name, { lockWaitMs: 500 });
      expect(await work.verify({})).toMatchObject({ missing: 1, orphans: 1, differing: 1 });
      await work.release();
    });
    await resumeTable(server.url, 'replicated');
    await expectAllEqual('replicated');
  });
});

describe('a role that does not own the table', () => {
  postgresTest('migrates it and removes all again, with the rights that it was told to ask for', async () => {
    await makeDocuments(server, 'borrowed', { rows: 20 });
    await server.sql('create role borrower login');
    await server.sql('grant select, update, trigger on borrowed to borrower');
    await server.sql('grant usage, create on schema tldr to borrower');
    await server.sql('grant select, insert, update, delete on tldr.migration, tldr.encoder to borrower');
    const url = new URL(server.url);
    url.username = 'borrower';
    const own = linearEncoder(7);
    await startTable(url.href, 'borrowed', own);
    await server.sql(`update borrowed set embedding = '${vectorText(rng)}' where id = 3`);
    await expectEqual(server, { table: 'borrowed', encoder: own });
    await withPgvector(url.href, async (store) => {
      const work = await store.inPlace.resume(
        { collection: 'borrowed', vectorName: undefined },
        { lockWaitMs: 500 },
      );
      await work.remove();
      await work.release();
    });
    expect(
      await server.sql(
        `select tgname from pg_trigger where tgrelid = 'borrowed'::regclass and not tgisinternal`,
      ),
    ).toEqual([]);
    expect((await sideTables(server)).filter((name) => name.includes('_borrowed_'))).toEqual([]);
  });

  postgresTest('is told who has to switch a trigger on again', async () => {
    await makeDocuments(server, 'lent', { rows: 5 });
    await server.sql('grant select, update, trigger on lent to borrower');
    const url = new URL(server.url);
    url.username = 'borrower';
    await startTable(url.href, 'lent', linearEncoder(8));
    await server.sql('alter table lent disable trigger user');
    await expect(resumeTable(url.href, 'lent')).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('alter table "public"."lent" enable trigger') as unknown,
    });
    await server.sql('alter table lent enable trigger user');
    await resumeTable(url.href, 'lent');
  });
});

describe('a standby', () => {
  postgresTest('has all compact vectors, is searched, and is refused for a migration', async () => {
    await makeDocuments(server, 'mirrored', { rows: 40 });
    await startTable(server.url, 'mirrored', ENCODER);
    await cutOver('mirrored', 'find_mirrored');
    const standby = await startStandby(server);
    try {
      const found = `select id from find_mirrored((select embedding from mirrored where id = 7), 3)`;
      expect(await inOneSession([found], standby.url)).toEqual(await inOneSession([found]));
      await withPgvector(standby.url, async (store) => {
        expect(await store.inPlace.find({ collection: 'mirrored', vectorName: undefined })).toMatchObject({
          phase: 'cut-over',
        });
      });
      await expect(startTable(standby.url, 'pathless', linearEncoder(9))).rejects.toThrow(/standby/);
    } finally {
      await standby.stop();
    }
  });
});
