import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { openPgvector } from '../../../adapters/pgvector/index.js';
import { startEmbeddedPostgres } from '../../../adapters/pgvector/embedded/start.js';
import { encoderScript } from '../../../adapters/pgvector/sql/encoder-script.js';
import { matrix, row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { LocalDatabase } from '../../../src/store/adapter.js';
import { linearEncoder, vectorText } from '../../support/postgres/in-place.js';
import { largestDifference } from '../../support/random-encoder.js';
import { runCli } from '../../support/cli/run-cli.js';

let database: LocalDatabase;
const clients: pg.Client[] = [];

beforeAll(async () => {
  database = await startEmbeddedPostgres();
});
afterAll(async () => {
  for (const client of clients) await client.end();
  await database.stop();
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  clients.push(client);
  return client;
}

async function numbersIn(client: pg.Client, table: string): Promise<number[]> {
  const { rows } = await client.query<{ n: number }>(`select n from ${table} order by n`);
  return rows.map(({ n }) => n);
}

/** Sends rows as text. */
async function copyRows(client: pg.Client, statement: string, rows: string): Promise<void> {
  const stream = client.query(copyFrom(statement));
  stream.end(rows);
  await once(stream, 'finish');
}

describe('PostgreSQL in this process', () => {
  test('keeps transactions of several clients apart, also of one that is gone', async () => {
    const [one, other] = [await connect(), await connect()];
    await one.query('create table apart (n int primary key)');
    await one.query('begin');
    await one.query('insert into apart values ($1)', [1]);
    // Waits for its turn: the first client's transaction is open.
    const read = numbersIn(other, 'apart');
    await one.query('rollback');
    expect(await read).toEqual([]);
    const leaving = await connect();
    await leaving.query('begin');
    await leaving.query('insert into apart values (2)');
    const after = numbersIn(other, 'apart');
    await leaving.end();
    expect(await after).toEqual([]);
  });

  test('goes on after an error, in a transaction and without one', async () => {
    const client = await connect();
    await expect(client.query('select 1/$1::int', [0])).rejects.toThrow('division by zero');
    await client.query('begin');
    await expect(client.query('select no_such_column')).rejects.toThrow('does not exist');
    await expect(client.query('select 1')).rejects.toThrow('current transaction is aborted');
    await client.query('rollback');
    expect((await client.query('select 7 as n')).rows).toEqual([{ n: 7 }]);
  });

  test('copies rows in and out, and refuses wrong ones', async () => {
    const client = await connect();
    await client.query('create table copied (n int primary key, v vector(2))');
    const rows = Array.from({ length: 50_000 }, (_, i) => `${i}\t[${i},1]\n`).join('');
    await copyRows(client, 'copy copied (n, v) from stdin', rows);
    expect(await numbersIn(client, 'copied')).toHaveLength(50_000);
    const pieces: Buffer[] = [];
    for await (const piece of client.query(
      copyTo('copy (select v from copied where n < 2 order by n) to stdout'),
    ))
      pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).toString()).toBe('[0,1]\n[1,1]\n');
    await expect(copyRows(client, 'copy copied from stdin', 'x\t[1,1]\n')).rejects.toThrow('invalid input');
    await expect(copyRows(client, 'copy no_such_table from stdin', '1\n')).rejects.toThrow('does not exist');
    expect(await numbersIn(client, 'copied')).toHaveLength(50_000);
  });

  test('is read by the store', async () => {
    const client = await connect();
    await client.query('create table read (id int primary key, content text, v vector(2))');
    await client.query(
      `insert into read select i, 'row ' || i, array[i, 1]::vector from generate_series(1, 30) i`,
    );
    const store = await openPgvector({ url: database.url, connectTimeoutMs: 60_000 });
    try {
      expect(await store.count('read')).toBe(30);
      const sample = await store.sample('read', { vectorName: 'v', size: 30 });
      expect([...sample.ids].sort((a, b) => Number(a) - Number(b))).toEqual(
        Array.from({ length: 30 }, (_, i) => BigInt(i + 1)),
      );
    } finally {
      await store.close();
    }
  });
});

test('the script of an encoder works on PostgreSQL 18, whose indexes have a search path of their own', async () => {
  const client = await connect();
  const { rows } = await client.query<{ version: string }>(
    `select current_setting('server_version_num') as version`,
  );
  expect(Number(rows[0]?.version)).toBeGreaterThan(180_000);
  const encoder = linearEncoder();
  const names = { schema: 'tldr', extensionSchema: 'public' };
  await client.query(encoderScript(encoder.toBytes(), names).text);
  const compact = `tldr."project_${encoder.fingerprint.slice(0, 12)}"(v)::vector(${encoder.outputDim})`;
  await client.query(`create table indexed (id int primary key, v vector(${encoder.inputDim}))`);
  await client.query(`create index on indexed using hnsw ((${compact}) vector_cosine_ops)`);
  const vector = vectorText(new Rng(1));
  await client.query('insert into indexed values (1, $1)', [vector]);
  await client.query('vacuum full analyze indexed');
  await client.query('reindex table indexed');
  const found = await client.query<{ z: string }>(`select (${compact})::text as z from indexed`);
  const expected = encoder.project(
    matrix(1, encoder.inputDim, Float32Array.from(JSON.parse(vector) as number[])),
  );
  const z = Float32Array.from(JSON.parse(found.rows[0]?.z ?? '[]') as number[]);
  expect(largestDifference(z, row(expected, 0))).toBeLessThan(1e-5);
});

test('the demo runs from its own data to searches of every kind', async () => {
  const { code, stderr, json } = await runCli(['demo', '--database', 'pgvector', '--json'], {
    cwd: tmpdir(),
  });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const { searches, points, outputDim } = json() as {
    readonly points: number;
    readonly outputDim: number;
    readonly searches: readonly {
      readonly indexed: string;
      readonly rescored: number | null;
      readonly indexBytes: number;
      readonly recall: number;
    }[];
  };
  expect({ points, outputDim }).toEqual({ points: 10_000, outputDim: 64 });
  expect(searches.map(({ indexed, rescored }) => [indexed, rescored])).toEqual([
    ['512 vector', null],
    ['512 bit', 100],
    ['64 halfvec', null],
    ['64 halfvec', 30],
    ['64 halfvec', 100],
  ]);
  const [full, , onePass, , rescored] = searches;
  expect(full?.indexBytes).toBeGreaterThan(4 * (onePass?.indexBytes ?? Number.NaN));
  expect(onePass?.recall).toBeGreaterThan(0.75);
  expect(rescored?.recall).toBeGreaterThan(0.98);
});
