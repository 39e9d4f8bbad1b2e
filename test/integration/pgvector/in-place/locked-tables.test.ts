import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import pg from 'pg';
import { LOCK_SHARED } from '../../../../adapters/pgvector/migrate/state-table.js';
import { expectDefined } from '../../../../src/core/errors.js';
import { Rng } from '../../../../src/core/rng.js';
import { startInPlace, type InPlaceReport } from '../../../../src/migrate/in-place/run.js';
import type { InPlaceCutOverRequest } from '../../../../src/store/in-place-target.js';
import {
  expectEqual,
  linearEncoder,
  makeDocuments,
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

const postgresTest = await testsOnPostgres();
const ENCODER = linearEncoder();
const rng = new Rng(17);
const LOCK_WAIT_MS = 200;
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server.stop();
});

/** Runs `body` while a client holds the table by an open transaction. The body may end the transaction itself. */
async function whileHeld(
  statements: string,
  body: (release: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    await client.query(`begin; ${statements}`);
    await body(async () => {
      await client.query('commit');
    });
  } finally {
    await client.end();
  }
}

/** Options of a run, and what waits until the run said that it waits for a lock. */
function waiting(signal?: AbortSignal): {
  readonly options: Parameters<typeof startInPlace>[2];
  readonly inUse: Promise<void>;
} {
  let say: (() => void) | undefined;
  const inUse = new Promise<void>((resolve) => (say = resolve));
  const log = (_level: string, message: string): void => {
    if (message.includes('others hold a lock')) expectDefined(say, 'the end of the wait')();
  };
  return { options: { lockWaitMs: LOCK_WAIT_MS, log, ...(signal === undefined ? {} : { signal }) }, inUse };
}

const nameOf = (collection: string): { collection: string; vectorName: undefined } => ({
  collection,
  vectorName: undefined,
});

function start(table: string, options: Parameters<typeof startInPlace>[2]): Promise<InPlaceReport> {
  const request = { ...nameOf(table), encoder: ENCODER.toBytes(), datatype: undefined, hnswM: undefined };
  return withPgvector(server.url, (store) => startInPlace(store, request, options));
}

function remove(table: string, options: Parameters<typeof startInPlace>[2]): Promise<void> {
  return withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(nameOf(table), options);
    try {
      await work.remove();
    } finally {
      await work.release();
    }
  });
}

function cutOver(table: string, request: Partial<InPlaceCutOverRequest>): Promise<readonly string[]> {
  return withPgvector(server.url, async (store) => {
    const work = await store.inPlace.resume(nameOf(table), { lockWaitMs: LOCK_WAIT_MS });
    try {
      const whole = { form: 'function', name: undefined, candidates: 100, ...request } as const;
      return (await work.cutOver(whole)).lines;
    } finally {
      await work.release();
    }
  });
}

const triggersOf = (table: string): Promise<readonly Record<string, unknown>[]> =>
  server.sql(`select tgname from pg_trigger where tgrelid = '${table}'::regclass and not tgisinternal`);

async function phaseOf(table: string): Promise<unknown> {
  const rows = await server.sql(`select phase from tldr.migration where table_name = '${table}'`);
  return rows[0]?.['phase'];
}

async function expectAllEqual(table: string): Promise<void> {
  await expectEqual(server, { table, encoder: ENCODER });
}

/** Waits until an index that is built has come to a phase. */
async function indexWaits(phase: string): Promise<void> {
  const text = `select exists (select from pg_stat_progress_create_index where phase = '${phase}') as "isThere"`;
  while ((await server.sql(text))[0]?.['isThere'] !== true)
    await new Promise((resolve) => setTimeout(resolve, 20));
}

postgresTest('another command that makes what migrations share only delays a start', async () => {
  await makeDocuments(server, 'delayed', { rows: 20 });
  await whileHeld(LOCK_SHARED, async (release) => {
    const { options, inUse } = waiting();
    const started = start('delayed', options);
    await inUse;
    await release();
    expect(await started).toMatchObject({ filled: 20 });
  });
  await expectAllEqual('delayed');
});

describe('while a client holds the table', () => {
  postgresTest('a start makes no trigger, and can be stopped and continued', async () => {
    await makeDocuments(server, 'written', { rows: 20 });
    const hold = `update written set content = 'held' where id = 1`;
    await whileHeld(hold, async (release) => {
      const controller = new AbortController();
      const { options, inUse } = waiting(controller.signal);
      const ended = start('written', options).then(
        () => 'finished',
        (error: unknown) => String(error),
      );
      await inUse;
      await server.sql(`update written set embedding = '${vectorText(rng)}' where id = 2`);
      expect([await triggersOf('written'), await phaseOf('written')]).toEqual([[], 'installing']);
      controller.abort(new Error('interrupted'));
      expect(await ended).toMatch(/abort|interrupted|stopped/i);
      expect(await triggersOf('written')).toEqual([]);
      const again = waiting();
      const starting = start('written', again.options);
      await again.inUse;
      await release();
      expect((await starting).state.phase).toBe('ready');
    });
    await expectAllEqual('written');
  });

  postgresTest('an index waits for an old snapshot, and clients do not', async () => {
    await makeDocuments(server, 'read', { rows: 20 });
    const hold = 'set transaction isolation level repeatable read; select count(*) from read';
    await whileHeld(hold, async (release) => {
      let isOver = false;
      const starting = start('read', { lockWaitMs: LOCK_WAIT_MS }).finally(() => (isOver = true));
      await indexWaits('waiting for old snapshots');
      await server.sql(`update read set embedding = '${vectorText(rng)}' where id = 2`);
      await server.sql('delete from read where id = 3');
      await expectAllEqual('read');
      expect(isOver).toBe(false);
      await release();
      expect((await starting).state.phase).toBe('ready');
    });
  });

  postgresTest('a search function is made at once', async () => {
    await makeDocuments(server, 'searched', { rows: 20 });
    await startTable(server.url, 'searched', ENCODER);
    await whileHeld(`lock table searched in row exclusive mode`, async () => {
      await cutOver('searched', { name: 'find_searched' });
      expect(await phaseOf('searched')).toBe('cut-over');
    });
  });

  postgresTest('an operator waits for it, and is not half made', async () => {
    await makeDocuments(server, 'ordered', { rows: 20 });
    await server.sql('create role reader login; grant select on ordered to reader');
    await startTable(server.url, 'ordered', ENCODER);
    await whileHeld(`update ordered set content = 'held' where id = 1`, async (release) => {
      const changing = cutOver('ordered', { form: 'operator', name: 'reader' });
      await indexWaits('waiting for writers before build');
      await server.sql(`update ordered set embedding = '${vectorText(rng)}' where id = 2`);
      expect(await phaseOf('ordered')).toBe('ready');
      expect(await server.sql(`select from pg_namespace where nspname like 'tldr_operator%'`)).toEqual([]);
      await release();
      await changing;
    });
    expect(await phaseOf('ordered')).toBe('cut-over');
    await withPgvector(server.url, async (store) => {
      const work = await store.inPlace.resume(nameOf('ordered'), { lockWaitMs: LOCK_WAIT_MS });
      await work.rollBack();
      await work.release();
    });
    await server.sql('drop owned by reader; drop role reader');
  });

  postgresTest.each([
    ['reads it', 'select count(*) from kept'],
    ['writes it', `update kept set content = 'held' where id = 1`],
  ])('that %s, an abort removes nothing until it is free', async (_what, hold) => {
    await makeDocuments(server, 'kept', { rows: 20 });
    await startTable(server.url, 'kept', ENCODER);
    const before = await triggersOf('kept');
    expect(before).toHaveLength(2);
    await whileHeld(hold, async (release) => {
      const controller = new AbortController();
      const { options, inUse } = waiting(controller.signal);
      const ended = remove('kept', options).then(
        () => 'finished',
        (error: unknown) => String(error),
      );
      await inUse;
      await server.sql(`update kept set embedding = '${vectorText(rng)}' where id = 2`);
      expect([await triggersOf('kept'), await phaseOf('kept')]).toEqual([before, 'ready']);
      await expectAllEqual('kept');
      controller.abort(new Error('interrupted'));
      expect(await ended).toMatch(/abort|interrupted|stopped/i);
      expect(await triggersOf('kept')).toEqual(before);
      const again = waiting();
      const removing = remove('kept', again.options);
      await again.inUse;
      await release();
      await removing;
    });
    expect([await triggersOf('kept'), await phaseOf('kept')]).toEqual([[], undefined]);
    expect((await sideTables(server)).filter((name) => name.includes('_kept_'))).toEqual([]);
    await server.sql('drop table kept');
  });
});

describe('a table whose name is like that of a function of an encoder', () => {
  postgresTest('is migrated, and its own indexes are told from those of compact vectors', async () => {
    const table = 'project_0123456789ab';
    await makeDocuments(server, table, { rows: 30 });
    await server.sql(`create index project_full on ${table} using hnsw (embedding vector_cosine_ops)`);
    await startTable(server.url, table, ENCODER);
    await server.sql(`update ${table} set embedding = '${vectorText(rng)}' where id = 4`);
    await expectAllEqual(table);
    await cutOver(table, { name: 'project_find' });
    await withPgvector(server.url, async (store) => {
      const work = await store.inPlace.resume(nameOf(table), { lockWaitMs: LOCK_WAIT_MS });
      const { lines } = await work.complete({ dropFullIndexes: true, dropFullColumn: undefined });
      expect(lines).toEqual(['public.project_full is dropped']);
      await work.release();
    });
    const [nearest] = await server.sql(
      `select id from project_find((select embedding from ${table} where id = 4), 1)`,
    );
    expect(nearest).toEqual({ id: 4 });
    await expectAllEqual(table);
  });
});
