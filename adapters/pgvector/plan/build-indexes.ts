import type pg from 'pg';
import { isTldrError } from '../../../src/core/errors.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import { quoted } from '../catalog/identifiers.js';
import { numberIn } from '../catalog/values.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import type { Connections, Row } from '../connect/connections.js';
import { failureOfStatement } from '../connect/failures.js';
import { FULL_TABLE, inIndexForm, type ScratchSettings, type StoredVector } from './stored-vectors.js';

/** Indexes that are built at the same time. */
const BUILDS = 2;
/** Bits of a component that a bit replaces. */
const BITS = 32;
/** Memory for each build unless the server gives more: an index that outgrows it is built many times slower. */
const BUILD_MEMORY = `select case when pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')) < 268435456
  then pg_catalog.set_config('maintenance_work_mem', '256MB', false) end`;

/** Returns the name of a vector's index. */
export function indexName(vector: string): string {
  return `${vector}-index`;
}

interface ScratchPlace {
  readonly schema: string;
  readonly settings: ScratchSettings;
}

/**
 * Brings the columns of a filled scratch schema into their types, and builds every index. With a time, it stops building
 * when that is over, and returns the names of the vectors without an index. The cheapest index is always built.
 */
export async function buildIndexes(
  connections: Connections,
  place: ScratchPlace,
  { signal, onProgress, seconds = null }: RunOptions & { readonly seconds?: number | null },
): Promise<readonly string[]> {
  const clients = await Promise.all(Array.from({ length: BUILDS }, () => connections.openClient()));
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  const over = new AbortController();
  const timer = seconds === null ? null : setTimeout(() => over.abort(), seconds * 1000);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const run = (client: pg.Client, text: string): Promise<readonly Row[]> =>
      running(connections, client, { text, signal: stopped.signal });
    for (const client of clients) await run(client, BUILD_MEMORY);
    const [first] = clients;
    if (first !== undefined) for (const text of typeStatements(place)) await run(first, text);
    const rows = first === undefined ? 0 : await rowsOf(first, place);
    const waiting = inOrder(place.settings.stored);
    const [always] = waiting;
    const total = waiting.length;
    const leftOut: string[] = [];
    let done = 0;
    const work = async (client: pg.Client): Promise<void> => {
      for (let vector = waiting.shift(); vector !== undefined; vector = waiting.shift()) {
        throwIfAborted(signal);
        const text = indexStatement(vector, place, rows);
        if (vector === always) await run(client, text);
        else if (!(await ranInTime(connections, client, { text, stopped, over }))) leftOut.push(vector.name);
        done += 1;
        onProgress?.({ step: 'indexing', done, total, unit: 'indexes' });
      }
    };
    const results = await Promise.allSettled(clients.map(work));
    throwIfAborted(signal);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return leftOut;
  } finally {
    if (timer !== null) clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    for (const client of clients) await client.end();
  }
}

/** Returns the vectors to index: the cheapest one, then that of today, then the others, the cheapest ones first. */
function inOrder(stored: readonly StoredVector[]): StoredVector[] {
  const indexed = stored.filter(({ index }) => index !== null);
  const cost = ({ dim, prefix, form, index }: StoredVector): number =>
    ((prefix ?? dim) * (index?.m ?? 1)) / (form === 'bit' ? BITS : 1);
  const [cheapest, ...others] = indexed.sort((a, b) => cost(a) - cost(b));
  if (cheapest === undefined) return [];
  // Today's own index comes first in the list of a plan.
  const [own] = stored.filter((vector) => vector !== cheapest && vector.index !== null);
  return [cheapest, ...(own === undefined ? [] : [own]), ...others.filter((vector) => vector !== own)];
}

/** Builds an index unless the time is over, or comes to its end meanwhile. Returns whether it was built. */
async function ranInTime(
  connections: Connections,
  client: pg.Client,
  {
    text,
    stopped,
    over,
  }: { readonly text: string; readonly stopped: AbortController; readonly over: AbortController },
): Promise<boolean> {
  const isOver = (): boolean => over.signal.aborted;
  if (isOver()) return false;
  try {
    await running(connections, client, { text, signal: AbortSignal.any([stopped.signal, over.signal]) });
    return true;
  } catch (error) {
    if (isOver() && !stopped.signal.aborted && isTldrError(error, 'ABORTED')) return false;
    throw error;
  }
}

/** Runs a statement that may take long. The signal cancels it in the server. */
async function running(
  connections: Connections,
  client: pg.Client,
  { text, signal }: { readonly text: string; readonly signal: AbortSignal },
): Promise<readonly Row[]> {
  const [row = {}] = (await client.query<Row>('select pg_catalog.pg_backend_pid()::pg_catalog.text as pid'))
    .rows;
  const cancel = (): void =>
    void connections
      .query('select pg_catalog.pg_cancel_backend($1::pg_catalog.int4)', [String(numberIn(row, 'pid'))])
      .catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  try {
    throwIfAborted(signal);
    return (await client.query<Row>(text)).rows;
  } catch (error) {
    throwIfAborted(signal);
    throw failureOfStatement(error, connections.endpoint);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function typeStatements({ schema, settings }: ScratchPlace): string[] {
  const { stored, extension } = settings;
  const tables = new Map(stored.map(({ table, columnType, dim }) => [table, { columnType, dim }]));
  return [...tables].flatMap(([table, { columnType, dim }]) => {
    const name = `${quoted(schema)}.${quoted(table)}`;
    const type = `${extension}.halfvec(${dim})`;
    const convert = `alter table ${name} alter column v type ${type} using v::${type}`;
    return [...(columnType === 'halfvec' ? [convert] : []), `analyze ${name}`];
  });
}

async function rowsOf(client: pg.Client, { schema }: ScratchPlace): Promise<number> {
  const { rows } = await client.query<Row>(
    `select pg_catalog.count(*)::pg_catalog.text as rows from ${quoted(schema)}.${quoted(FULL_TABLE)}`,
  );
  return numberIn(rows[0] ?? {}, 'rows');
}

function indexStatement(vector: StoredVector, { schema, settings }: ScratchPlace, rows: number): string {
  const { extension, estimatedRows } = settings;
  const { name, table, form, distance, index } = vector;
  const operators = form === 'bit' ? 'bit_hamming_ops' : `${form}_${OPERATORS[distance].indexClass}`;
  const on = `${quoted(schema)}.${quoted(table)}`;
  const { lists = null, m, efConstruction } = index ?? { m: 16, efConstruction: 64 };
  // A sample has as many rows in a list as the table.
  const ownLists =
    lists === null ? 0 : Math.max(1, Math.round((lists * rows) / Math.max(rows, estimatedRows)));
  const method =
    lists === null
      ? ['hnsw', `m = ${m}, ef_construction = ${efConstruction}`]
      : ['ivfflat', `lists = ${ownLists}`];
  return `create index ${quoted(indexName(name))} on ${on} using ${method[0]} ((${inIndexForm(vector, 'v', extension)}) ${extension}.${operators}) with (${method[1]})`;
}
