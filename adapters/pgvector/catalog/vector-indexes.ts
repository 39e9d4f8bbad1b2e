import type { Distance } from '../../../src/core/distance.js';
import { expectDefined } from '../../../src/core/errors.js';
import type { ReadTransaction } from '../connect/connections.js';
import { numberIn, textIn } from './values.js';

/** An index for searches of a column of vectors. */
export interface VectorIndexFacts {
  readonly method: 'hnsw' | 'ivfflat';
  /** What it holds: an index on a cast can be of another type than the column. */
  readonly type: 'vector' | 'halfvec';
  /** Of `hnsw`: links of each row, and candidates while it is built. */
  readonly m: number;
  readonly efConstruction: number;
  /** Of `ivfflat`. */
  readonly lists: number | null;
}

const DISTANCE_OF_CLASS: Readonly<Record<string, Distance>> = {
  cosine: 'cosine',
  ip: 'dot',
  l2: 'euclid',
  l1: 'manhattan',
};

/**
 * A condition that holds for an index on a function of an encoder, which has no full vectors.
 * @param index an expression: its number in the catalogue
 */
export function isOnEncoder(index: string): string {
  return `exists (select from pg_catalog.pg_depend u join pg_catalog.pg_proc p on p.oid = u.refobjid
    where u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and u.objid = ${index}
      and u.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.proname ~ '^project_(query_)?[0-9a-f]{12}(_[0-9a-f]+)?$')`;
}

/** Returns the oldest valid index of each column of vectors that has one, and its distance. */
export async function vectorIndexes(
  { query }: ReadTransaction,
  oid: string,
): Promise<ReadonlyMap<string, { readonly distance: Distance; readonly index: VectorIndexFacts }>> {
  const option = (name: string, otherwise: number): string =>
    `coalesce((select o.option_value from pg_catalog.pg_options_to_table(c.reloptions) o where o.option_name = '${name}'), '${otherwise}')`;
  // An index on an expression, such as a cast to halfvec, depends on the columns of the expression.
  const rows = await query(
    `select distinct on (a.attnum) a.attname::pg_catalog.text as name, m.amname::pg_catalog.text as method,
       pg_catalog.substring(o.opcname::pg_catalog.text, '^(vector|halfvec)_') as type,
       pg_catalog.substring(o.opcname::pg_catalog.text, '(cosine|ip|l2|l1)_ops$') as operators,
       ${option('m', 16)} as m, ${option('ef_construction', 64)} as ef, ${option('lists', 100)} as lists
     from pg_catalog.pg_index i
     join pg_catalog.pg_class c on c.oid = i.indexrelid
     join pg_catalog.pg_am m on m.oid = c.relam and m.amname in ('hnsw', 'ivfflat')
     join pg_catalog.pg_opclass o on o.oid = i.indclass[0] and o.opcname ~ '^(vector|halfvec)_(cosine|ip|l2|l1)_ops$'
     join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid
       and d.refclassid = d.classid and d.refobjid = i.indrelid and d.refobjsubid > 0
     join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid
     where i.indrelid = $1::pg_catalog.oid and i.indisvalid order by a.attnum, i.indexrelid`,
    [oid],
  );
  return new Map(
    rows.map((row) => {
      const method = textIn(row, 'method') === 'hnsw' ? 'hnsw' : 'ivfflat';
      const distance = expectDefined(DISTANCE_OF_CLASS[textIn(row, 'operators')], 'the distance of an index');
      const index: VectorIndexFacts = {
        method,
        type: textIn(row, 'type') === 'halfvec' ? 'halfvec' : 'vector',
        m: numberIn(row, 'm'),
        efConstruction: numberIn(row, 'ef'),
        lists: method === 'ivfflat' ? numberIn(row, 'lists') : null,
      };
      return [textIn(row, 'name'), { distance, index }];
    }),
  );
}
