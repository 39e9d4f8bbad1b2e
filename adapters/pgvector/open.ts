import type pg from 'pg';
import { isTldrError, TldrError } from '../../src/core/errors.js';
import { maskAddress } from '../../src/core/masked-address-and-redirect.js';
import type { OpenOptions } from '../../src/store/adapter.js';
import { ANSWER_TIMEOUT_MS, CONNECT_TIMEOUT_MS } from '../../src/store/defaults.js';
import { textIn } from './catalog/values.js';
import { Connections } from './connect/connections.js';
import { PgvectorStore } from './store.js';

/** How to reach a database. */
export interface OpenPgvectorOptions extends Pick<OpenOptions, 'timeoutMs' | 'connectTimeoutMs' | 'retry'> {
  /**
   * Address such as `postgres://user@host:5432/database`. What it leaves out comes from the variables that psql reads
   * (PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE), and a password from the file `.pgpass`.
   */
  readonly url: string;
  /** `keyColumns` and `vectorDistance`. */
  readonly settings?: OpenOptions['settings'];
}

/**
 * Connects to a PostgreSQL database that has the extension pgvector, to read from it.
 * @throws INVALID_ARGUMENT for an unusable URL, UNAVAILABLE when no server answers, UNAUTHORIZED
 * @example
 * ```ts
 * import { openPgvector } from 'qdrant-tldr/pgvector';
 *
 * const store = await openPgvector({ url: 'postgres://app@localhost/app' }).catch((error: unknown) => {
 *   console.log(String(error)); // no server, no such database, no right to connect
 *   return null;
 * });
 * console.log(await store?.count('documents'));
 * await store?.close();
 * ```
 */
export async function openPgvector(options: OpenPgvectorOptions): Promise<PgvectorStore> {
  return storeOver(await openConnections(options), options);
}

/** Returns the store that uses these connections. */
export function storeOver(
  connections: Connections,
  { settings = {} }: Pick<OpenPgvectorOptions, 'settings'>,
): PgvectorStore {
  return new PgvectorStore(connections, {
    keyColumns: settings['keyColumns'],
    vectorDistance: settings['vectorDistance'],
  });
}

/** Connects to a database. @throws as `openPgvector` */
export async function openConnections(options: OpenPgvectorOptions): Promise<Connections> {
  const url = checkedUrl(options.url);
  try {
    return await answering(url, options);
  } catch (error) {
    const plain = new URL(url);
    const mayBePlain = plain.searchParams.get('sslmode') === 'prefer';
    if (!mayBePlain || !isTldrError(error, 'UNSUPPORTED')) throw error;
    // The server has no TLS.
    plain.searchParams.set('sslmode', 'disable');
    return answering(plain.href, options);
  }
}

/** Connects, and waits for a first answer, so that a wrong address is named at once. */
async function answering(
  url: string,
  { timeoutMs = ANSWER_TIMEOUT_MS, connectTimeoutMs = CONNECT_TIMEOUT_MS, retry }: OpenPgvectorOptions,
): Promise<Connections> {
  const config: pg.ClientConfig = { connectionString: url, connectionTimeoutMillis: connectTimeoutMs };
  const connections = new Connections({ config, endpoint: shownEndpoint(url), timeoutMs, retry });
  try {
    const [row = {}] = await connections.read(
      ({ query }) => query(`select pg_catalog.current_database()::pg_catalog.text as name`),
      { repeatMs: connectTimeoutMs },
    );
    textIn(row, 'name');
  } catch (error) {
    await connections.close();
    throw error;
  }
  return connections;
}

function checkedUrl(text: string): string {
  // `postgres://` is complete too: it leaves everything to the variables. So is `postgres://user@/database`.
  const [, scheme, user, rest] = /^(postgres(?:ql)?:\/\/)([^@:/?#]+)@(\/.*)$/i.exec(text) ?? [];
  if (scheme !== undefined && user !== undefined && rest !== undefined)
    return checkedUrl(`${scheme}${rest}${rest.includes('?') ? '&' : '?'}user=${user}`);
  if (/^postgres(ql)?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `"${maskAddress(text)}" is not the address of a PostgreSQL database: expected, for example, postgres://user@localhost:5432/database`,
  );
}

/** Returns the address without a user, a password and options. */
function shownEndpoint(url: string): string {
  const { host, pathname } = new URL(url);
  return `postgres://${host}${pathname === '/' ? '' : pathname}`;
}
