import { createHash } from 'node:crypto';
import { TldrError } from '../../../src/core/errors.js';
import { partsOfName, quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { Row } from '../connect/connections.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import {
  INDEX_ROWS,
  functionBody,
  isMetadata,
  unknownSearch,
  type Building,
  type Parameter,
  type Roles,
} from './search-query.js';
import type { SessionQuery } from '../connect/session.js';

/** The function that guides of pgvector and many clients call. */
const DEFAULT_NAME = 'match_documents';
/** A search function, as a cut-over makes it. */
export interface SearchFunction {
  /** Name with the types of its arguments, for statements. */
  readonly signature: string;
  /** Statements that make it, with settings of the index, and without where the server forbids those. */
  readonly statement: string;
  readonly plainStatement: string;
  /** The statement that puts back what was there. */
  readonly undo: string;
  readonly isNew: boolean;
  /** A statement that calls it once, with a vector as its parameter. */
  readonly trial: string;
}

interface ExistingFunction {
  readonly signature: string;
  readonly definition: string;
  readonly inputs: readonly Parameter[];
  /** Null if it returns rows of the table itself. */
  readonly outputs: readonly Parameter[] | null;
}

/** Returns the search function that a cut-over makes or replaces. @throws UNSUPPORTED for one of an unknown form */
export async function planSearchFunction(
  query: SessionQuery,
  facts: MigrationFacts,
  { name = DEFAULT_NAME, candidates }: { readonly name: string | undefined; readonly candidates: number },
): Promise<SearchFunction> {
  const oid = name.includes('(') ? await functionNumber(query, name) : null;
  // Names are written with their schemas then, as in a dump.
  await query('set local search_path = pg_catalog');
  const columns = await columnsOf(query, facts);
  const found = await findFunction(query, facts, { name, oid });
  return found === null
    ? newFunction(facts, { columns, name, candidates, isRescored: true })
    : replacedFunction(facts, { columns, found, candidates, isRescored: true });
}

/**
 * Returns what replaces the function of a cut-over when the full vectors are deleted: it searches by compact vectors alone.
 * @throws UNSUPPORTED if the function returns full vectors, or has scores that compact ones do not have
 */
export async function planOnePassFunction(
  query: SessionQuery,
  facts: MigrationFacts,
  signature: string,
): Promise<SearchFunction> {
  const oid = await functionNumber(query, signature);
  await query('set local search_path = pg_catalog');
  const columns = (await columnsOf(query, facts)).filter(({ name }) => name !== facts.column);
  const found = await findFunction(query, facts, { name: signature, oid });
  if (found === null) throw new TldrError('NOT_FOUND', `there is no function ${signature}`);
  // Scores are those of the compact vectors.
  const scored = { ...facts, distance: facts.compactDistance };
  return replacedFunction(scored, { columns, found, candidates: 1, isRescored: false });
}

/** Digest of a function's definition; null if there is no such function. */
export async function functionDigest(query: SessionQuery, signature: string): Promise<string | null> {
  const [row] = await query(
    `select p.prosrc as body from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure($1)`,
    [signature],
  );
  return row === undefined ? null : createHash('sha256').update(textIn(row, 'body')).digest('hex');
}

async function functionNumber(query: SessionQuery, signature: string): Promise<string> {
  const [row] = await query(`select pg_catalog.to_regprocedure($1)::pg_catalog.oid::pg_catalog.text as oid`, [
    signature,
  ]);
  const oid = row?.['oid'];
  if (typeof oid === 'string') return oid;
  throw new TldrError('NOT_FOUND', `there is no function ${signature}`);
}

async function columnsOf(query: SessionQuery, facts: MigrationFacts): Promise<readonly Parameter[]> {
  const rows = await query(
    `select attname::pg_catalog.text as name, pg_catalog.format_type(atttypid, atttypmod) as type from pg_catalog.pg_attribute
     where attrelid = pg_catalog.to_regclass($1) and attnum > 0 and not attisdropped order by attnum`,
    [objectsOf(facts).base],
  );
  return rows.map(parameterIn);
}

function parameterIn(row: Row): Parameter {
  return { name: textIn(row, 'name'), type: textIn(row, 'type') };
}

async function findFunction(
  query: SessionQuery,
  facts: MigrationFacts,
  { name, oid: given }: { readonly name: string; readonly oid: string | null },
): Promise<ExistingFunction | null> {
  const { base } = objectsOf(facts);
  const [first, second] = partsOfName(name.split('(')[0] ?? '') ?? [];
  if (first === undefined) throw new TldrError('INVALID_ARGUMENT', `"${name}" is no name of a function`);
  const [schema, own] = second === undefined ? [facts.schema, first] : [first.text, second];
  const rows = await query(
    `select p.oid::pg_catalog.text as oid, p.oid::pg_catalog.regprocedure::pg_catalog.text as signature, pg_catalog.pg_get_functiondef(p.oid) as definition,
       pg_catalog.pg_has_role(p.proowner, 'usage')::pg_catalog.text as "isOurs", pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(p.proowner)) as owner,
       (p.proretset and p.prorettype = (select reltype from pg_catalog.pg_class where oid = pg_catalog.to_regclass($3)))::pg_catalog.text as "isTable",
       p.proretset::pg_catalog.text as "isSet"
     from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where p.prokind = 'f' and (p.oid = $4::pg_catalog.oid or ($4 is null and n.nspname = $1 and p.proname = $2)) order by 2`,
    [schema, own.text, base, given],
  );
  const [row, another] = rows;
  if (row === undefined) return null;
  const signature = textIn(row, 'signature');
  if (another !== undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `there are several functions of this name: give one with its types, as in ${rows.map((one) => `"${textIn(one, 'signature')}"`).join(' or ')}`,
    );
  if (textIn(row, 'isOurs') !== 'true')
    throw new TldrError(
      'FORBIDDEN',
      `${signature} belongs to ${textIn(row, 'owner')}, who alone can replace it. Connect as that role, or ask an administrator for: alter function ${signature} owner to current_user;`,
    );
  if (textIn(row, 'isSet') !== 'true') throw unknownSearch(signature, 'it returns a single row');
  if (!namesTable(textIn(row, 'definition'), facts))
    throw unknownSearch(
      signature,
      `it does not name the table "${facts.table}", so it may search another one`,
    );
  const isTable = textIn(row, 'isTable') === 'true';
  const oid = textIn(row, 'oid');
  return {
    signature,
    definition: textIn(row, 'definition'),
    inputs: await parametersOf(query, oid, 'i'),
    outputs: isTable ? null : await parametersOf(query, oid, 't'),
  };
}

function namesTable(definition: string, { table }: MigrationFacts): boolean {
  const escaped = table.replaceAll('"', '""').replaceAll(/[^\p{L}\p{N}_ ]/gu, '\\$&');
  return new RegExp(`(?<![\\p{L}\\p{N}_$])${escaped}(?![\\p{L}\\p{N}_$])`, 'iu').test(definition);
}

async function parametersOf(
  query: SessionQuery,
  oid: string,
  mode: 'i' | 't',
): Promise<readonly Parameter[]> {
  const rows = await query(
    `select coalesce(p.proargnames[a.ord], '') as name, pg_catalog.format_type(a.type, null) as type
     from pg_catalog.pg_proc p, pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::pg_catalog.oid[])) with ordinality a(type, ord)
     where p.oid = $1::pg_catalog.oid and coalesce(p.proargmodes[a.ord], 'i') = $2::"char" order by a.ord`,
    [oid, mode],
  );
  return rows.map(parameterIn);
}

const WHOLE_TYPES = ['integer', 'bigint', 'smallint'];
const REAL_TYPES = ['double precision', 'real', 'numeric'];

function rolesOf(
  facts: MigrationFacts,
  { signature, inputs }: Pick<ExistingFunction, 'signature' | 'inputs'>,
): Roles {
  const vectorTypes = ['vector', 'halfvec'].flatMap((type) => [
    type,
    `${facts.extension}.${type}`,
    `${facts.extension.slice(1, -1)}.${type}`,
  ]);
  let query: string | null = null;
  let count: string | null = null;
  let threshold: string | null = null;
  let filter: string | null = null;
  for (const [i, { name, type }] of inputs.entries()) {
    const own = `$${i + 1}`;
    if (vectorTypes.includes(type) && query === null) query = own;
    else if (WHOLE_TYPES.includes(type) && count === null) count = own;
    else if (REAL_TYPES.includes(type) && /threshold|similarity/i.test(name) && threshold === null)
      threshold = own;
    else if (type === 'jsonb' && /filter/i.test(name) && filter === null) filter = own;
    else
      throw unknownSearch(signature, `it has a parameter "${name}" of type ${type}, whose use is not known`);
  }
  if (query === null || count === null)
    throw unknownSearch(
      signature,
      'it needs one parameter that is a vector and one for the number of results',
    );
  return { query, count, threshold, filter };
}

function replacedFunction(
  facts: MigrationFacts,
  { columns, found, candidates, isRescored }: Building & { readonly found: ExistingFunction },
): SearchFunction {
  const { signature, definition, inputs, outputs } = found;
  const roles = rolesOf(facts, found);
  const header = (definition.split(/^(?:AS |BEGIN ATOMIC|RETURN )/m)[0] ?? '')
    .replace(/^ LANGUAGE \S+/m, ' LANGUAGE plpgsql')
    .replaceAll(/^ SET "?hnsw\..*\n/gm, '');
  const body = { columns, roles, outputs, signature, candidates, isRescored };
  return {
    signature,
    statement: `${header}${SETTINGS}AS ${functionBody(facts, { ...body, hasSettings: true })}`,
    plainStatement: `${header}AS ${functionBody(facts, { ...body, hasSettings: false })}`,
    undo: definition,
    isNew: false,
    trial: trialOf(signature, inputs, facts),
  };
}

const SETTINGS = ` SET hnsw.ef_search TO '${INDEX_ROWS}'\n SET hnsw.iterative_scan TO 'strict_order'\n`;

function newFunction(
  facts: MigrationFacts,
  { columns, name, candidates, isRescored }: Building & { readonly name: string },
): SearchFunction {
  const [first, second] = partsOfName(name) ?? [];
  const own = second ?? first;
  const schema = second === undefined ? facts.schema : (first?.text ?? facts.schema);
  const qualified = `${quoted(schema)}.${quoted(own?.text ?? name)}`;
  const hasFilter = columns.some(isMetadata);
  const vector = `${facts.extension}.vector`;
  const inputs: readonly Parameter[] = [
    { name: 'query_embedding', type: `${facts.extension.slice(1, -1)}.vector` },
    { name: 'match_count', type: 'integer' },
    ...(hasFilter ? [{ name: 'filter', type: 'jsonb' }] : []),
  ];
  const kept = columns.filter((column) => column.name !== facts.column);
  const score = facts.distance === 'cosine' || facts.distance === 'dot' ? 'similarity' : 'distance';
  const outputs = [...kept, { name: score, type: 'double precision' }];
  const names = [...inputs, ...outputs].map((one) => one.name);
  const twice = names.find((own, i) => names.indexOf(own) !== i);
  if (twice !== undefined)
    throw new TldrError(
      'UNSUPPORTED',
      `the new function would have two columns or parameters named "${twice}", because the table has a column of this name: first make a function that returns the columns that clients need, and replace that one`,
    );
  const signature = `${qualified}(${vector}, integer${hasFilter ? ', jsonb' : ''})`;
  const header = `create function ${qualified}(query_embedding ${vector}, match_count integer default 10${hasFilter ? `, filter jsonb default '{}'` : ''})
 returns table(${outputs.map((column) => `${quoted(column.name)} ${column.type}`).join(', ')})
 language plpgsql stable
`;
  const roles = rolesOf(facts, { signature, inputs });
  const body = { columns, roles, outputs, signature, candidates, isRescored };
  return {
    signature,
    statement: `${header}${SETTINGS}as ${functionBody(facts, { ...body, hasSettings: true })}`,
    plainStatement: `${header}as ${functionBody(facts, { ...body, hasSettings: false })}`,
    undo: `drop function ${signature}`,
    isNew: true,
    trial: trialOf(signature, inputs, facts),
  };
}

/** A call with the vector as its parameter. */
function trialOf(signature: string, inputs: readonly Parameter[], { extension }: MigrationFacts): string {
  const name = signature.slice(0, signature.lastIndexOf('('));
  const values = inputs.map(({ type }) => {
    if (WHOLE_TYPES.includes(type))
      return `1::pg_catalog.${type === 'integer' ? 'int4' : type === 'bigint' ? 'int8' : 'int2'}`;
    if (REAL_TYPES.includes(type)) return `'-1'`;
    return type === 'jsonb' ? `'{}'` : `$1::${extension}.${type.endsWith('halfvec') ? 'halfvec' : 'vector'}`;
  });
  return `select pg_catalog.count(*) from ${name}(${values.join(', ')})`;
}
