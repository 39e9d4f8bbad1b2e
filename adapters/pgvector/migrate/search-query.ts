import { TldrError } from '../../../src/core/errors.js';
import { dollarQuoted, literal, quoted } from '../catalog/identifiers.js';
import { OPERATORS } from '../catalog/vector-operators.js';
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

/** Returns the parts of a query that clients send themselves, for ten results. */
export function clientParts(facts: MigrationFacts, candidates = 10): SearchParts {
  return {
    selected: '(first."row").*, first.distance',
    query: '$1',
    compactQuery: compactQueryOf(facts, '$1'),
    filter: '',
    threshold: '',
    candidates: String(candidates),
    limit: '10',
  };
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

/**
 * Returns a search by compact vectors alone, for a table without the full ones. Parts that name the full query or the
 * candidates are not used.
 * @param isExact compares all rows: no index has such an order
 */
export function onePassStatement(
  facts: MigrationFacts,
  { compactQuery, filter, threshold, limit, selected }: SearchParts,
  { isExact }: { readonly isExact: boolean },
): string {
  const { rows, compact } = compactRows(facts);
  const where = filter === '' ? '' : ` where ${filter}`;
  const kept = threshold === '' ? '' : ` where ${threshold}`;
  const distance = `${compact} ${operator(facts, OPERATORS[facts.compactDistance].sign)} ${compactQuery}`;
  const nearest = isExact ? '' : `\n  order by ${distance} limit ${limit}`;
  const order = isExact ? 'first.distance operator(pg_catalog.+) 0' : 'first.distance';
  return `select ${selected} from (
  select ${wholeRow(facts)} as "row", ${distance} as distance
  from ${rows}${where}${nearest}
) first${kept} order by ${order} limit ${limit}`;
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
function fullSearchStatement(facts: MigrationFacts, parts: SearchParts): string {
  const { query, filter, threshold, limit, selected } = parts;
  const where = filter === '' ? '' : ` where ${filter}`;
  const kept = threshold === '' ? '' : ` where ${threshold}`;
  return `select ${selected} from (
  select ${wholeRow(facts)} as "row", ${fullDistance(facts, query)} as distance from ${objectsOf(facts).base} t${where}
) first${kept} order by first.distance limit ${limit}`;
}

/** An index returns no more rows than this; without a setting, no more than the second. */
const INDEX_ROWS_MAX = 1_000;
export const INDEX_ROWS = 40;
/** First-stage results for each result, if many results are asked for. */
const CANDIDATES_PER_RESULT = 4;

/** A parameter or a result of a function. */
export interface Parameter {
  readonly name: string;
  readonly type: string;
}

/** The error for a function whose form is not known. */
export function unknownSearch(signature: string, why: string): TldrError {
  return new TldrError(
    'UNSUPPORTED',
    `${signature} cannot be replaced, because ${why}. Use the form "none", which prints the query to put into it`,
  );
}

/** What a parameter of a search function is for. */
export interface Roles {
  readonly query: string;
  readonly count: string;
  readonly threshold: string | null;
  readonly filter: string | null;
}

const SCORE_NAMES = /^(similarity|score)$/i;

/** The score that guides of pgvector use: larger is nearer. */
function scoreOf({ distance }: MigrationFacts, signature: string): string {
  if (distance === 'cosine') return '(1 - first.distance)';
  if (distance === 'dot') return '(- first.distance)';
  throw unknownSearch(signature, `there is no usual score for the distance ${distance}`);
}

/** How a search function is made. */
export interface Building {
  readonly columns: readonly Parameter[];
  readonly candidates: number;
  /** Whether the full vectors order and score the candidates. */
  readonly isRescored: boolean;
}

/** Whether a column is the one that a filter compares. */
export function isMetadata({ name, type }: Parameter): boolean {
  return name === 'metadata' && type === 'jsonb';
}

interface BodyParts extends Building {
  readonly roles: Roles;
  readonly outputs: readonly Parameter[] | null;
  readonly signature: string;
  /** Whether the function sets how many rows an index returns. */
  readonly hasSettings: boolean;
}

/**
 * Returns the body, which asks the database to plan the search each time with its limit: a plan for any limit would read
 * the whole table.
 */
export function functionBody(facts: MigrationFacts, parts: BodyParts): string {
  const { roles, hasSettings, candidates, isRescored } = parts;
  const used = [roles.query, roles.threshold, roles.filter].filter((one): one is string => one !== null);
  const place = (parameter: string): string => `$${used.indexOf(parameter) + 1}`;
  const search: SearchParts = {
    selected: selectedOf(facts, parts),
    query: place(roles.query),
    compactQuery: `$${used.length + 1}`,
    filter: roles.filter === null ? '' : `t.metadata operator(pg_catalog.@>) ${place(roles.filter)}`,
    threshold:
      roles.threshold === null ? '' : `${scoreOf(facts, parts.signature)} > ${place(roles.threshold)}`,
    candidates: CANDIDATES,
    limit: LIMIT,
  };
  if (roles.filter !== null && !parts.columns.some(isMetadata))
    throw unknownSearch(
      parts.signature,
      'it has a filter, and the table has no column "metadata" of type jsonb',
    );
  const compact = compactQueryOf(facts, roles.query);
  const [some, all] = statementsOf(facts, search, parts);
  const most = hasSettings ? INDEX_ROWS_MAX : INDEX_ROWS;
  const wanted = isRescored
    ? `greatest(${Math.min(most, candidates)}, ${CANDIDATES_PER_RESULT} * ${roles.count}::pg_catalog.int8)`
    : `${roles.count}::pg_catalog.int8`;
  const setting = hasSettings
    ? `\n  perform pg_catalog.set_config('hnsw.ef_search', greatest(${INDEX_ROWS}, tldr_candidates)::pg_catalog.text, true);`
    : '';
  const body = `
declare
  tldr_candidates pg_catalog.int8 := least(${most}, ${wanted});
begin
  if ${roles.count} is null or ${roles.count} > tldr_candidates then
    return query execute pg_catalog.format(${formatText(all)}, null, coalesce(${roles.count}::pg_catalog.text, 'all'))
      using ${[...used, compact].join(', ')};
    return;
  end if;${setting}
  return query execute pg_catalog.format(${formatText(some)}, tldr_candidates, ${roles.count})
    using ${[...used, compact].join(', ')};
end `;
  return dollarQuoted('tldr', body);
}

/** The search for as many rows as an index returns, and the one for more. */
function statementsOf(
  facts: MigrationFacts,
  search: SearchParts,
  { isRescored }: BodyParts,
): [string, string] {
  if (isRescored) return [twoStageStatement(facts, search), fullSearchStatement(facts, search)];
  return [
    onePassStatement(facts, search, { isExact: false }),
    onePassStatement(facts, search, { isExact: true }),
  ];
}

/** Stand for the numbers of a search until `format` puts them in. */
const [CANDIDATES, LIMIT] = ['\u0001', '\u0002'];

/** A statement as the first argument of `format`. */
function formatText(statement: string): string {
  const text = statement.replaceAll('%', '%%').replaceAll(CANDIDATES, '%1$s').replaceAll(LIMIT, '%2$s');
  return literal(text);
}

function selectedOf(facts: MigrationFacts, { columns, outputs, signature }: BodyParts): string {
  if (outputs === null) return '(first."row").*';
  return outputs
    .map(({ name, type }) => {
      if (columns.some((column) => column.name === name)) {
        const value = `(first."row").${quoted(name)}`;
        const isText = name === facts.column && type === 'jsonb';
        return isText ? `${value}::pg_catalog.text::pg_catalog.jsonb` : `${value}::${type}`;
      }
      if (SCORE_NAMES.test(name)) return `${scoreOf(facts, signature)}::${type}`;
      if (name === 'distance') return `first.distance::${type}`;
      throw unknownSearch(signature, `it returns "${name}", which is no column of the table and no score`);
    })
    .join(', ');
}
