import type { Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import type { Connections, Row } from '../connect/connections.js';
import { idOfParts } from './row-keys.js';
import { hasVectorCondition, payloadSelection } from './statements.js';

/** The most candidates that an HNSW index returns at once. */
export const EF_MAX = 1_000;
/** The number of candidates that pgvector takes without a setting. */
export const EF_DEFAULT = 40;

/** Returns the rows nearest to a vector. @throws INVALID_ARGUMENT for a vector of another length */
export async function searchRows(
  connections: Connections,
  table: TableFacts,
  request: SearchRequest & { readonly searched: SearchedVector; readonly first: SearchedVector | null },
): Promise<readonly ScoredPoint[]> {
  const { searched, first, prefetch, vector, limit, exact = false, withPayload = false } = request;
  checkLength(searched, vector);
  const keys = table.key.map(({ name }, i) => `t.${quoted(name)}::pg_catalog.text as k${i}`);
  const payload = withPayload ? [`${payloadSelection(table)} as payload`] : [];
  const values = [vectorText(vector)];
  let from = `${searched.from} where ${searched.condition}`;
  let candidates = limit;
  if (prefetch !== undefined && first !== null) {
    checkLength(first, prefetch.vector);
    candidates = Math.max(prefetch.limit, limit);
    values.push(vectorText(prefetch.vector));
    from = `(select t.* from ${first.from} where ${first.condition} order by ${distanceOf(first, table, '$2')} limit ${candidates}) t`;
  }
  const distance = distanceOf(searched, table, '$1');
  const statement = `select ${[...keys, `(${distance})::pg_catalog.text as distance`, ...payload].join(', ')}
    from ${from} order by ${distance} limit ${limit}`;
  const rows = await connections.read(async ({ query }) => {
    if (exact) await query('set local enable_indexscan = off');
    else await query(`set local hnsw.ef_search = ${Math.min(EF_MAX, Math.max(EF_DEFAULT, candidates))}`);
    return query(statement, values);
  });
  return rows.map((row) => scoredPoint(row, table, searched.distance));
}

/** What a search compares: a column, an expression of columns, or a column of a table beside. */
export interface SearchedVector {
  readonly name: string;
  /** The table as `t`, and joined to it what the expression needs beside it. */
  readonly from: string;
  /** In a statement where the table is `t`. */
  readonly expression: string;
  readonly type: 'vector' | 'halfvec';
  readonly dim: number;
  readonly distance: Distance;
  /** Holds for rows that can be found. */
  readonly condition: string;
}

/** Returns a column as what a search compares. */
export function searchedColumn(table: TableFacts, column: VectorColumnFacts): SearchedVector {
  const { name, type, dim, distance } = column;
  const condition = hasVectorCondition(table, column);
  const from = `${table.statementName} t`;
  return { name, type, dim, distance, condition, from, expression: `t.${quoted(name)}` };
}

function distanceOf(
  { expression, type, distance }: SearchedVector,
  { extension }: TableFacts,
  parameter: string,
): string {
  return `${expression} operator(${extension}.${OPERATORS[distance].sign}) ${parameter}::${extension}.${type}`;
}

function checkLength({ name, dim }: SearchedVector, vector: Float32Array): void {
  if (vector.length !== dim)
    throw new TldrError('INVALID_ARGUMENT', `vector "${name}": expected dim ${dim}, got ${vector.length}`);
}

function vectorText(vector: Float32Array): string {
  return `[${vector.join(',')}]`;
}

function scoredPoint(row: Row, { key }: TableFacts, distance: Distance): ScoredPoint {
  const parts = key.map(({ kind }, i) => {
    const text = textIn(row, `k${i}`);
    return kind === 'number' ? BigInt(text) : text;
  });
  const payload = row['payload'];
  const score = scoreOf(Number(textIn(row, 'distance')), distance);
  return { id: idOfParts(parts), score, ...(typeof payload === 'string' ? { payloadJson: payload } : {}) };
}

/** Returns the score of a distance. Similarities are larger for nearer vectors; the distance from a zero vector by cosine is NaN. */
export function scoreOf(distance: number, by: Distance): number {
  if (Number.isNaN(distance)) return 0;
  if (by === 'cosine') return 1 - distance;
  return by === 'dot' ? -distance : distance;
}
