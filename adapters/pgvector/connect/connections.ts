import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { isTldrError, TldrError } from '../../../src/core/errors.js';
import { sleep } from '../../../src/core/run-options.js';
import { failureOfStatement } from './failures.js';

/** Most connections at the same time. */
const CONNECTIONS_MAX = 4;

/** How often a reading transaction is repeated after a lost connection. */
export interface ReadRetry {
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
}

const READ_RETRY: ReadRetry = { attempts: 5, firstDelayMs: 100, longestDelayMs: 2_000 };

/** How to reach the server. */
export interface ConnectionOptions {
  readonly config: pg.ClientConfig;
  /** The server and database, without a user or a password. */
  readonly endpoint: string;
  readonly timeoutMs: number;
  readonly retry?: ReadRetry | undefined;
}

/** A value of a row, as the client library gives it. */
export type Row = Readonly<Record<string, unknown>>;

/** One transaction that only reads. */
export interface ReadTransaction {
  /** Returns the rows of a statement. Parameters are texts. */
  readonly query: (text: string, values?: readonly (string | null)[]) => Promise<readonly Row[]>;
  /** Returns what `copy (...) to stdout` writes, in pieces. */
  readonly copy: (text: string) => AsyncIterable<Buffer>;
}

/** Connections to one server. */
export class Connections {
  readonly endpoint: string;
  readonly #pool: pg.Pool;
  readonly #config: pg.ClientConfig;
  readonly #timeoutMs: number;
  readonly #retry: ReadRetry;

  constructor({ config, endpoint, timeoutMs, retry = READ_RETRY }: ConnectionOptions) {
    this.endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
    this.#retry = retry;
    this.#config = { ...config, application_name: 'qdrant-tldr' };
    this.#pool = new pg.Pool({ ...this.#config, max: CONNECTIONS_MAX });
    // An idle connection that breaks is replaced when the next one is needed.
    this.#pool.on('error', () => undefined);
    // One that breaks between two statements fails at the next one.
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  /**
   * Runs `body` in a transaction that cannot write, and repeats it after a lost connection.
   * @param body must have no other effects
   * @param options.repeatMs no repetition begins after this time
   * @throws TIMEOUT when the server needs too long for one statement
   */
  async read<T>(
    body: (transaction: ReadTransaction) => Promise<T>,
    { repeatMs = Number.POSITIVE_INFINITY }: { readonly repeatMs?: number } = {},
  ): Promise<T> {
    const begunAtMs = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(body);
      } catch (error) {
        const failure = failureOfStatement(error, this.endpoint);
        const delayMs = Math.min(this.#retry.longestDelayMs, this.#retry.firstDelayMs * 2 ** (attempt - 1));
        const isLate = performance.now() - begunAtMs + delayMs > repeatMs;
        if (!isTldrError(failure, 'UNAVAILABLE') || attempt >= this.#retry.attempts || isLate) throw failure;
        await sleep(delayMs);
      }
    }
  }

  /** Returns the rows of one statement. */
  query(text: string, values: readonly (string | null)[] = []): Promise<readonly Row[]> {
    return this.read((transaction) => transaction.query(text, values));
  }

  /** Opens a connection beside those for reading. Its user closes it. @throws UNAVAILABLE, UNAUTHORIZED */
  async openClient(): Promise<pg.Client> {
    const client = new pg.Client(this.#config);
    // A connection that breaks while it is idle fails at its next use.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      throw failureOfStatement(error, this.endpoint);
    }
    return client;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }

  async #once<T>(body: (transaction: ReadTransaction) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let isBroken = true;
    const copying = { now: false };
    const copied = async function* (text: string): AsyncGenerator<Buffer> {
      copying.now = true;
      for await (const piece of client.query(copyTo(text))) yield bytesOfPiece(piece);
      copying.now = false;
    };
    try {
      // Settings of the transaction, not of the session: a pooler may give the session to others.
      await client.query(
        `begin transaction isolation level repeatable read, read only; set local statement_timeout = ${this.#timeoutMs}; set local jit = off; set local extra_float_digits = 3`,
      );
      const result = await body({
        query: async (text, values = []) => (await client.query<Row>(text, [...values])).rows,
        copy: copied,
      });
      await client.query('commit');
      isBroken = false;
      return result;
    } catch (error) {
      // A server in the middle of a copy would not answer: the connection is closed.
      isBroken = copying.now || !(await rolledBack(client));
      throw error;
    } finally {
      client.release(isBroken);
    }
  }
}

function bytesOfPiece(piece: unknown): Buffer {
  if (Buffer.isBuffer(piece)) return piece;
  throw new TldrError('INTERNAL', 'a copy gave something else than bytes');
}

/** Ends a failed transaction. Returns whether the connection can be used again. */
async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query('rollback');
    return true;
  } catch {
    return false;
  }
}
