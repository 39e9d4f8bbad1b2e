import { afterAll, beforeAll, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  DIM,
  expectEqual,
  linearEncoder,
  makeDocuments,
  resumeTable,
  startTable,
  withPgvector,
} from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const [OLD, NEW] = ['16', '18'] as const;
const postgresTest = await testsOnPostgres('programs', [OLD, NEW]);
const run = promisify(execFile);
const ENCODER = linearEncoder();
const FUNCTION = `create function match_documents(query_embedding vector(${DIM}), match_count int) returns table (id bigint, similarity float)
  language sql stable as $$ select id, 1 - (embedding <=> query_embedding) from docs order by embedding <=> query_embedding limit match_count $$`;
const SEARCH = 'select * from match_documents((select embedding from docs where id = 5), 7)';
const DEFINITION = `select pg_get_functiondef('match_documents(vector, int)'::regprocedure)`;
let before: PostgresServer;
let after: PostgresServer;
let folder: string;

beforeAll(async () => {
  before = await startPostgres('programs', [], OLD);
  after = await startPostgres('programs', [], NEW);
  folder = await mkdtemp(join(tmpdir(), 'upgraded-server-'));
});
afterAll(async () => {
  await before.stop();
  await after.stop();
  await rm(folder, { recursive: true });
});

/** Ids with scores. The servers are built differently, so the last digits of a float32 may differ. */
async function search(server: PostgresServer): Promise<readonly string[]> {
  return (await server.sql(SEARCH)).map(
    ({ id, similarity }) => `${String(id)} ${Number(similarity).toFixed(4)}`,
  );
}

/** Cuts over to the search function, or rolls that back. */
async function change(url: string, verb: 'cutOver' | 'rollBack'): Promise<void> {
  await withPgvector(url, async (store) => {
    const name = { collection: 'docs', vectorName: undefined };
    const work = await store.inPlace.resume(name, { lockWaitMs: 2_000 });
    try {
      if (verb === 'rollBack') await work.rollBack();
      else await work.cutOver({ form: 'function', name: 'match_documents', candidates: 100 });
    } finally {
      await work.release();
    }
  });
}

postgresTest(
  'a database that was cut over goes on after an upgrade by a dump, and can be rolled back',
  async () => {
    await makeDocuments(before, 'docs', { rows: 200 });
    await before.sql(FUNCTION);
    const [original] = await before.sql(DEFINITION);
    await startTable(before.url, 'docs', ENCODER);
    await change(before.url, 'cutOver');
    const found = await search(before);
    expect(found).toHaveLength(7);

    // The newer programs read the older server.
    const program = (name: string): string => join(String(after.programs), name);
    const dump = join(folder, 'docs.dump');
    await run(program('pg_dump'), ['-Fc', '-d', before.url, '-f', dump]);
    await after.sql('drop extension vector');
    await run(program('pg_restore'), ['--exit-on-error', '-d', after.url, dump]);
    expect(await search(after)).toEqual(found);

    await after.sql('update docs set embedding = (select embedding from docs where id = 9) where id = 10');
    await after.sql('delete from docs where id = 11');
    await after.sql('insert into docs (id, embedding) select 1000, embedding from docs where id = 12');
    await expectEqual(after, { table: 'docs', encoder: ENCODER });
    expect((await resumeTable(after.url, 'docs')).state).toMatchObject({ phase: 'cut-over', warnings: [] });
    await change(after.url, 'rollBack');
    expect(await after.sql(DEFINITION)).toEqual([original]);
  },
);
