import type pg from 'pg';
import { codeOf, expectDefined, TldrError } from '../../../src/core/errors.js';
import { rowRange, type Matrix } from '../../../src/core/matrix.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import type { DemoDatabase, DemoSearch } from '../../../src/store/adapter.js';
import type { InPlaceTarget } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { Connections } from '../connect/connections.js';
import { failureOfStatement } from '../connect/failures.js';
import { SCHEMA as MIGRATIONS } from '../migrate/objects.js';
import { LOCK_SHARED, readMigrations } from '../migrate/state-table.js';
import { copyInto } from '../plan/copy-into.js';
import { demoSearches } from './searches.js';

const SCHEMA = 'tldr_demo';
const TABLE = 'glosses';
const COLUMN = 'embedding';
const INDEXES = { full: `${SCHEMA}.glosses_full`, bits: `${SCHEMA}.glosses_bits` } as const;
/** Comments on the schema, which tell it from somebody else's, and whether the demo made the schema of migrations. */
const MARKS = {
  alone: 'made by the demo of qdrant-tldr, which removes it',
  both: `made by the demo of qdrant-tldr, which removes it and the schema ${MIGRATIONS}`,
} as const;
const BATCH = 500;
const LOCK_WAIT_MS = 2_000;
/** Waits that others see, and memory that holds the graphs. */
const SETTINGS = `set statement_timeout = 0; set maintenance_work_mem = '256MB'; set lock_timeout = ${LOCK_WAIT_MS}`;

/** The demo's table, in a schema of its own. */
export class PgvectorDemo implements DemoDatabase {
  readonly store: InPlaceTarget;
  readonly collection = `${SCHEMA}.${TABLE}`;
  readonly #connections: Connections;

  constructor(connections: Connections, store: InPlaceTarget) {
    this.#connections = connections;
    this.store = store;
  }

  async version(): Promise<string> {
    const [row = {}] = await this.#connections.query(
      `select pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) as server,
         coalesce((select e.extversion from pg_catalog.pg_extension e where e.extname = 'vector'), '') as extension`,
    );
    const extension = textIn(row, 'extension');
    if (extension !== '') return `PostgreSQL ${textIn(row, 'server')} with pgvector ${extension}`;
    throw new TldrError(
      'UNSUPPORTED',
      `${this.#connections.endpoint} has no extension pgvector in this database: CREATE EXTENSION vector`,
    );
  }

  async fill(
    { vectors, texts }: { readonly vectors: Matrix; readonly texts: readonly string[] },
    run: RunOptions,
  ): Promise<void> {
    await this.#changing(async (client) => {
      const extension = await this.#extension();
      const type = `${extension}.vector(${vectors.cols})`;
      const mark = (await this.#hasMigrations()) ? MARKS.alone : MARKS.both;
      await client.query(
        `create schema ${SCHEMA}; comment on schema ${SCHEMA} is '${mark}';
         create table ${this.collection} (id int primary key, content text not null, ${COLUMN} ${type} not null);
         create table ${SCHEMA}.batch (id bigint, v ${type})`,
      );
      for (let start = 0; start < vectors.rows; start += BATCH) {
        throwIfAborted(run.signal);
        const part = rowRange(vectors, start, Math.min(vectors.rows, start + BATCH));
        const ids = Array.from({ length: part.rows }, (_, i) => BigInt(start + i));
        await copyInto(client, `${SCHEMA}.batch`, ids, part);
        await client.query(
          `insert into ${this.collection} select b.id, ($1::pg_catalog.text[])[(b.id - ${start - 1})::pg_catalog.int4], b.v from ${SCHEMA}.batch b`,
          [texts.slice(start, start + part.rows)],
        );
        await client.query(`truncate ${SCHEMA}.batch`);
        run.onProgress?.({ step: 'loading', done: start + part.rows, total: vectors.rows, unit: 'points' });
      }
      await client.query(`drop table ${SCHEMA}.batch`);
      await client.query(`analyze ${this.collection}`);
      await this.#index(client, { dim: vectors.cols, extension }, run);
    });
  }

  /** Builds the indexes that need no encoder. */
  async #index(
    client: pg.Client,
    { dim, extension }: { readonly dim: number; readonly extension: string },
    { signal, onProgress }: RunOptions,
  ): Promise<void> {
    const forms = [
      [INDEXES.bits, `(${extension}.binary_quantize(${COLUMN})::bit(${dim})) ${extension}.bit_hamming_ops`],
      [INDEXES.full, `${COLUMN} ${extension}.vector_cosine_ops`],
    ] as const;
    for (const [done, [name, form]] of forms.entries()) {
      onProgress?.({ step: 'indexing', done, total: forms.length, unit: 'indexes' });
      throwIfAborted(signal);
      const own = quoted(name.slice(SCHEMA.length + 1));
      await client.query(`create index ${own} on ${this.collection} using hnsw (${form})`);
    }
  }

  async searches(): Promise<readonly DemoSearch[]> {
    const [migration] = await this.#connections.read(({ query }) =>
      readMigrations(query, { schema: SCHEMA, table: TABLE }),
    );
    const { facts } = expectDefined(migration, 'the migration of the demo');
    return demoSearches(this.#connections, facts, INDEXES);
  }

  async remove(): Promise<void> {
    const mark = await this.#mark();
    if (mark === null) return;
    if (mark !== MARKS.alone && mark !== MARKS.both)
      throw new TldrError(
        'ALREADY_EXISTS',
        `${this.#connections.endpoint} has a schema ${SCHEMA} that is not the demo's: rename it, or use another database`,
      );
    const name = { collection: this.collection, vectorName: COLUMN };
    // Somebody may have tried the commands with the demo's table.
    if ((await this.store.inPlace.find(name))?.cutOver?.isFullColumnDropped === true)
      await this.#changing(async (client) => {
        await client.query(`drop table ${this.collection} cascade`);
      });
    if ((await this.store.inPlace.find(name)) !== null) {
      const work = await this.store.inPlace.resume(name, { lockWaitMs: LOCK_WAIT_MS });
      try {
        const { cutOver } = await work.state();
        if (cutOver !== null && !cutOver.isFullColumnDropped) await work.rollBack();
        await work.remove();
      } finally {
        await work.release();
      }
    }
    await this.#changing(async (client) => {
      await client.query('begin');
      if (mark === MARKS.both) await dropMigrationsIfEmpty(client);
      await client.query(`drop schema ${SCHEMA} cascade`);
      await client.query('commit');
    });
  }

  close(): Promise<void> {
    return this.store.close();
  }

  async #changing(body: (client: pg.Client) => Promise<void>): Promise<void> {
    const client = await this.#connections.openClient();
    try {
      await client.query(SETTINGS);
      await body(client);
    } catch (error) {
      throw failureOfStatement(error, this.#connections.endpoint);
    } finally {
      await client.end();
    }
  }

  async #extension(): Promise<string> {
    const [row = {}] = await this.#connections.query(
      `select n.nspname::pg_catalog.text as name from pg_catalog.pg_extension e
       join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'`,
    );
    return quoted(textIn(row, 'name'));
  }

  async #hasMigrations(): Promise<boolean> {
    const rows = await this.#connections.query(
      `select n.nspname::pg_catalog.text as name from pg_catalog.pg_namespace n where n.nspname = '${MIGRATIONS}'`,
    );
    return rows.length > 0;
  }

  /** Returns the comment on the demo's schema; '' for none, null without the schema. */
  async #mark(): Promise<string | null> {
    const [row] = await this.#connections.query(
      `select coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') as comment
       from pg_catalog.pg_namespace n where n.nspname = '${SCHEMA}'`,
    );
    return row === undefined ? null : textIn(row, 'comment');
  }
}

const DEPENDENT_OBJECTS = '2BP01';

/**
 * Removes the schema of migrations, within a transaction, if it has nothing but its two tables, and these have no row. The
 * tables are locked first, so that no migration can begin meanwhile, and the server itself refuses to drop a schema that
 * holds anything else.
 */
async function dropMigrationsIfEmpty(client: pg.Client): Promise<void> {
  const tables = `"${MIGRATIONS}"."migration", "${MIGRATIONS}"."encoder"`;
  const { rows: there } = await client.query(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = '${MIGRATIONS}' and c.relname in ('migration', 'encoder')`,
  );
  if (there.length < 2) return;
  await client.query(LOCK_SHARED);
  await client.query(`savepoint whole; lock table ${tables} in access exclusive mode`);
  const { rows: used } = await client.query(
    `select from "${MIGRATIONS}"."migration" union all select from "${MIGRATIONS}"."encoder"`,
  );
  if (used.length > 0) return;
  try {
    await client.query(`drop table ${tables}; drop schema ${MIGRATIONS}`);
  } catch (error) {
    if (codeOf(error) !== DEPENDENT_OBJECTS) throw error;
    await client.query('rollback to savepoint whole');
  }
}
