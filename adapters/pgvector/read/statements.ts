import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { PointId } from '../../../src/core/point-id.js';
import type { IdRange } from '../../../src/store/points.js';
import type { KeyColumn, TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { partsOfId } from './row-keys.js';

/** Name of the table in statements that read rows. */
const ALIAS = 't';

/** A column as an expression that has the order of ids. */
function ordered({ name, isByteOrdered }: KeyColumn): string {
  return `${ALIAS}.${quoted(name)}${isByteOrdered ? '' : ' collate "C"'}`;
}

/** The columns of the order. */
function orderOf({ key }: TableFacts): string {
  return key.map(ordered).join(', ');
}

/** Whether rows come in the order of ids by the key's own index, so that they can be read page by page. */
export function hasOrderedKey({ key, kind }: TableFacts): boolean {
  return kind !== 'v' && key.every(({ isByteOrdered }) => isByteOrdered);
}

/** Returns the id as a value of the key. @throws INVALID_ARGUMENT for an id that is not one of this table */
function keyValue({ key, name }: TableFacts, id: PointId): readonly string[] {
  const parts = partsOfId(id);
  if (parts.length !== key.length)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the key of a row of ${name} has ${key.length} values, got ${parts.length}`,
    );
  return key.map(({ kind, type }, i) => {
    const part = expectDefined(parts[i], 'a value of the key');
    if (kind === 'text') return `${literal(String(part))}::pg_catalog.${type}`;
    if (kind === 'uuid' && typeof part === 'string' && UUID.test(part))
      return `${literal(part)}::pg_catalog.uuid`;
    if (kind === 'number' && typeof part === 'bigint') return clamped(part);
    throw new TldrError(
      'INVALID_ARGUMENT',
      `"${String(part)}" is no key of a row of ${name}: expected ${kind === 'uuid' ? 'a UUID' : 'a whole number'}`,
    );
  });
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Comparing with more than a bigint would turn the column into a numeric, which no index has. */
const BIGINT_MAX = 2n ** 63n - 1n;

function clamped(value: bigint): string {
  return value > BIGINT_MAX || value < -BIGINT_MAX - 1n
    ? `'${value}'::pg_catalog.numeric`
    : `'${value}'::pg_catalog.int8`;
}

/** Returns a condition on the key. */
export function keyCondition(table: TableFacts, operator: '>' | '>=' | '<', id: PointId): string {
  return `(${orderOf(table)}) ${operator} (${keyValue(table, id).join(', ')})`;
}

/** Returns the condition of a range; '' for all rows. */
export function rangeConditions(table: TableFacts, { from, to }: IdRange): readonly string[] {
  return [
    ...(from === null ? [] : [keyCondition(table, '>=', from)]),
    ...(to === null ? [] : [keyCondition(table, '<', to)]),
  ];
}

/** Returns a condition that selects these rows. */
export function keyInCondition(table: TableFacts, ids: readonly PointId[]): string {
  const columns = table.key.map(({ name }) => `${ALIAS}.${quoted(name)}`).join(', ');
  return `(${columns}) in (${ids.map((id) => `(${keyValue(table, id).join(', ')})`).join(', ')})`;
}

/** The key's values, in the form that `idOfRow` reads. */
function keySelection({ key }: TableFacts): readonly string[] {
  return key.map(({ name, kind }) => {
    const column = `${ALIAS}.${quoted(name)}`;
    return kind === 'number' ? `${column}::pg_catalog.int8` : `${column}::pg_catalog.text`;
  });
}

/** The payload as JSON: the table's only other column if that holds JSON objects, else an object of all other columns. */
export function payloadSelection({ payload }: TableFacts): string {
  if (payload.length === 0) return `'{}'::pg_catalog.text`;
  const columns = payload.map(({ name }) => `${ALIAS}.${quoted(name)}`).join(', ');
  const all = `(select pg_catalog.row_to_json(p)::pg_catalog.text from (select ${columns}) p)`;
  const [only] = payload;
  if (payload.length > 1 || only?.isJson !== true) return all;
  const value = `${ALIAS}.${quoted(only.name)}`;
  return `case when pg_catalog.json_typeof(${value}::pg_catalog.text::pg_catalog.json) = 'object' then ${value}::pg_catalog.text else ${all} end`;
}

/** A vector as float32. */
function vectorSelection({ extension }: TableFacts, { name, type }: VectorColumnFacts): string {
  const column = `${ALIAS}.${quoted(name)}`;
  return type === 'vector' ? column : `${column}::${extension}.vector`;
}

/** What one statement reads. */
export interface ReadRows {
  /** Null to read keys only. */
  readonly vector: VectorColumnFacts | null;
  readonly withPayload: boolean;
  readonly conditions: readonly string[];
  /** An `order by` expression; if absent, the order of ids. */
  readonly order?: string;
  readonly limit?: number;
  /** `tablesample ...`; if absent, all rows. */
  readonly sampling?: string;
}

/** Returns a statement that copies rows in binary form. */
export function copyStatement(table: TableFacts, of: ReadRows): string {
  const columns = [
    ...keySelection(table),
    ...(of.vector === null ? [] : [vectorSelection(table, of.vector)]),
    ...(of.withPayload ? [payloadSelection(table)] : []),
  ];
  const where = of.conditions.length === 0 ? '' : ` where ${of.conditions.join(' and ')}`;
  const limit = of.limit === undefined ? '' : ` limit ${of.limit}`;
  const { sampling = '', order = orderOf(table) } = of;
  return `copy (select ${columns.join(', ')} from ${table.statementName} ${ALIAS} ${sampling}${where} order by ${order}${limit}) to stdout (format binary)`;
}

/** A condition that holds for rows with a vector of the column's length. */
export function hasVectorCondition({ extension }: TableFacts, vector: VectorColumnFacts): string {
  const column = `${ALIAS}.${quoted(vector.name)}`;
  return vector.hasFixedDim ? `${column} is not null` : `${extension}.vector_dims(${column}) = ${vector.dim}`;
}
