import type pg from 'pg';
import { TldrError } from '../../../src/core/errors.js';
import type { Matrix } from '../../../src/core/matrix.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import type { CollectionSpec } from '../../../src/store/collection.js';
import type { WriteBatch } from '../../../src/store/points.js';
import type { ScratchStore } from '../../../src/store/beside/scratch-store.js';
import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import type { VectorBytes } from '../../../src/store/storage.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { numberIn, textIn } from '../catalog/values.js';
import type { Connections, Row } from '../connect/connections.js';
import { failureOfStatement } from '../connect/failures.js';
import { scoreOf } from '../read/search-rows.js';
import { buildIndexes, indexName } from './build-indexes.js';
import { copyInto } from './copy-into.js';
import { readComment, commentText, type ScratchComment } from './schema-comment.js';
import { SearchSessions } from './search-sessions.js';
import { searchStatement } from './search-statement.js';
import {
  FULL_TABLE,
  indexRefusal,
  keptVector,
  scratchSettings,
  scratchSpec,
  storedNamed,
  type ScratchSettings,
} from './stored-vectors.js';

/** Temporary schemas of a database, in which a plan measures. Each holds a sample of one table in several forms. */
export class PgvectorScratch implements ScratchStore {
  readonly kind = 'pgvector';
  readonly capabilities = { datatypes: ['float32', 'float16'], quantizations: ['none', 'binary'] } as const;
  readonly codec = { pack: (): Uint8Array => new Uint8Array(0) };
  readonly storage = {
    of: keptVector,
    scratch: scratchSpec,
    measure: (schema: string): Promise<readonly VectorBytes[]> => this.#measure(schema),
    dropScratch: (schema: string): Promise<void> => this.#drop(schema),
  };
  readonly beside = {
    refusal: indexRefusal,
    names: { float32: 'vector', float16: 'halfvec', binary: 'bit' },
  };
  readonly #connections: Connections;
  readonly #sessions: SearchSessions;
  readonly #settings = new Map<string, ScratchSettings>();
  #writer: Promise<pg.Client> | undefined;

  constructor(connections: Connections) {
    this.#connections = connections;
    this.#sessions = new SearchSessions(connections);
  }

  get endpoint(): string {
    return this.#connections.endpoint;
  }

  async listCollections(): Promise<readonly string[]> {
    const rows = await this.#connections.query(
      `select n.nspname::pg_catalog.text as name, pg_catalog.obj_description(n.oid, 'pg_namespace') as comment from pg_catalog.pg_namespace n
       where n.nspname like 'tldr-plan-%'`,
    );
    return rows.filter((row) => readComment(row['comment']) !== null).map((row) => textIn(row, 'name'));
  }

  async exists(schema: string): Promise<boolean> {
    const rows = await this.#connections.query(
      `select 'x' as found from pg_catalog.pg_namespace where nspname = $1`,
      [schema],
    );
    return rows.length > 0;
  }

  async describe(schema: string): Promise<CollectionSpec> {
    const { metadata, native } = await this.#comment(schema);
    const vectors = scratchSettings(native).stored.map(({ name, dim, distance }) => ({
      name,
      dim,
      distance,
      multivector: false,
      componentBytes: 4,
    }));
    return { name: schema, vectors, otherVectors: [], partitions: [], metadata, native };
  }

  async checkRights(): Promise<void> {
    const [row = {}] = await this.#connections.query(
      `select pg_catalog.current_database()::pg_catalog.text as name, current_user::pg_catalog.text as role,
         pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')::pg_catalog.text as "isAble"`,
    );
    if (textIn(row, 'isAble') === 'true') return;
    throw new TldrError(
      'FORBIDDEN',
      `a plan measures in a schema of its own, which it removes at the end, and the role "${textIn(row, 'role')}" may not make one: let an administrator run GRANT CREATE ON DATABASE ${quoted(textIn(row, 'name'))} TO ${quoted(textIn(row, 'role'))}, or plan on a copy of the table in another database`,
    );
  }

  async create({ name, metadata, native }: CollectionSpec): Promise<void> {
    const settings = scratchSettings(native);
    const schema = quoted(name);
    const tables = new Map(settings.stored.map((vector) => [vector.table, vector.dim]));
    const made = [...tables].map(
      ([table, dim]) =>
        `create unlogged table ${schema}.${quoted(table)} (id bigint primary key, v ${settings.extension}.vector(${dim}) not null);`,
    );
    await this.#write(
      `begin; create schema ${schema}; comment on schema ${schema} is ${literal(commentText({ metadata, native }))}; ${made.join(' ')} commit;`,
    );
    this.#settings.set(name, settings);
  }

  async upsert(schema: string, { ids, vectors }: WriteBatch): Promise<void> {
    const settings = await this.#settingsOf(schema);
    // Forms of the full vectors share a table, which is written once.
    const columns = new Map<string, Matrix>(
      vectors.map(({ name, matrix }) => [storedNamed(settings, name).table, matrix]),
    );
    const client = await this.#client();
    for (const [table, matrix] of columns)
      await copyInto(client, `${quoted(schema)}.${quoted(table)}`, ids, matrix).catch((error: unknown) => {
        throw failureOfStatement(error, this.endpoint);
      });
  }

  async finishBulkLoad({ name }: CollectionSpec, run: RunOptions = {}): Promise<void> {
    await buildIndexes(this.#connections, { schema: name, settings: await this.#settingsOf(name) }, run);
    throwIfAborted(run.signal);
  }

  async finishWithin(
    { name }: CollectionSpec,
    run: RunOptions & { readonly seconds: number },
  ): Promise<readonly string[]> {
    const place = { schema: name, settings: await this.#settingsOf(name) };
    const leftOut = await buildIndexes(this.#connections, place, run);
    throwIfAborted(run.signal);
    return leftOut;
  }

  async search(schema: string, request: SearchRequest): Promise<readonly ScoredPoint[]> {
    const settings = await this.#settingsOf(schema);
    const rows = await this.#sessions.rows(searchStatement(schema, settings, request));
    const { distance } = storedNamed(settings, request.vectorName);
    return rows.map((row) => ({
      id: BigInt(textIn(row, 'id')),
      score: scoreOf(Number(textIn(row, 'distance')), distance),
    }));
  }

  async timeSearch(schema: string, request: SearchRequest): Promise<number> {
    return this.#sessions.serverMs(searchStatement(schema, await this.#settingsOf(schema), request));
  }

  async close(): Promise<void> {
    await this.#sessions.close();
    await (await this.#writer)?.end();
  }

  async #measure(schema: string): Promise<readonly VectorBytes[]> {
    const settings = await this.#settingsOf(schema);
    const size = async (call: string, relation: string): Promise<number> => {
      const [row = {}] = await this.#connections.query(
        // An index that no time was left for is not there.
        `select coalesce(pg_catalog.${call}(pg_catalog.to_regclass($1)), 0)::pg_catalog.text as bytes`,
        [`${quoted(schema)}.${quoted(relation)}`],
      );
      return numberIn(row, 'bytes');
    };
    const found: VectorBytes[] = [];
    for (const { name, table, index, holdsTable } of settings.stored) {
      const indexBytes = index === null ? 0 : await size('pg_relation_size', indexName(name));
      // A table beside the full one has a key of its own, which the full one has anyway.
      const key = table === FULL_TABLE ? 0 : await size('pg_indexes_size', table);
      const vectorBytes = holdsTable
        ? (await size('pg_table_size', table)) + Math.max(0, key - indexBytes)
        : 0;
      found.push({ name, vectorBytes, codeBytes: 0, codeBookBytes: 0, indexBytes, indexGrowthBytes: 0 });
    }
    return found;
  }

  async #drop(schema: string): Promise<void> {
    if (!(await this.exists(schema))) return;
    // A schema without the mark belongs to a user, whatever its name.
    await this.#comment(schema);
    this.#settings.delete(schema);
    await this.#sessions.close();
    await this.#write(`drop schema ${quoted(schema)} cascade`);
  }

  async #settingsOf(schema: string): Promise<ScratchSettings> {
    const known = this.#settings.get(schema);
    if (known !== undefined) return known;
    const settings = scratchSettings((await this.#comment(schema)).native);
    this.#settings.set(schema, settings);
    return settings;
  }

  async #comment(schema: string): Promise<ScratchComment> {
    const [row] = await this.#connections.query(
      `select pg_catalog.obj_description(n.oid, 'pg_namespace') as comment from pg_catalog.pg_namespace n where n.nspname = $1`,
      [schema],
    );
    const comment = row === undefined ? null : readComment(row['comment']);
    if (comment !== null) return comment;
    throw new TldrError('NOT_FOUND', `${this.endpoint} has no scratch schema ${schema}`);
  }

  #client(): Promise<pg.Client> {
    this.#writer ??= this.#connections.openClient();
    return this.#writer;
  }

  async #write(text: string): Promise<readonly Row[]> {
    try {
      return (await (await this.#client()).query<Row>(text)).rows;
    } catch (error) {
      await (await this.#client()).query('rollback').catch(() => undefined);
      throw failureOfStatement(error, this.endpoint);
    }
  }
}
