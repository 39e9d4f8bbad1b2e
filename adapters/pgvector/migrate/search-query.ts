import { OPERATORS } from '../catalog/vector-operators.js';
import { quoted } from '../catalog/identifiers.js';
import { indexedProjection } from './base-index.js';
import { baseKeys, compactTypeOf, objectsOf, operator, sideKeys, type MigrationFacts } from './objects.js';

/** Parts of a search in two stages. */
export interface SearchParts {
  /** What the result has, from `first`, which has the table's row as `row` and the distance of the full vectors. */
  readonly selected: string;
  /** Expressions of the full query vector and of the compact one. */
  readonly query: string;
  readonly compactQuery: string;
  /** A condition on `t`, the table; '' for all rows. */
  readonly filter: string;
  /** A condition on `first`; '' for all. */
  readonly threshold: string;
  readonly candidates: string;
  readonly limit: string;
}

/** The distance of full vectors. */
function fullDistance(facts: MigrationFacts, query: string): string {
  const { extension, column, columnType, distance } = facts;
  const sign = operator(facts, OPERATORS[distance].sign);
  return `t.${quoted(column)} ${sign} (${query})::${extension}.${columnType}`;
}

/** The row of the table as one value. A column may be named as the table is here. */
function wholeRow(facts: MigrationFacts): string {
  return `(t.*)::${objectsOf(facts).base}`;
}

/** The compact vector of a query. */
export function compactQueryOf(facts: MigrationFacts, query: string): string {
  if (facts.layout === 'index-only')
    return indexedProjection(facts, `(${query})::${facts.extension}.vector`, 'indexedProjectQuery');
  const { projectQuery } = objectsOf(facts);
  return `${projectQuery}((${query})::${facts.extension}.vector)::${compactTypeOf(facts)}`;
}

/**
 * Returns a search: candidates by compact vectors, then the order of the full ones. The table is named first, so that it
 * is locked first, as a TRUNCATE of it locks first the table and then the compact vectors.
 */
export function twoStageStatement(facts: MigrationFacts, parts: SearchParts): string {
  const { query, compactQuery, filter, threshold, candidates, limit, selected } = parts;
  const { rows, compact } = compactRows(facts);
  const where = filter === '' ? '' : ` where ${filter}`;
  const kept = threshold === '' ? '' : ` where ${threshold}`;
  const sign = operator(facts, OPERATORS[facts.compactDistance].sign);
  return `select ${selected} from (
  select ${wholeRow(facts)} as "row", ${fullDistance(facts, query)} as distance
  from ${rows}${where}
  order by ${compact} ${sign} ${compactQuery} limit ${candidates}
) first${kept} order by first.distance limit ${limit}`;
}

/** Returns where the compact vectors of `t`, the table, are. */
function compactRows(facts: MigrationFacts): { readonly rows: string; readonly compact: string } {
  const { base, side } = objectsOf(facts);
  if (facts.layout === 'index-only')
    return {
      rows: `${base} t`,
      compact: indexedProjection(facts, `t.${quoted(facts.column)}`, 'indexedProject'),
    };
  const keys = sideKeys(facts);
  const same = baseKeys(facts, 't').map((column, i) => `${column} = s.${keys[i]}`);
  return { rows: `${base} t join ${side} s on ${same.join(' and ')}`, compact: 's.z' };
}

/** Returns a search by full vectors alone. */
export function fullSearchStatement(facts: MigrationFacts, parts: SearchParts): string {
  const { query, filter, threshold, limit, selected } = parts;
  const where = filter === '' ? '' : ` where ${filter}`;
  const kept = threshold === '' ? '' : ` where ${threshold}`;
  return `select ${selected} from (
  select ${wholeRow(facts)} as "row", ${fullDistance(facts, query)} as distance from ${objectsOf(facts).base} t${where}
) first${kept} order by first.distance limit ${limit}`;
}
