import type { Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import type { CompactForm, EncoderInDatabase } from '../../../src/store/beside/projecting-source.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import type { ReadTransaction } from '../connect/connections.js';
import { encoderId } from '../sql/encoder-script.js';
import { searchedColumn, type SearchedVector } from './search-rows.js';

/** Compact vectors of a table, as searches compare them. */
export interface SearchedBeside {
  readonly searched: SearchedVector;
  readonly form: CompactForm;
}

/** A request for the compact vectors of a column by an encoder. */
export interface CompactRequest {
  readonly column: VectorColumnFacts;
  readonly encoder: EncoderInDatabase;
}

/** The note on every search in one pass. */
export const APPROXIMATE =
  'distances of a search in one pass, and of an operator over compact vectors, are approximate; after rescoring they are those of the full vectors';

/** Returns how a table is searched by the function of an encoder. @throws NOT_FOUND without that function */
export async function compactExpression(
  transaction: ReadTransaction,
  table: TableFacts,
  { column, encoder }: CompactRequest,
): Promise<SearchedBeside> {
  const name = `project_${encoderId(encoder.fingerprint)}`;
  const schema = await schemaOf(transaction, name);
  const indexed = await indexedExpression(transaction, table, { name, distance: encoder.compactDistance });
  const operand =
    column.type === 'vector' ? quoted(column.name) : `${quoted(column.name)}::${table.extension}.vector`;
  const searched: SearchedVector = {
    ...searchedColumn(table, column),
    name: `${schema}.${name}`,
    // Exactly as the index has it, if there is one.
    expression: indexed?.expression ?? `${quoted(schema)}.${quoted(name)}(${operand})`,
    type: indexed?.type ?? 'vector',
    dim: encoder.outputDim,
    distance: encoder.compactDistance,
  };
  const notes = [
    APPROXIMATE,
    ...(indexed === null
      ? [`no index holds ${searched.name}: every search projects all rows, and its time says nothing`]
      : []),
  ];
  const description = compactDescription(searched.name, table, { column, encoder });
  return { searched, form: { description, notes, warnings: [], isMigrated: false, indexBytes: null } };
}

/** Describes compact vectors beside full ones, for searches by their name. */
export function compactDescription(
  compact: string,
  table: TableFacts,
  { column, encoder }: CompactRequest,
): CompactForm['description'] {
  return {
    format: 1,
    encoder: encoder.fingerprint,
    layout: 'two-stage',
    source: table.name,
    vector: column.name,
    compact,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance: column.distance,
  };
}

/** @throws MISMATCH for an encoder of vectors of another length */
export function checkLengths({ name: table }: TableFacts, { column, encoder }: CompactRequest): void {
  if (column.dim === encoder.inputDim) return;
  throw new TldrError(
    'MISMATCH',
    `"${column.name}" of ${table} has ${column.dim} dimensions, the encoder expects ${encoder.inputDim}`,
  );
}

/** Returns the schema of an encoder's function. */
async function schemaOf({ query }: ReadTransaction, name: string): Promise<string> {
  const [row] = await query(
    `select n.nspname::pg_catalog.text as schema from pg_catalog.pg_proc p
     join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where p.proname = $1 order by n.nspname <> 'tldr', n.nspname limit 1`,
    [name],
  );
  if (row !== undefined) return textIn(row, 'schema');
  throw new TldrError('NOT_FOUND', `the database has no function ${name}, which would be this encoder`, {
    hint: 'encoder-script',
  });
}

/** Returns the expression of the oldest index on an encoder's function; null without one. */
async function indexedExpression(
  { query }: ReadTransaction,
  { oid }: TableFacts,
  { name, distance }: { readonly name: string; readonly distance: Distance },
): Promise<Pick<SearchedVector, 'expression' | 'type'> | null> {
  const [row] = await query(
    `select pg_catalog.pg_get_expr(i.indexprs, i.indrelid) as expression, o.opcname::pg_catalog.text as operators
     from pg_catalog.pg_index i
     join pg_catalog.pg_opclass o on o.oid = i.indclass[0]
     where i.indrelid = $1::pg_catalog.oid and i.indisvalid and i.indexprs is not null and i.indpred is null
       and pg_catalog.strpos(pg_catalog.pg_get_expr(i.indexprs, i.indrelid), $2) > 0
       and o.opcname = any(array['vector_' || $3, 'halfvec_' || $3]) order by i.indexrelid limit 1`,
    [oid, name, OPERATORS[distance].indexClass],
  );
  if (row === undefined) return null;
  const type = textIn(row, 'operators').startsWith('halfvec') ? 'halfvec' : 'vector';
  return { expression: textIn(row, 'expression'), type };
}
