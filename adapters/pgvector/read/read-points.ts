import { TldrError } from '../../../src/core/errors.js';
import { normalizeRowsInPlace } from '../../../src/core/distance.js';
import { matrix } from '../../../src/core/matrix.js';
import type { PointId } from '../../../src/core/point-id.js';
import { throwIfAborted } from '../../../src/core/run-options.js';
import { REQUEST_POINTS } from '../../../src/store/defaults.js';
import type { PointBatch, PointSample, SampleOptions, ScanOptions } from '../../../src/store/points.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import type { Connections, ReadTransaction } from '../connect/connections.js';
import { idOfParts, type KeyPart } from './row-keys.js';
import { copiedRows, readVector, vectorLength, type CopiedRow } from './copy-rows.js';
import {
  copyStatement,
  hasOrderedKey,
  hasVectorCondition,
  keyCondition,
  keyInCondition,
  rangeConditions,
} from './statements.js';

/** Vectors of one page, in bytes: a page is read at once, so that a slow reader never keeps a statement open. */
const PAGE_BYTES = 8 * 1024 ** 2;
/** Keys that are sorted and held at a time. */
const LISTED_KEYS = 100_000;
/** A sample of larger tables begins with random blocks instead of all rows. */
const SAMPLED_ROWS_MIN = 20_000;
/** Rows that are looked at for each sampled row, so that rows of one block are rarely chosen together. */
const SAMPLED_PER_ROW = 8;

/** Rows as they were copied. */
interface CopiedPoint {
  readonly id: PointId;
  /** Null without a vector of the column's length. */
  readonly vector: Buffer | null;
  readonly extra: Buffer;
}

function pointOfRow(row: CopiedRow, { key, name }: TableFacts, dim: number): CopiedPoint {
  const parts = key.map(({ kind, name: column }, i): KeyPart => {
    const bytes = row[i];
    if (bytes === null || bytes === undefined)
      throw new TldrError(
        'INVALID_DATA',
        `a row of ${name} has no value in "${column}", which identifies it`,
      );
    return kind === 'number' ? bytes.readBigInt64BE(0) : bytes.toString('utf8');
  });
  const vector = row[key.length] ?? null;
  const isUsual = vector !== null && vectorLength(vector) === dim;
  return {
    id: idOfParts(parts),
    vector: isUsual ? vector : null,
    extra: row[key.length + 1] ?? Buffer.alloc(0),
  };
}

/** Returns points as columns. Vectors of a cosine column get unit length. */
function batchOfPoints(
  points: readonly CopiedPoint[],
  { dim, distance }: VectorColumnFacts,
  memory?: ScanOptions['rowMemory'],
): PointBatch {
  const vectors = memory?.take(points.length, dim) ?? matrix(points.length, dim);
  const hasVector = new Uint8Array(points.length);
  points.forEach(({ vector }, i) => {
    const values = vectors.data.subarray(i * dim, (i + 1) * dim);
    if (vector === null) {
      values.fill(0);
      return;
    }
    readVector(vector, values);
    hasVector[i] = 1;
  });
  if (distance === 'cosine') normalizeRowsInPlace(vectors);
  const extra = points.map((point) => point.extra);
  const sizeBytes = vectors.data.byteLength + extra.reduce((sum, bytes) => sum + bytes.length, 0);
  return { ids: points.map(({ id }) => id), vectors, hasVector, extra, sizeBytes };
}

/** Reads the rows of one table. */
export class PointReader {
  constructor(
    readonly connections: Connections,
    readonly table: TableFacts,
  ) {}

  /** @throws NOT_FOUND when the table has no such column of vectors */
  vector(name: string): VectorColumnFacts {
    const found = this.table.vectors.find((vector) => vector.name === name);
    if (found !== undefined) return found;
    throw new TldrError('NOT_FOUND', `${this.table.name} has no column of vectors "${name}"`);
  }

  /** Returns batches in the order of ids. */
  scan(options: ScanOptions): AsyncGenerator<PointBatch> {
    return hasOrderedKey(this.table) ? this.#scanPages(options) : this.#scanSorted(options);
  }

  /** Reads pages by the key's index, each in a transaction of its own. */
  async *#scanPages(options: ScanOptions): AsyncGenerator<PointBatch> {
    const { vectorName, range = { from: null, to: null }, batchSize = REQUEST_POINTS, signal } = options;
    const vector = this.vector(vectorName);
    const fitting = Math.max(1, Math.floor(PAGE_BYTES / (4 * vector.dim + 256)));
    const pageRows = Math.max(batchSize, Math.floor(fitting / batchSize) * batchSize);
    let conditions = rangeConditions(this.table, range);
    for (;;) {
      throwIfAborted(signal);
      const statement = copyStatement(this.table, { vector, withPayload: true, conditions, limit: pageRows });
      const points = await this.connections.read((transaction) =>
        this.#pointsOf(transaction, statement, vector),
      );
      for (let start = 0; start < points.length; start += batchSize) {
        throwIfAborted(signal);
        yield batchOfPoints(points.slice(start, start + batchSize), vector, options.rowMemory);
      }
      const last = points.at(-1);
      if (last === undefined || points.length < pageRows) return;
      const after = keyCondition(this.table, '>', last.id);
      conditions = [after, ...rangeConditions(this.table, { from: null, to: range.to })];
    }
  }

  /** Lists keys in the order of ids, which no index has, then reads the rows of each batch. */
  async *#scanSorted(options: ScanOptions): AsyncGenerator<PointBatch> {
    const { vectorName, range = { from: null, to: null }, batchSize = REQUEST_POINTS, signal } = options;
    const vector = this.vector(vectorName);
    let conditions = rangeConditions(this.table, range);
    for (;;) {
      throwIfAborted(signal);
      const of = { vector: null, withPayload: false, conditions, limit: LISTED_KEYS };
      const ids = await this.connections.read(async (transaction) =>
        (await this.#pointsOf(transaction, copyStatement(this.table, of), vector)).map(({ id }) => id),
      );
      for (let start = 0; start < ids.length; start += batchSize) {
        throwIfAborted(signal);
        const points = await this.#pointsById(ids.slice(start, start + batchSize), vector);
        if (points.length > 0) yield batchOfPoints(points, vector, options.rowMemory);
      }
      const last = ids.at(-1);
      if (last === undefined || ids.length < LISTED_KEYS) return;
      const after = keyCondition(this.table, '>', last);
      conditions = [after, ...rangeConditions(this.table, { from: null, to: range.to })];
    }
  }

  async retrieve(ids: readonly PointId[], vectorName: string): Promise<PointBatch> {
    const vector = this.vector(vectorName);
    return batchOfPoints(ids.length === 0 ? [] : await this.#pointsById(ids, vector), vector);
  }

  #pointsById(ids: readonly PointId[], vector: VectorColumnFacts): Promise<readonly CopiedPoint[]> {
    const conditions = [keyInCondition(this.table, ids)];
    const statement = copyStatement(this.table, { vector, withPayload: true, conditions });
    return this.connections.read((transaction) => this.#pointsOf(transaction, statement, vector));
  }

  /** Returns random rows with a vector. Of a large table, only random blocks are read. */
  async sample({ vectorName, size, signal }: SampleOptions): Promise<PointSample> {
    const vector = this.vector(vectorName);
    throwIfAborted(signal);
    const { estimatedRows, kind } = this.table;
    const isSampled = kind !== 'v' && kind !== 'f' && estimatedRows >= SAMPLED_ROWS_MIN;
    const share = isSampled ? (100 * size * SAMPLED_PER_ROW) / estimatedRows : 100;
    for (let percent = share; ; percent *= 4) {
      const points = await this.#draw(vector, size, percent);
      throwIfAborted(signal);
      if (points.length < size && percent < 100) continue;
      const { ids, vectors } = batchOfPoints(points, vector);
      return { ids, vectors };
    }
  }

  #draw(vector: VectorColumnFacts, size: number, percent: number): Promise<readonly CopiedPoint[]> {
    const sampling = percent < 100 ? `tablesample pg_catalog.system (${percent})` : '';
    const statement = copyStatement(this.table, {
      vector,
      withPayload: false,
      conditions: [hasVectorCondition(this.table, vector)],
      order: 'pg_catalog.random()',
      limit: size,
      sampling,
    });
    return this.connections.read((transaction) => this.#pointsOf(transaction, statement, vector));
  }

  async #pointsOf(
    transaction: ReadTransaction,
    statement: string,
    { dim }: VectorColumnFacts,
  ): Promise<readonly CopiedPoint[]> {
    const points: CopiedPoint[] = [];
    for await (const row of copiedRows(transaction.copy(statement)))
      points.push(pointOfRow(row, this.table, dim));
    return points;
  }
}
