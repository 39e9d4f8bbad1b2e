import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { programWithPackages } from '../../support/clients/node-packages.js';
import {
  linearEncoder,
  makeDocuments,
  startTable,
  urlAs,
  withPgvector,
} from '../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';
import { findPython } from '../../support/python/python.js';

const run = promisify(execFile);
const FOLDER = 'test/integration/clients/postgres';
const postgresTest = await testsOnPostgres('programs');
const node = await programWithPackages(FOLDER, 'search.mjs');
const python = await findPython('langchain_postgres', `${FOLDER}/requirements.txt`);
/** Looks at the statistics before a search counts as one without the index. */
const LOOKS = 100;
let server: PostgresServer;

/** A client, the program that searches with it, and the table that it reads instead of the given one. */
interface SearchClient {
  readonly name: string;
  readonly program: readonly string[];
  readonly table?: string;
}

const CLIENTS: readonly SearchClient[] = [
  ...['pg', 'Drizzle', 'LangChain', 'LlamaIndex'].flatMap((name) =>
    node === null ? [] : [{ name, program: [process.execPath, node, name] }],
  ),
  ...(python === null
    ? []
    : [
        { name: 'psycopg', program: [python, `${FOLDER}/search.py`, 'psycopg'] },
        {
          name: 'LangChain for Python',
          program: [python, `${FOLDER}/search.py`, 'LangChain'],
          table: 'langchain_pg_embedding',
        },
      ]),
];

beforeAll(async () => {
  server = await startPostgres('programs');
});
afterAll(async () => {
  await server.stop();
});

async function output([command = '', ...args]: readonly string[], url: string): Promise<string> {
  return (await run(command, args, { env: { PATH: process.env['PATH'] ?? '', DATABASE_URL: url } })).stdout;
}

/** Makes a table that the client reads, with a role that reads nothing else. Returns the table's name. */
async function tableOf({ name, program, table }: SearchClient, own: string): Promise<string> {
  await makeDocuments(server, own, { rows: 300 });
  if (name === 'LlamaIndex')
    await server.sql(
      `alter table ${own} rename embedding to embeddings; alter table ${own} rename content to document;
       alter table ${own} add external_id text, add collection text default 'docs'`,
    );
  if (table !== undefined) await output([...program, own, 'fill'], server.url);
  const read = table ?? own;
  await server.sql(`create role ${own} login; grant select on ${read} to ${own}`);
  if (table !== undefined) await server.sql(`grant select on langchain_pg_collection to ${own}`);
  // The planner knows then how many rows a client's conditions select.
  await server.sql(`analyze ${read}`);
  return read;
}

/** How often the compact index of a table was searched, after the connection that searched it ended. */
async function scansOf(table: string): Promise<number> {
  const [row] = await server.sql(
    `select sum(idx_scan)::int as scans from pg_stat_user_indexes where relname = $1 and indexrelname like 'tldr%'`,
    [table],
  );
  return Number(row?.['scans'] ?? 0);
}

async function searched(table: string): Promise<number> {
  // The server writes its statistics when the connection has ended.
  for (let attempt = 0; attempt < LOOKS; attempt++) {
    const scans = await scansOf(table);
    if (scans > 0) return scans;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return 0;
}

describe('clients as they are, after a cut-over by operator', () => {
  test('are found', () => {
    expect(CLIENTS.length).toBeGreaterThan(0);
  });

  postgresTest.each(CLIENTS.map((client) => [client.name, client] as const))(
    '%s searches the compact vectors, and the full ones again after a rollback',
    async (name, client) => {
      const own = `docs_${name.toLowerCase().replaceAll(' ', '_')}`;
      const table = await tableOf(client, own);
      const column = name === 'LlamaIndex' ? 'embeddings' : 'embedding';
      const [{ v } = {}] = await server.sql(`select ${column}::text as v from ${own} where id = 9`);
      const search = async (): Promise<readonly (readonly [string, number])[]> =>
        JSON.parse(await output([...client.program, own, String(v)], urlAs(server, own))) as [
          string,
          number,
        ][];
      const before = await search();
      expect(before).toHaveLength(5);

      await startTable(server.url, table, linearEncoder(), { layout: 'index-only' });
      await withPgvector(server.url, async (store) => {
        const of = { collection: table, vectorName: undefined };
        const work = await store.inPlace.resume(of, { lockWaitMs: 500 });
        await work.cutOver({ form: 'operator', name: own, candidates: 100 });
        expect(await scansOf(table)).toBe(0);
        const after = await search();
        expect(after[0]?.[0]).toBe(before[0]?.[0]);
        expect(after).toHaveLength(5);
        expect(after).not.toEqual(before);
        expect(await searched(table)).toBeGreaterThan(0);
        await work.rollBack();
        await work.release();
      });
      expect(await search()).toEqual(before);
    },
  );
});
