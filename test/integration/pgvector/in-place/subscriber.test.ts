import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Rng } from '../../../../src/core/rng.js';
import type { InPlaceState } from '../../../../src/store/in-place-target.js';
import {
  DIM,
  asRole,
  expectEqual,
  linearEncoder,
  makeDocuments,
  resumeTable,
  startTable,
  vectorText,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres('programs');
const run = promisify(execFile);
const ENCODER = linearEncoder();
const NAME = { collection: 'docs', vectorName: undefined };
const rng = new Rng(11);
let server: PostgresServer;
let cwd = '';
let pairs = 0;

beforeAll(async () => {
  server = await startPostgres('programs', ['wal_level=logical']);
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-subscriber-'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

/** Two databases, of which the second follows the first by a logical replication. */
interface Pair {
  readonly publisher: PostgresServer;
  readonly subscriber: PostgresServer;
  /** Publishes tables and subscribes to them, their rows included. */
  readonly connect: (tables: string) => Promise<void>;
  /** Writes rows of every kind to the publisher, and waits until the subscriber has them. */
  readonly write: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

async function openPair(): Promise<Pair> {
  const [publisher, subscriber] = [await server.beside(), await server.beside()];
  const name = `follows_${pairs++}`;
  let markers = 10_000;
  return {
    publisher,
    subscriber,
    connect: async (tables) => {
      await publisher.sql(`create publication ${name} for ${tables}`);
      // On one server, a subscription that makes its slot itself would wait for its own transaction.
      await publisher.sql(`select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
      await subscriber.sql(
        `create subscription ${name} connection '${publisher.url}' publication ${name} with (create_slot = false)`,
      );
      await until(
        subscriber,
        `select bool_and(srsubstate = 'r') and count(*) > 0 as "isThere" from pg_subscription_rel`,
      );
    },
    write: async () => {
      await publisher.sql(`update docs set embedding = '${vectorText(rng)}' where id < 5`);
      await publisher.sql('update docs set embedding = null where id = 6');
      await publisher.sql('update docs set id = -id where id = 7');
      await publisher.sql('delete from docs where id between 8 and 12');
      await publisher.sql(`insert into docs values (${++markers}, '', '{}', '${vectorText(rng)}')`);
      await until(subscriber, `select exists (select from docs where id = ${markers}) as "isThere"`);
    },
    stop: async () => {
      await subscriber.sql(`drop subscription if exists ${name}`);
      await subscriber.stop();
      await publisher.stop();
    },
  };
}

async function until({ sql }: PostgresServer, text: string): Promise<void> {
  while ((await sql(text))[0]?.['isThere'] !== true) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function expectAllEqual(place: PostgresServer): Promise<void> {
  await expectEqual(place, { table: 'docs', encoder: ENCODER });
}

const stateOf = ({ url }: PostgresServer): Promise<InPlaceState | null> =>
  withPgvector(url, (store) => store.inPlace.find(NAME));

/** Makes a search function over the migrated table. */
async function cutOver({ url }: PostgresServer): Promise<void> {
  await withPgvector(url, async (store) => {
    const work = await store.inPlace.resume(NAME, { lockWaitMs: 500 });
    await work.cutOver({ form: 'function', name: 'find_docs', candidates: 100 });
    await work.release();
  });
}

describe('the subscriber of a logical replication', () => {
  postgresTest('of the table keeps its compact vectors itself, and is told so before', async () => {
    const { publisher, subscriber, connect, write, stop } = await openPair();
    await makeDocuments(publisher, 'docs');
    await makeDocuments(subscriber, 'docs', { rows: 0 });
    await connect('table docs');
    const request = { ...NAME, encoder: ENCODER.toBytes(), datatype: undefined, hnswM: undefined };
    const { notes } = await withPgvector(subscriber.url, (store) => store.inPlace.plan(request));
    expect(notes.join()).toMatch(/come by the subscription follows_\d+: the triggers are set to fire/);
    const { verified } = await startTable(subscriber.url, 'docs', ENCODER);
    expect(verified).toMatchObject({ points: 60, missing: 0 });
    await write();
    await expectAllEqual(subscriber);
    await subscriber.sql(`update docs set embedding = '${vectorText(rng)}' where id = 20`);
    await publisher.sql('truncate docs');
    await write();
    await expectAllEqual(subscriber);
    expect(await subscriber.sql('select count(*)::int as rows from docs')).toEqual([{ rows: 1 }]);
    expect((await stateOf(subscriber))?.warnings).toEqual([]);
    await stop();
  });

  postgresTest.each([
    ['each partition', 'false'],
    ['the whole table', 'true'],
  ])('of a table with partitions keeps them too, by the rows of %s', async (_what, viaRoot) => {
    const { publisher, subscriber, connect, write, stop } = await openPair();
    for (const { sql } of [publisher, subscriber]) {
      await sql(
        `create table docs (id int primary key, content text, metadata jsonb, embedding vector(${DIM})) partition by range (id)`,
      );
      await sql(`create table docs_low partition of docs for values from (-1000) to (30);
        create table docs_high partition of docs for values from (30) to (100000)`);
    }
    for (let id = 1; id <= 40; id++)
      await publisher.sql(`insert into docs values (${id}, '', '{}', '${vectorText(rng)}')`);
    await connect(`table docs with (publish_via_partition_root = ${viaRoot})`);
    await startTable(subscriber.url, 'docs', ENCODER);
    await write();
    await expectAllEqual(subscriber);
    await publisher.sql('truncate docs_low');
    await publisher.sql('update docs set id = id - 1000 where id between 30 and 35');
    await write();
    await expectAllEqual(subscriber);
    await publisher.sql('truncate docs');
    await write();
    await expectAllEqual(subscriber);
    expect((await stateOf(subscriber))?.warnings).toEqual([]);
    await stop();
  });

  postgresTest('that was migrated before it subscribed is warned, and repaired by resume', async () => {
    const { publisher, subscriber, connect, write, stop } = await openPair();
    await makeDocuments(publisher, 'docs');
    await makeDocuments(subscriber, 'docs', { rows: 0 });
    await startTable(subscriber.url, 'docs', ENCODER);
    await connect('table docs');
    expect((await stateOf(subscriber))?.warnings.join()).toMatch(
      /does not fire for rows that the subscription follows_\d+ writes/,
    );
    await withPgvector(subscriber.url, async (store) => {
      const work = await store.inPlace.resume(NAME, { lockWaitMs: 500 });
      expect(await work.verify({})).toMatchObject({ missing: 60 });
      await work.release();
    });
    await resumeTable(subscriber.url, 'docs');
    await expectAllEqual(subscriber);
    await write();
    await expectAllEqual(subscriber);
    expect((await stateOf(subscriber))?.warnings).toEqual([]);
    await stop();
  });

  postgresTest('needs no trigger in the layout index-only', async () => {
    const { publisher, subscriber, connect, write, stop } = await openPair();
    await makeDocuments(publisher, 'docs');
    await makeDocuments(subscriber, 'docs', { rows: 0 });
    await connect('table docs');
    await startTable(subscriber.url, 'docs', ENCODER, { layout: 'index-only' });
    await cutOver(subscriber);
    await write();
    const [{ id, embedding } = {}] = await publisher.sql(
      'select id, embedding::text as embedding from docs order by id desc limit 1',
    );
    const found = await asRole(
      subscriber,
      'postgres',
      'set enable_seqscan = off',
      `select id from find_docs('${String(embedding)}', 1)`,
    );
    expect(found).toEqual([{ id }]);
    expect((await stateOf(subscriber))?.warnings).toEqual([]);
    await stop();
  });

  postgresTest('of the table and of the schema tldr has everything that the publisher has', async () => {
    const { publisher, subscriber, connect, write, stop } = await openPair();
    await makeDocuments(publisher, 'docs');
    await startTable(publisher.url, 'docs', ENCODER);
    await cutOver(publisher);
    const schema = join(cwd, 'schema.sql');
    const program = (name: string): string => join(String(server.programs), name);
    await run(program('pg_dump'), ['-d', publisher.url, '--schema-only', '-f', schema]);
    await run(program('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', subscriber.url, '-f', schema]);
    await connect('table docs, tables in schema tldr');
    await write();
    await publisher.sql('truncate docs');
    await write();
    const one = `[${Array.from({ length: DIM }, () => 1).join(',')}]`;
    await publisher.sql(`insert into docs values (77, '', '{}', '${one}')`);
    await write();
    await expectAllEqual(subscriber);
    expect(await stateOf(subscriber)).toMatchObject({ phase: 'cut-over', warnings: [] });
    expect(await subscriber.sql(`select id from find_docs('${one}', 1)`)).toEqual([{ id: 77 }]);
    await stop();
  });
});
