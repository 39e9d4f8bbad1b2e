import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { once } from 'node:events';
import { codeOf } from '../../../src/core/errors.js';
import { Rng } from '../../../src/core/rng.js';
import { DIM, vectorText } from './in-place.js';

/** Keys that writers use: few, so that they meet often. */
const KEYS = 300;
/** What happens to writers that write the same rows in another order, or in an older snapshot. */
const EXPECTED_FAILURES = ['40001', '40P01', '23505'];

const ISOLATIONS = ['read committed', 'read committed', 'repeatable read', 'serializable'] as const;

/** Random writes of every kind to one table, until they are stopped. */
export interface RandomWriters {
  /** Ends the writers, and returns how many transactions of each kind they committed. */
  stop(): Promise<Readonly<Record<string, number>>>;
}

type Statement = (rng: Rng, table: string) => string;

const key = (rng: Rng): number => rng.int(KEYS);
const chosenVector = (rng: Rng): string => {
  const kind = rng.int(12);
  if (kind === 0) return 'null';
  return kind === 1 ? `array_fill(0, array[${DIM}])::vector` : `'${vectorText(rng)}'`;
};

/** Statements by name, about as frequent as they are listed. */
const STATEMENTS: readonly (readonly [string, Statement])[] = [
  [
    'insert',
    (rng, t) =>
      `insert into ${t} values (${key(rng)}, 'i', '{}', ${chosenVector(rng)}) on conflict do nothing`,
  ],
  [
    'upsert',
    (rng, t) =>
      `insert into ${t} values (${key(rng)}, 'u', '{}', ${chosenVector(rng)}) on conflict (id) do update set embedding = excluded.embedding`,
  ],
  ['vector', (rng, t) => `update ${t} set embedding = ${chosenVector(rng)} where id = ${key(rng)}`],
  ['vectors', (rng, t) => `update ${t} set embedding = ${chosenVector(rng)} where id % 17 = ${rng.int(17)}`],
  ['other', (rng, t) => `update ${t} set content = 'o' where id % 7 = ${rng.int(7)}`],
  ['key', (rng, t) => `update ${t} set id = ${key(rng)} where id = ${key(rng)}`],
  [
    'keys',
    (rng, t) =>
      `update ${t} set id = id + ${10_000 + rng.int(5) * KEYS} where id % 19 = ${rng.int(19)} and id < 10000`,
  ],
  ['delete', (rng, t) => `delete from ${t} where id = ${key(rng)}`],
  ['deletes', (rng, t) => `delete from ${t} where id % 23 = ${rng.int(23)} or id > 10000`],
  [
    'savepoint',
    (rng, t) =>
      `savepoint s; update ${t} set embedding = ${chosenVector(rng)} where id = ${key(rng)}; rollback to s; delete from ${t} where id = ${key(rng)}`,
  ],
];

/** One transaction of a few statements. Returns its kind if it committed, else null. */
async function transaction(client: pg.Client, rng: Rng, table: string): Promise<string | null> {
  const isolation = ISOLATIONS[rng.int(ISOLATIONS.length)] ?? 'read committed';
  try {
    if (rng.int(300) === 0) {
      await client.query(`truncate ${table}`);
      return 'truncate';
    }
    if (rng.int(12) === 0) return await copied(client, rng, table);
    await client.query(`begin isolation level ${isolation}`);
    let kind = '';
    for (let i = 0; i <= rng.int(3); i++) {
      const [name, statement] = STATEMENTS[rng.int(STATEMENTS.length)] ?? STATEMENTS[0]!;
      await client.query(statement(rng, table));
      kind = name;
    }
    const isKept = rng.int(6) > 0;
    await client.query(isKept ? 'commit' : 'rollback');
    return isKept ? kind : 'rollback';
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    if (EXPECTED_FAILURES.includes(codeOf(error))) return 'failed as expected';
    throw error;
  }
}

async function copied(client: pg.Client, rng: Rng, table: string): Promise<string> {
  const first = 20_000 + rng.int(1_000_000) * 100;
  const stream = client.query(copyFrom(`copy ${table} (id, content, embedding) from stdin`));
  for (let i = 0; i < 20; i++) stream.write(`${first + i}\tc\t${vectorText(rng)}\n`);
  stream.end();
  await once(stream, 'finish');
  return 'copy';
}

/** Starts writers. A connection that the server ends is opened again. */
export function startWriters(
  url: string,
  table: string,
  { seed, count = 3 }: { readonly seed: number; readonly count?: number },
): RandomWriters {
  let isOver = false;
  const kinds: Record<string, number> = {};
  const write = async (own: number): Promise<void> => {
    const rng = new Rng(seed * 100 + own);
    while (!isOver) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!isOver) {
          const kind = await transaction(client, rng, table);
          if (kind !== null) kinds[kind] = (kinds[kind] ?? 0) + 1;
        }
      } catch (error) {
        if (!isLostConnection(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  };
  const writing = Promise.all(Array.from({ length: count }, (_, own) => write(own)));
  // Its failure is seen by `stop`.
  writing.catch(() => undefined);
  return {
    stop: async () => {
      isOver = true;
      await writing;
      return kinds;
    },
  };
}

function isLostConnection(error: unknown): boolean {
  return (
    /^(57P|08|ECONN|EPIPE)/.test(codeOf(error)) || /terminated|not queryable|Connection/.test(String(error))
  );
}
