import type { FullForm } from '../../../src/store/adapter.js';
import { partsOfName, quoted } from '../catalog/identifiers.js';
import { OPERATORS } from '../catalog/vector-operators.js';

const TOP = 10;
const PLAIN = /^[a-z_][a-z0-9_]*$/;

/** Returns the statements that index full vectors in a measured form, and that search them. */
export function fullFormSteps({
  collection,
  vector,
  datatype,
  prefix,
  hnswM,
  oversampling,
}: FullForm): readonly string[] {
  const table = (partsOfName(collection) ?? [{ text: collection, isQuoted: true }])
    .map(({ text, isQuoted }) => (PLAIN.test(text) && !isQuoted ? text : quoted(text)))
    .join('.');
  const column = PLAIN.test(vector.name) ? vector.name : quoted(vector.name);
  const type = datatype === 'binary' ? 'bit' : datatype === 'float16' ? 'halfvec' : 'vector';
  const length = prefix ?? vector.dim;
  const formOf = (operand: string): string => {
    if (type === 'bit') return `binary_quantize(${operand})::bit(${length})`;
    return `${prefix === null ? operand : `subvector(${operand}, 1, ${prefix})`}::${type}(${length})`;
  };
  const { sign, indexClass } = OPERATORS[vector.distance];
  const operators = type === 'bit' ? 'bit_hamming_ops' : `${type}_${indexClass}`;
  const by = `${formOf(column)} ${type === 'bit' ? '<~>' : sign} ${formOf('$1')}`;
  const candidates = TOP * oversampling;
  const search =
    oversampling > 1
      ? `select * from (select * from ${table} order by ${by} limit ${candidates}) first order by ${column} ${sign} $1 limit ${TOP};`
      : `select * from ${table} order by ${by} limit ${TOP};`;
  return [
    `create index concurrently on ${table} using hnsw ((${formOf(column)}) ${operators}) with (m = ${hnswM});`,
    ...(candidates > 40 ? [`set hnsw.ef_search = ${candidates};`] : []),
    search,
  ];
}
