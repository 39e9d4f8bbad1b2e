import type { Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import type { CompactForm, EncoderInDatabase } from '../../../src/store/beside/projecting-source.js';
import type { TableFacts, VectorColumnFacts } from '../catalog/describe-table.js';
import { quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { ReadTransaction } from '../connect/connections.js';
import { encoderId } from '../sql/encoder-script.js';

/** Compact vectors of a table as an expression of its columns. */
export interface CompactExpression {
  /** The name for searches, which no column has. */
  readonly name: string;
  readonly outputDim: number;
  /** Exactly as the index has it, if there is one. */
  readonly expression: string;
  readonly type: 'vector' | 'halfvec';
  readonly distance: Distance;
}

const CLASSES: Readonly<Record<Distance, string>> = {
  cosine: 'cosine_ops',
  dot: 'ip_ops',
  euclid: 'l2_ops',
  manhattan: 'l1_ops',
};

/** Returns how a table is searched by the function of an encoder. @throws NOT_FOUND without that function */
export async function compactExpression(
  transaction: ReadTransaction,
  table: TableFacts,
  { column, encoder }: { readonly column: VectorColumnFacts; readonly encoder: EncoderInDatabase },
): Promise<{ readonly compact: CompactExpression; readonly form: CompactForm }> {
  if (column.dim !== encoder.inputDim)
    throw new TldrError(
      'MISMATCH',
      `"${column.name}" of ${table.name} has ${column.dim} dimensions, the encoder expects ${encoder.inputDim}`,
    );
  const name = `project_${encoderId(encoder.fingerprint)}`;
  const schema = await schemaOf(transaction, name);
  const indexed = await indexedExpression(transaction, table, { name, distance: encoder.compactDistance });
  const operand =
    column.type === 'vector' ? quoted(column.name) : `${quoted(column.name)}::${table.extension}.vector`;
  const compact: CompactExpression = {
    name: `${schema}.${name}`,
    outputDim: encoder.outputDim,
    expression: indexed?.expression ?? `${quoted(schema)}.${quoted(name)}(${operand})`,
    type: indexed?.type ?? 'vector',
    distance: encoder.compactDistance,
  };
  const form: CompactForm = {
    description: {
      format: 1,
      encoder: encoder.fingerprint,
      layout: 'two-stage',
      source: table.name,
      vector: column.name,
      compact: compact.name,
      inputDim: encoder.inputDim,
      outputDim: encoder.outputDim,
      distance: column.distance,
    },
    notes: notesOf(compact, indexed !== null),
  };
  return { compact, form };
}

function notesOf({ name }: CompactExpression, isIndexed: boolean): string[] {
  const approximate =
    'distances of a search in one pass, and of an operator over compact vectors, are approximate; after rescoring they are those of the full vectors';
  return [
    approximate,
    ...(isIndexed
      ? []
      : [`no index holds ${name}: every search projects all rows, and its time says nothing`]),
  ];
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
): Promise<Pick<CompactExpression, 'expression' | 'type'> | null> {
  const [row] = await query(
    `select pg_catalog.pg_get_expr(i.indexprs, i.indrelid) as expression, o.opcname::pg_catalog.text as operators
     from pg_catalog.pg_index i
     join pg_catalog.pg_opclass o on o.oid = i.indclass[0]
     where i.indrelid = $1::pg_catalog.oid and i.indisvalid and i.indexprs is not null and i.indpred is null
       and pg_catalog.strpos(pg_catalog.pg_get_expr(i.indexprs, i.indrelid), $2) > 0
       and o.opcname = any(array['vector_' || $3, 'halfvec_' || $3]) order by i.indexrelid limit 1`,
    [oid, name, CLASSES[distance]],
  );
  if (row === undefined) return null;
  const type = textIn(row, 'operators').startsWith('halfvec') ? 'halfvec' : 'vector';
  return { expression: textIn(row, 'expression'), type };
}
