/**
 * A condition that holds for an index that tells every row of its table from all others by its columns alone. It does not
 * hold if a column may be NULL, also in rows from before a NOT NULL that is NOT VALID, nor if the index compares texts
 * more exactly than the column does, nor for a key WITHOUT OVERLAPS.
 * @param index name of `pg_index` in the statement
 */
export function isUniqueKey(index: string): string {
  return `${index}.indisunique and ${index}.indisvalid and not ${index}.indisexclusion
       and ${index}.indpred is null and ${index}.indexprs is null and not exists (
         select from pg_catalog.unnest(${index}.indkey::pg_catalog.int2[]) with ordinality k(num, ord)
         join pg_catalog.pg_attribute a on a.attrelid = ${index}.indrelid and a.attnum = k.num
         left join pg_catalog.pg_collation o on o.oid = a.attcollation
         where k.ord <= ${index}.indnkeyatts and (not a.attnotnull
           or (not o.collisdeterministic and a.attcollation <> ${index}.indcollation[k.ord::pg_catalog.int4 - 1])
           or exists (select from pg_catalog.pg_constraint n where n.conrelid = a.attrelid and n.contype = 'n'
             and n.conkey = array[a.attnum] and not n.convalidated)))`;
}

/** The names of the columns of an index's key, as JSON, in the order of the key. */
export function keyNames(index: string): string {
  return `(select pg_catalog.json_agg(a.attname order by k.ord)
       from pg_catalog.unnest(${index}.indkey::pg_catalog.int2[]) with ordinality k(num, ord)
       join pg_catalog.pg_attribute a on a.attrelid = ${index}.indrelid and a.attnum = k.num
       where k.ord <= ${index}.indnkeyatts)`;
}
