import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Rng } from '../../../../src/core/rng.js';
import type { InPlaceState, InPlaceWork } from '../../../../src/store/in-place-target.js';
import {
  DIM,
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  resumeTable,
  sideOf,
  startTable,
  urlAs,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres('programs');
const ENCODER = linearEncoder();
const rng = new Rng(11);
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres('programs');
});
afterAll(async () => {
  await server.stop();
});

const vector = (): string => `'${vectorText(rng)}'`;

async function expectAllEqual(table: string, side: string): Promise<void> {
  await expectEqual(server, { table, side, encoder: ENCODER });
}

async function stateOf(table: string, url = server.url): Promise<InPlaceState | null> {
  return withPgvector(url, (store) => store.inPlace.find({ collection: table, vectorName: undefined }));
}

/** Works on the migration of a table, and lets go of it. */
function working<T>(table: string, body: (work: InPlaceWork) => Promise<T>): Promise<T> {
  return withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(
      { collection: table, vectorName: undefined },
      { lockWaitMs: 500 },
    );
    try {
      return await body(work);
    } finally {
      await work.release();
    }
  });
}

async function rangePartitions(table: string): Promise<void> {
  await server.sql(
    `create table ${table} (id int primary key, embedding vector(${DIM})) partition by range (id)`,
  );
  await server.sql(`create table ${table}_1 partition of ${table} for values from (0) to (10)`);
  await server.sql(`create table ${table}_2 partition of ${table} for values from (10) to (20)`);
  for (let id = 1; id < 20; id++) await server.sql(`insert into ${table} values (${id}, ${vector()})`);
}

describe('partitions', () => {
  postgresTest('that are detached and then emptied leave the compact vectors of the others', async () => {
    await rangePartitions('ranged');
    await startTable(server.url, 'ranged', ENCODER);
    const side = await sideOf(server, 'ranged');
    await server.sql('alter table ranged detach partition ranged_1');
    await server.sql('truncate ranged_1');
    expect(await server.sql(`select count(*)::int as rows from ${side} where k1 >= 10`)).toEqual([
      { rows: 10 },
    ]);
    await working('ranged', async (work) => {
      expect(await work.verify({})).toMatchObject({ missing: 0, orphans: 9, differing: 0 });
    });
    await resumeTable(server.url, 'ranged');
    await expectAllEqual('ranged', side);
  });

  postgresTest('whose triggers are switched off are named, and repaired by resume', async () => {
    await rangePartitions('muted');
    await startTable(server.url, 'muted', ENCODER);
    const side = await sideOf(server, 'muted');
    await server.sql('alter table muted_1 disable trigger all');
    await server.sql(`update muted set embedding = ${vector()} where id = 1`);
    expect((await stateOf('muted'))?.warnings.join()).toMatch(/of public.muted_1 is switched off/);
    await resumeTable(server.url, 'muted');
    await server.sql(`update muted set embedding = ${vector()} where id = 2`);
    await expectAllEqual('muted', side);
  });

  postgresTest('that are migrated alone keep the vectors of their own rows', async () => {
    // Only the partition has a key, so another one has the same ids.
    await server.sql(
      `create table shared (id int, part text, embedding vector(${DIM})) partition by list (part)`,
    );
    await server.sql(`create table shared_a partition of shared for values in ('a')`);
    await server.sql(`create table shared_b partition of shared for values in ('b')`);
    await server.sql('alter table shared_b add primary key (id)');
    for (const part of ['a', 'b'])
      for (let id = 1; id < 8; id++)
        await server.sql(`insert into shared values (${id}, '${part}', ${vector()})`);
    await startTable(server.url, 'shared_b', ENCODER);
    const side = await sideOf(server, 'shared_b');
    for (let id = 1; id < 6; id++)
      await server.sql(`update shared set embedding = ${vector()} where part = 'b' and id = ${id}`);
    await server.sql(`update shared set part = 'a' where part = 'b' and id = 2`);
    await expectAllEqual('shared_b', side);
    await server.sql('truncate shared_b');
    await expectAllEqual('shared_b', side);
  });

  postgresTest(
    'that have partitions themselves are migrated, before and after they are detached',
    async () => {
      await server.sql(
        `create table upper (id int, part text, embedding vector(${DIM}), primary key (id, part)) partition by list (part)`,
      );
      await server.sql(`create table middle partition of upper for values in ('a') partition by range (id)`);
      await server.sql('create table middle_1 partition of middle for values from (0) to (100)');
      await server.sql('create table middle_2 partition of middle for values from (100) to (200)');
      await server.sql(`create table beside partition of upper for values in ('b')`);
      for (const id of [1, 2, 101, 102])
        for (const part of ['a', 'b'])
          await server.sql(`insert into upper values (${id}, '${part}', ${vector()})`);
      await startTable(server.url, 'middle', ENCODER);
      const side = await sideOf(server, 'middle');
      await server.sql(`update upper set embedding = ${vector()} where id = 1`);
      await server.sql(`update upper set part = 'a', id = 3 where part = 'b' and id = 2`);
      await server.sql('truncate middle_2');
      await expectAllEqual('middle', side);
      await server.sql('alter table upper detach partition middle');
      await server.sql(`insert into middle values (150, 'a', ${vector()})`);
      await expectAllEqual('middle', side);
    },
  );
});

describe('a table that is changed while clients write', () => {
  postgresTest('may get wider keys, and halfvec instead of vector', async () => {
    await makeDocuments(server, 'widened');
    await startTable(server.url, 'widened', ENCODER);
    const side = await sideOf(server, 'widened');
    await working('widened', (work) =>
      work.cutOver({ form: 'function', name: 'find_widened', candidates: 100 }),
    );
    await server.sql('alter table widened alter id type bigint');
    await server.sql(`insert into widened values (5000000000, '', '{}', ${vector()})`);
    await server.sql(`alter table widened alter embedding type halfvec(${DIM})`);
    await server.sql(`update widened set embedding = ${vector()} where id = 1`);
    await server.sql('delete from widened where id = 2');
    await expectAllEqual('widened', side);
    await working('widened', async (work) => {
      expect(await work.verify({})).toMatchObject({ missing: 0, orphans: 0, differing: 0 });
    });

    await server.sql(`create table lettered (id varchar(3) primary key, embedding vector(${DIM}))`);
    await server.sql(`insert into lettered values ('a', ${vector()})`);
    await startTable(server.url, 'lettered', ENCODER);
    await server.sql('alter table lettered alter id type varchar(30)');
    await server.sql(`insert into lettered values ('longer than three', ${vector()})`);
    await expectAllEqual('lettered', await sideOf(server, 'lettered'));
  });

  postgresTest('and whose place another table takes loses its triggers at the next resume', async () => {
    await makeDocuments(server, 'swapped_in');
    await startTable(server.url, 'swapped_in', ENCODER);
    const side = await sideOf(server, 'swapped_in');
    await server.sql('create table taking (like swapped_in including all)');
    await server.sql('insert into taking select * from swapped_in');
    await server.sql('alter table swapped_in rename to swapped_out; alter table taking rename to swapped_in');
    await server.sql(`update swapped_in set embedding = ${vector()} where id = 1`);
    expect((await stateOf('swapped_in'))?.warnings.join()).toContain(
      'public.swapped_out still has the trigger',
    );
    await resumeTable(server.url, 'swapped_in');
    await server.sql('delete from swapped_out where id < 5; truncate swapped_out');
    await server.sql(`update swapped_in set embedding = ${vector()} where id = 2`);
    await expectAllEqual('swapped_in', side);
  });

  postgresTest('and renamed is told so under both names, and its migration can be removed', async () => {
    await makeDocuments(server, 'papers');
    await startTable(server.url, 'papers', ENCODER);
    await server.sql('alter table papers rename to articles');
    await server.sql(`update articles set embedding = ${vector()} where id = 1`);
    await expectAllEqual('articles', await sideOf(server, 'papers'));
    expect((await stateOf('papers'))?.problems.join()).toContain('was renamed to public.articles');
    await expect(stateOf('articles')).rejects.toMatchObject({ code: 'MISMATCH' });
    await expect(startTable(server.url, 'articles', ENCODER)).rejects.toMatchObject({ code: 'MISMATCH' });
    await working('papers', (work) => work.remove());
    await startTable(server.url, 'articles', ENCODER);
  });

  postgresTest.each<readonly [string, string, RegExp]>([
    ['renamed_vector', 'alter table renamed_vector rename embedding to other', /no column "embedding"/],
    ['renamed_key', 'alter table renamed_key rename id to other', /no column "id"/],
    ['other_key', 'alter table other_key alter id type text', /has the type text now/],
    [
      'other_length',
      'alter table other_length alter embedding type vector(2) using subvector(embedding, 1, 2)',
      /has 2 dimensions now/,
    ],
    ['with_child', 'create table its_child () inherits (with_child)', /its_child inherits from/],
    ['dropped', 'drop table dropped', /not there any more/],
  ])('%s: says what is wrong, and can be removed', async (table, change, words) => {
    await makeDocuments(server, table, { rows: 3 });
    await startTable(server.url, table, ENCODER);
    await server.sql(change);
    expect((await stateOf(table))?.problems.join()).toMatch(words);
    await expect(resumeTable(server.url, table)).rejects.toThrow(words);
    await working(table, async (work) => {
      await expect(work.verify({})).rejects.toThrow(words);
      await expect(work.cutOver({ form: 'none', name: undefined, candidates: 100 })).rejects.toThrow(words);
      await work.remove();
    });
    expect(await stateOf(table)).toBeNull();
  });

  postgresTest('and whose index of compact vectors was dropped gets it again', async () => {
    await makeDocuments(server, 'unindexed');
    await startTable(server.url, 'unindexed', ENCODER);
    const index = `select format('tldr.%I', relname) as name from pg_class where relname like 'compact_unindexed_%_hnsw'`;
    const [row] = await server.sql(index);
    await server.sql(`drop index ${String(row?.['name'])}`);
    expect((await stateOf('unindexed'))?.warnings.join()).toContain('has no index');
    await resumeTable(server.url, 'unindexed');
    expect(await server.sql(index)).toHaveLength(1);
  });

  postgresTest('and whose rows are hidden from the role of the triggers is told so', async () => {
    await server.sql('create role hidden_owner login; grant all on schema public to hidden_owner');
    await server.sql(`grant create on database ${new URL(server.url).pathname.slice(1)} to hidden_owner`);
    await makeDocuments(server, 'forced');
    await server.sql('alter table forced owner to hidden_owner');
    await server.sql('create schema if not exists tldr; grant usage, create on schema tldr to hidden_owner');
    const url = urlAs(server, 'hidden_owner');
    await startTable(server.url, 'forced', ENCODER);
    await working('forced', (work) => work.remove());
    await server.sql('grant all on tldr.migration, tldr.encoder to hidden_owner');
    await startTable(url, 'forced', linearEncoder(12));
    await server.sql('alter table forced enable row level security, force row level security');
    await server.sql('create policy few on forced using (id < 10)');
    expect((await stateOf('forced'))?.problems.join()).toContain('alter role hidden_owner bypassrls');
    await asRole(server, 'hidden_owner', `update forced set embedding = ${vector()} where id < 5`);
    await server.sql(`update forced set embedding = ${vector()} where id > 20`);
    await server.sql('alter role hidden_owner bypassrls');
    await working('forced', async (work) => {
      expect(await work.verify({})).toMatchObject({ missing: 40, orphans: 0, differing: 0 });
    });
    await resumeTable(server.url, 'forced');
    await expectEqual(server, { table: 'forced', encoder: linearEncoder(12) });
  });
});
