import type { Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import type { ScoredPoint, SearchRequest } from '../../../src/store/search.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { Connections, Row } from '../connect/connections.js';
import { idOfParts } from './row-keys.js';
import { hasVectorCondition, payloadSelection } from './statements.js';

const OPERATORS: Readonly<Record<Distance, string>> = {
  cosine: '<=>',
  dot: '<#>',
  euclid: '<->',
  manhattan: '<+>',
};
/** The most candidates that an HNSW index returns at once. */
const EF_MAX = 1_000;
/** The number of candidates that pgvector takes without a setting. */
const EF_DEFAULT = 40;

/** Returns the rows nearest to a vector. @throws INVALID_ARGUMENT for a vector of another length */
export async function searchRows(
  connections: Connections,
  table: TableFacts,
  request: SearchRequest & { readonly column: VectorColumnFacts },
): Promise<readonly ScoredPoint[]> {
  const { column, vector, limit, exact = false, withPayload = false } = request;
  if (request.prefetch !== undefined)
    throw new TldrError('UNSUPPORTED', 'a search of a table in two stages cannot be asked for yet');
  if (vector.length !== column.dim)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `vector "${column.name}": expected dim ${column.dim}, got ${vector.length}`,
    );
  const type = `${table.extension}.${column.type}`;
  const distance = `t.${quoted(column.name)} operator(${table.extension}.${OPERATORS[column.distance]}) $1::${type}`;
  const keys = table.key.map(({ name }, i) => `t.${quoted(name)}::pg_catalog.text as k${i}`);
  const payload = withPayload ? [`${payloadSelection(table)} as payload`] : [];
  const statement = `select ${[...keys, `(${distance})::pg_catalog.text as distance`, ...payload].join(', ')}
    from ${table.statementName} t where ${hasVectorCondition(table, column)} order by ${distance} limit ${limit}`;
  const rows = await connections.read(async ({ query }) => {
    if (exact) await query('set local enable_indexscan = off');
    else await query(`set local hnsw.ef_search = ${Math.min(EF_MAX, Math.max(EF_DEFAULT, limit))}`);
    return query(statement, [`[${vector.join(',')}]`]);
  });
  return rows.map((row) => scoredPoint(row, table, column.distance));
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

/** Similarities are larger for nearer vectors; the distance from a zero vector by cosine is NaN. */
function scoreOf(distance: number, by: Distance): number {
  if (Number.isNaN(distance)) return 0;
  if (by === 'cosine') return 1 - distance;
  return by === 'dot' ? -distance : distance;
}
