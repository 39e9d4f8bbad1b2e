import type pg from 'pg';
import { codeOf, isTldrError, TldrError } from '../../../src/core/errors.js';
import { sleep, throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import type { Connections, Row } from './connections.js';
import { failureOfStatement } from './failures.js';

const FIRST_DELAY_MS = 200;
const DELAY_MS_MAX = 5_000;
/** Longest time without the server, such as its restart. */
const OUTAGE_MS_MAX = 120_000;
/** Longest wait for the lock: a server notices the end of a killed process only after a while. */
const LOCK_WAIT_MS = 15_000;
const LOCK_POLL_MS = 250;
const LOCK_FIRST_DELAY_MS = 1_000;
const LOCK_DELAY_MS_MAX = 10_000;
/** A lock was not had in time, the statement was cancelled, two transactions waited for each other. */
const NO_LOCK: readonly string[] = ['55P03', '57014', '40P01'];

/** Runs one statement, or several without parameters, and returns the rows. Parameters are texts. */
export type SessionQuery = (text: string, values?: readonly (string | null)[]) => Promise<readonly Row[]>;

/** Returns the SQLSTATE of a failed statement; '' for any other error. */
export function sqlStateOf(error: unknown): string {
  return isTldrError(error) ? codeOf(error.cause) : codeOf(error);
}

/** A connection that writes, and that holds an advisory lock as long as it is open. It is opened again when it breaks. */
export class Session {
  readonly #connections: Connections;
  readonly #lockKey: string;
  readonly #run: RunOptions;
  #client: pg.Client | null = null;

  private constructor(connections: Connections, lockKey: string, run: RunOptions) {
    this.#connections = connections;
    this.#lockKey = lockKey;
    this.#run = run;
  }

  /** @throws ALREADY_EXISTS when another connection holds the lock */
  static async open(connections: Connections, lockKey: string, run: RunOptions): Promise<Session> {
    const session = new Session(connections, lockKey, run);
    await session.#connect();
    return session;
  }

  /**
   * Runs statements in one transaction, and again after a lost connection.
   * @param body does nothing twice that a second run would do wrong, since a commit may be lost on its way
   */
  transaction<T>(settings: string, body: (query: SessionQuery) => Promise<T>): Promise<T> {
    return this.#steadily(async (client) => {
      await client.query(`begin; set local jit = off; ${settings}`);
      try {
        const result = await body((text, values) => rowsOf(client, text, values));
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      }
    });
  }

  /**
   * Runs statements that wait for locks in one transaction. If they do not get a lock in time they are tried again later,
   * because every client that comes meanwhile waits behind them.
   * @param limits.lockWaitMs longest wait for a lock, in milliseconds
   * @param limits.settings of the transaction besides
   */
  async locking<T>(
    { lockWaitMs, settings = '' }: { readonly lockWaitMs: number; readonly settings?: string },
    body: (query: SessionQuery) => Promise<T>,
  ): Promise<T> {
    const { signal, log } = this.#run;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.transaction(`set local lock_timeout = ${lockWaitMs}; ${settings}`, body);
      } catch (error) {
        if (!NO_LOCK.includes(sqlStateOf(error))) throw error;
        log?.('info', `others hold a lock for longer than ${lockWaitMs} ms: trying again later`);
        await sleep(Math.min(LOCK_DELAY_MS_MAX, LOCK_FIRST_DELAY_MS * 2 ** attempt), signal);
      }
    }
  }

  /** Runs one statement outside of a transaction. */
  statement(text: string): Promise<readonly Row[]> {
    return this.#steadily((client) => rowsOf(client, text));
  }

  /** Number of the server's process behind this connection. */
  async processId(): Promise<string> {
    const [row] = await this.statement('select pg_catalog.pg_backend_pid()::pg_catalog.text as pid');
    return String(row?.['pid']);
  }

  /** Closes the connection, and with it gives up the lock. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #steadily<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
    const begunAtMs = performance.now();
    for (let attempt = 0; ; attempt++) {
      throwIfAborted(this.#run.signal);
      try {
        return await body(this.#client ?? (await this.#connect()));
      } catch (error) {
        const failure = failureOfStatement(error, this.#connections.endpoint);
        const isLost = isTldrError(failure, 'UNAVAILABLE') && !sqlStateOf(failure).startsWith('40');
        if (!isLost || performance.now() - begunAtMs > OUTAGE_MS_MAX) throw failure;
        this.#run.log?.('info', `connecting again: ${failure.message}`);
        await this.close();
        await sleep(Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** attempt), this.#run.signal);
      }
    }
  }

  async #connect(): Promise<pg.Client> {
    const client = await this.#connections.openClient();
    try {
      await this.#checkPooler(client);
      // The role may have limits for its clients, which a migration would reach.
      await client.query(
        `set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; set extra_float_digits = 3;
         set default_transaction_isolation = 'read committed';
         select pg_catalog.set_config(s.name, '0', false) from pg_catalog.pg_settings s where s.name in ('idle_session_timeout', 'transaction_timeout')`,
      );
      // The server ends a long statement of a process that was killed. Older servers do not know the setting.
      await client.query(`set client_connection_check_interval = '1s'`).catch(() => undefined);
      await this.#lock(client);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    this.#client = client;
    return client;
  }

  /** @throws UNSUPPORTED if each transaction may run in another session, which would lose the lock */
  async #checkPooler(client: pg.Client): Promise<void> {
    const own = await processIdOf(client);
    // The server itself tells its process to a new client, and a pooler tells something else.
    if (String(Reflect.get(client, 'processID')) === own) return;
    const other = await this.#connections.openClient();
    try {
      if ((await processIdOf(other)) !== own && (await processIdOf(client)) === own) return;
    } finally {
      await other.end();
    }
    throw new TldrError(
      'UNSUPPORTED',
      `${this.#connections.endpoint} is a pooler that gives each transaction any session, and a migration needs one session of its own: give the address of the server itself, or of a pooler in session mode`,
    );
  }

  async #lock(client: pg.Client): Promise<void> {
    const begunAtMs = performance.now();
    for (;;) {
      const [row] = await rowsOf(
        client,
        `select pg_catalog.pg_try_advisory_lock(${this.#lockKey})::pg_catalog.text as got`,
      );
      if (row?.['got'] === 'true') return;
      if (performance.now() - begunAtMs > LOCK_WAIT_MS)
        throw new TldrError(
          'ALREADY_EXISTS',
          'another process works on this migration: wait for it, or pause it',
        );
      await sleep(LOCK_POLL_MS, this.#run.signal);
    }
  }
}

/** Returns the number of the server's process that answers. */
async function processIdOf(client: pg.Client): Promise<string> {
  const [row] = await rowsOf(client, 'select pg_catalog.pg_backend_pid()::pg_catalog.text as pid');
  return String(row?.['pid']);
}

async function rowsOf(
  client: pg.Client,
  text: string,
  values: readonly (string | null)[] = [],
): Promise<readonly Row[]> {
  const result = await client.query<Row>(text, values.length === 0 ? undefined : [...values]);
  return result.rows;
}
