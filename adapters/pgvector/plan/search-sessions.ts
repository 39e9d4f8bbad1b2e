import type pg from 'pg';
import { TldrError } from '../../../src/core/errors.js';
import type { Connections, Row } from '../connect/connections.js';
import { failureOfStatement } from '../connect/failures.js';
import { EF_DEFAULT, EF_MAX } from '../read/search-rows.js';
import type { SearchStatement } from './search-statement.js';

/** Settings with which an index is used on a small table too, and nothing else than searching takes time. */
const SETTINGS =
  'set enable_seqscan = off; set enable_sort = off; set jit = off; set default_transaction_read_only = on';

/** Connections for searches. Each has its own number of candidates, so that a search is one statement. */
export class SearchSessions {
  readonly #connections: Connections;
  readonly #clients = new Map<number, Promise<pg.Client>>();
  /** Names of prepared statements by their text. */
  readonly #names = new Map<string, string>();

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /** Returns the rows of a search. */
  async rows({ text, values, candidates }: SearchStatement): Promise<readonly Row[]> {
    const client = await this.#client(candidates);
    const name = this.#names.get(text) ?? `search${this.#names.size}`;
    this.#names.set(text, name);
    return this.#failing(async () => (await client.query<Row>({ name, text, values: [...values] })).rows);
  }

  /** Returns how long the server takes for a search by its own clock, in milliseconds. */
  async serverMs({ text, values, candidates }: SearchStatement): Promise<number> {
    const client = await this.#client(candidates);
    const rows = await this.#failing(
      async () =>
        (await client.query<Row>(`explain (analyze, timing off, summary on) ${text}`, [...values])).rows,
    );
    const lines = rows.map((row) => String(row['QUERY PLAN']));
    const found = lines.map((line) => /^Execution Time: ([\d.]+) ms$/.exec(line)?.[1]).find(Boolean);
    if (found !== undefined) return Number(found);
    throw new TldrError('INTERNAL', 'the server does not say how long a search took');
  }

  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    for (const client of clients) await (await client).end();
  }

  async #failing<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw failureOfStatement(error, this.#connections.endpoint);
    }
  }

  #client(candidates: number): Promise<pg.Client> {
    const ef = Math.min(EF_MAX, Math.max(EF_DEFAULT, candidates));
    const known = this.#clients.get(ef) ?? this.#open(ef);
    this.#clients.set(ef, known);
    return known;
  }

  async #open(ef: number): Promise<pg.Client> {
    const client = await this.#connections.openClient();
    await this.#failing(() => client.query(`${SETTINGS}; set hnsw.ef_search = ${ef}`));
    return client;
  }
}
