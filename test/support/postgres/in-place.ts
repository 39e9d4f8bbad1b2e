import { expect } from '@jest/globals';
import pg from 'pg';
import { openPgvector, type PgvectorStore } from '../../../adapters/pgvector/index.js';
import type { Distance } from '../../../src/core/distance.js';
import { matrix, row } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { Encoder, type EncoderNetwork } from '../../../src/encoder/model.js';
import { resumeInPlace, startInPlace, type InPlaceReport } from '../../../src/migrate/in-place/run.js';
import type { InPlaceLayout } from '../../../src/store/in-place-target.js';
import { METADATA, randomMatrix } from '../random-encoder.js';
import type { PostgresServer } from './postgres-server.js';

export const DIM = 12;
const COMPACT = 4;
/** Half precision, and sums in another order. */
const TOLERANCE = 2e-3;

/** A linear encoder for cosine. Another seed gives another encoder. */
export function linearEncoder(
  seed = 1,
  dims: readonly [number, number] = [DIM, COMPACT],
  distance: Distance = 'cosine',
): Encoder {
  const weight = randomMatrix(dims[0], dims[1], new Rng(seed), 1 / Math.sqrt(dims[0]));
  const network: EncoderNetwork = {
    normalizeInput: true,
    layers: [{ weight, bias: null, relu: false }],
    normalizeOutput: true,
  };
  return new Encoder(network, { ...METADATA, distance, compactDistance: distance });
}

/** A random vector as PostgreSQL reads it. */
export function vectorText(rng: Rng, dim = DIM): string {
  return `[${Array.from({ length: dim }, () => Math.fround(rng.normal())).join(',')}]`;
}

/** Makes a table of documents with random vectors. */
export async function makeDocuments(
  server: PostgresServer,
  table: string,
  { rows = 60, type = `vector(${DIM})` }: { readonly rows?: number; readonly type?: string } = {},
): Promise<void> {
  await server.sql(
    `create table ${table} (id int primary key, content text, metadata jsonb not null default '{}', embedding ${type})`,
  );
  const rng = new Rng(7);
  await server.sql(
    `insert into ${table} select i, 'text ' || i, jsonb_build_object('part', i % 3), v::vector from unnest($1::text[]) with ordinality t(v, i)`,
    [Array.from({ length: rows }, () => vectorText(rng))],
  );
}

/** Address of the server for another role, which has no password. */
export function urlAs(server: Pick<PostgresServer, 'url'>, role: string): string {
  const url = new URL(server.url);
  url.username = role;
  return url.href;
}

/** Runs statements in a new connection of a role. Returns the rows of the last one. */
export async function asRole(
  server: Pick<PostgresServer, 'url'>,
  role: string,
  ...statements: string[]
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString: urlAs(server, role) });
  await client.connect();
  try {
    let rows: readonly Readonly<Record<string, unknown>>[] = [];
    for (const text of statements) rows = (await client.query<Readonly<Record<string, unknown>>>(text)).rows;
    return rows;
  } finally {
    await client.end();
  }
}

/** The side table of a migrated table. */
export async function sideOf(server: PostgresServer, table: string): Promise<string> {
  const found = (await sideTables(server)).find((name) => name.includes(`compact_${table}_`));
  expect(found).toBeDefined();
  return String(found);
}

/** Opens the store, runs `body`, and closes it. */
export async function withPgvector<T>(url: string, body: (store: PgvectorStore) => Promise<T>): Promise<T> {
  const store = await openPgvector({ url });
  try {
    return await body(store);
  } finally {
    await store.close();
  }
}

const RUN = { lockWaitMs: 500 };

/** Runs `migrate start` by the library. */
export function startTable(
  url: string,
  collection: string,
  encoder: Encoder,
  { vectorName, layout }: { readonly vectorName?: string; readonly layout?: InPlaceLayout } = {},
): Promise<InPlaceReport> {
  const request = {
    collection,
    vectorName,
    layout,
    encoder: encoder.toBytes(),
    datatype: undefined,
    hnswM: undefined,
  };
  return withPgvector(url, (store) => startInPlace(store, request, RUN));
}

/** Runs `migrate resume` by the library. */
export function resumeTable(url: string, collection: string): Promise<InPlaceReport> {
  return withPgvector(url, (store) => resumeInPlace(store, { collection, vectorName: undefined }, RUN));
}

/** The tables of compact vectors. */
export async function sideTables(server: PostgresServer): Promise<readonly string[]> {
  const rows = await server.sql(
    `select format('tldr.%I', relname) as name from pg_class where relkind = 'r' and relnamespace = 'tldr'::regnamespace and relname like 'compact%' order by 1`,
  );
  return rows.map(({ name }) => String(name));
}

/**
 * Compares a table with its compact vectors, which the encoder itself computes here, not the database. Returns the keys
 * that lack a compact vector, those that have one too many, and those whose compact vector is another one.
 */
export async function compactDifferences(
  server: PostgresServer,
  {
    table,
    side,
    encoder,
    key = 'id',
  }: {
    readonly table: string;
    /** If absent: the side table of the table. */
    readonly side?: string;
    readonly encoder: Encoder;
    readonly key?: string;
  },
): Promise<{ readonly missing: string[]; readonly orphans: string[]; readonly differing: string[] }> {
  const rows = await server.sql(
    `select coalesce(t.${key}::text, s.k1::text) as key, t.embedding::text as full, s.z::text as compact
     from ${table} t full join ${side ?? (await sideOf(server, table))} s on t.${key} = s.k1`,
  );
  const found = { missing: [] as string[], orphans: [] as string[], differing: [] as string[] };
  for (const { key: own, full, compact } of rows) {
    const values = typeof full === 'string' ? (JSON.parse(full) as number[]) : [];
    const isFull = values.length === encoder.inputDim;
    if (isFull && compact === null) found.missing.push(String(own));
    if (!isFull && compact !== null) found.orphans.push(String(own));
    if (!isFull || typeof compact !== 'string') continue;
    const expected = row(encoder.project(matrix(1, values.length, Float32Array.from(values))), 0);
    const actual = JSON.parse(compact) as number[];
    if (expected.some((value, i) => !(Math.abs(value - (actual[i] ?? NaN)) < TOLERANCE)))
      found.differing.push(String(own));
  }
  return found;
}

/** Expects that every row has its compact vector, and that there is no other one. */
export async function expectEqual(
  server: PostgresServer,
  of: Parameters<typeof compactDifferences>[1],
): Promise<void> {
  expect(await compactDifferences(server, of)).toEqual({ missing: [], orphans: [], differing: [] });
}
