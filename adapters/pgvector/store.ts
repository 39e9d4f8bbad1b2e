import type { PointId } from '../../src/core/point-id.js';
import type { CollectionSpec } from '../../src/store/collection.js';
import type {
  InPartition,
  PointBatch,
  PointSample,
  SampleOptions,
  ScanOptions,
} from '../../src/store/points.js';
import { pickVector } from '../../src/store/pick-vector.js';
import type { CompactForm, ProjectingSource } from '../../src/store/beside/projecting-source.js';
import type { ScoredPoint, SearchRequest } from '../../src/store/search.js';
import type { ScratchSource } from '../../src/store/beside/scratch-store.js';
import type { InPlaceMigrations, InPlaceTarget } from '../../src/store/in-place-target.js';
import type { StoreKeys } from '../../src/store/vector-source.js';
import { describeTable, type TableFacts, type TableSettings } from './catalog/describe-table.js';
import { findTableOrNull, listTables } from './catalog/find-table.js';
import { numberIn } from './catalog/values.js';
import type { Connections } from './connect/connections.js';
import { PgvectorMigrations } from './migrate/migrations.js';
import { PgvectorScratch } from './plan/scratch-store.js';
import { checkLengths, compactExpression } from './read/compact-form.js';
import { PointReader } from './read/read-points.js';
import { searchedColumn, searchRows, type SearchedVector } from './read/search-rows.js';
import { ROW_KEYS } from './read/row-keys.js';
import { sideTableForm } from './side-table-form.js';

const BYTES = { vector: 4, halfvec: 2 } as const;

/**
 * Tables of a PostgreSQL database as collections. Each column of type `vector` or `halfvec` is a vector. It writes only to
 * scratch schemas, and beside tables that are migrated.
 */
export class PgvectorStore implements InPlaceTarget, ScratchSource, ProjectingSource {
  readonly kind = 'pgvector';
  readonly keys: StoreKeys = ROW_KEYS;
  readonly inPlace: InPlaceMigrations;
  readonly #connections: Connections;
  readonly #settings: TableSettings;
  /** Compact vectors that searches may name, by table and name. */
  readonly #compact = new Map<string, SearchedVector>();

  constructor(connections: Connections, settings: TableSettings) {
    this.#connections = connections;
    this.#settings = settings;
    this.inPlace = new PgvectorMigrations(connections, settings);
  }

  get endpoint(): string {
    return this.#connections.endpoint;
  }

  listCollections(): Promise<readonly string[]> {
    return this.#connections.read(listTables);
  }

  exists(collection: string): Promise<boolean> {
    return this.#connections.read(
      async (transaction) => (await findTableOrNull(transaction, collection)) !== null,
    );
  }

  async describe(collection: string): Promise<CollectionSpec> {
    const { vectors, otherVectors, schema, name, kind, key, extension, estimatedRows } =
      await this.#table(collection);
    return {
      name: collection,
      vectors: vectors.map((vector) => ({
        name: vector.name,
        dim: vector.dim,
        distance: vector.distance,
        multivector: false,
        componentBytes: BYTES[vector.type],
      })),
      otherVectors,
      partitions: [],
      metadata: {},
      native: JSON.stringify({ schema, name, kind, key, vectors, extension, estimatedRows }),
    };
  }

  async count(collection: string): Promise<number> {
    const { statementName } = await this.#table(collection);
    const [row = {}] = await this.#connections.query(
      `select pg_catalog.count(*)::pg_catalog.text as rows from ${statementName}`,
    );
    return numberIn(row, 'rows');
  }

  async *scan(collection: string, options: ScanOptions): AsyncGenerator<PointBatch> {
    yield* (await this.#reader(collection)).scan(options);
  }

  async retrieve(
    collection: string,
    ids: readonly PointId[],
    { vectorName }: InPartition & { readonly vectorName: string },
  ): Promise<PointBatch> {
    return (await this.#reader(collection)).retrieve(ids, vectorName);
  }

  async sample(collection: string, options: SampleOptions): Promise<PointSample> {
    return (await this.#reader(collection)).sample(options);
  }

  async search(collection: string, request: SearchRequest): Promise<readonly ScoredPoint[]> {
    const reader = await this.#reader(collection);
    const searched = (name: string): SearchedVector =>
      this.#compact.get(`${collection} ${name}`) ?? searchedColumn(reader.table, reader.vector(name));
    return searchRows(this.#connections, reader.table, {
      ...request,
      searched: searched(request.vectorName),
      first: request.prefetch === undefined ? null : searched(request.prefetch.vectorName),
    });
  }

  payloadJson(extra: Uint8Array): string {
    return Buffer.from(extra.buffer, extra.byteOffset, extra.byteLength).toString('utf8');
  }

  async compactForm(
    collection: string,
    { vectorName, encoder }: Parameters<ProjectingSource['compactForm']>[1],
  ): Promise<CompactForm> {
    const { name } = pickVector(await this.describe(collection), vectorName);
    const reader = await this.#reader(collection);
    const column = reader.vector(name);
    const asked = { column, encoder };
    checkLengths(reader.table, asked);
    const { searched, form } = await this.#connections.read(
      async (transaction) =>
        (await sideTableForm(transaction, reader.table, asked)) ??
        (await compactExpression(transaction, reader.table, asked)),
    );
    this.#compact.set(`${collection} ${searched.name}`, searched);
    return { ...form, description: { ...form.description, source: collection } };
  }

  openScratch(): PgvectorScratch {
    return new PgvectorScratch(this.#connections);
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  #table(name: string): Promise<TableFacts> {
    const of = { name, endpoint: this.endpoint, settings: this.#settings };
    return this.#connections.read((transaction) => describeTable(transaction, of));
  }

  async #reader(collection: string): Promise<PointReader> {
    return new PointReader(this.#connections, await this.#table(collection));
  }
}
