import { isTldrError, TldrError } from '../../../src/core/errors.js';
import type { InPlaceStep } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { numberIn, textIn } from '../catalog/values.js';
import { SCHEMA, asVector, compactTypeOf, hnswStatement, objectsOf, type MigrationFacts } from './objects.js';
import { sqlStateOf, type Session, type SessionQuery } from '../connect/session.js';
import type { StoredCutOver } from './state-table.js';

/** One projection costs the server about as much as reading this many of its `cpu_operator_cost`. */
const PROJECTION_COST = 1_000;

/** The compact vector of a row or a query, exactly as the index of the base table has it. */
export function indexedProjection(
  facts: MigrationFacts,
  expression: string,
  by: 'indexedProject' | 'indexedProjectQuery',
): string {
  return `(${objectsOf(facts)[by]}(${asVector(facts, expression)})::${compactTypeOf(facts)})`;
}

/**
 * Returns the step that makes the functions of the index. They run with the rights of the migration's role: a client that
 * writes a row projects its vector, and need not be allowed to read the weights for that. PostgreSQL asks whether the
 * writing role may execute the functions of an index, which defaults of the database may forbid.
 */
export function indexedFunctionsStep(facts: MigrationFacts, readers: readonly string[]): InPlaceStep {
  const { indexedProject, indexedProjectQuery, project, projectQuery } = objectsOf(facts);
  const { extension, symmetric } = facts;
  const signatures = indexedSignatures(facts).join(', ');
  const made = (name: string, calls: string): string =>
    `create or replace function ${name}(full_vector ${extension}.vector) returns ${extension}.vector
language plpgsql immutable strict parallel safe cost ${PROJECTION_COST} security definer set search_path = pg_catalog, pg_temp as $project$
begin
  return ${calls}(full_vector);
end $project$`;
  return {
    title: 'functions for the index, which clients may call without reading the weights',
    statements: [
      made(indexedProject, project),
      ...(symmetric ? [] : [made(indexedProjectQuery, projectQuery)]),
      `grant execute on function ${signatures} to public`,
      ...(readers.length === 0 ? [] : [`grant usage on schema ${quoted(SCHEMA)} to ${readers.join(', ')}`]),
    ],
  };
}

/** The statement that builds the index of an expression of the base table while clients write. */
export function baseIndexStatement(facts: MigrationFacts): string {
  const { base, baseIndexName } = objectsOf(facts);
  const expression = indexedProjection(facts, quoted(facts.column), 'indexedProject');
  return hnswStatement(facts, { name: baseIndexName, table: base, expression });
}

/**
 * Checks what an index of an expression of the base table needs.
 * @throws UNSUPPORTED for a partitioned table and for vectors of any length; FORBIDDEN with what to ask for
 */
export async function checkBaseIndex(query: SessionQuery, facts: MigrationFacts): Promise<void> {
  const { base } = objectsOf(facts);
  if (facts.isPartitioned)
    throw new TldrError(
      'UNSUPPORTED',
      `${base} is partitioned, and PostgreSQL builds no index of such a table while clients write: use the layout side and the form function`,
    );
  const [row] = await query(
    `select a.atttypmod::pg_catalog.text as length, pg_catalog.pg_has_role(c.relowner, 'usage')::pg_catalog.text as "isOwner",
       pg_catalog.has_schema_privilege(c.relnamespace, 'create')::pg_catalog.text as "mayCreate",
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) as owner, pg_catalog.quote_ident(current_user) as role
     from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
     where c.oid = pg_catalog.to_regclass($1) and a.attname = $2 and not a.attisdropped`,
    [base, facts.column],
  );
  if (row === undefined) throw new TldrError('NOT_FOUND', `${base} has no column ${quoted(facts.column)}`);
  if (numberIn(row, 'length') < 0)
    throw new TldrError(
      'UNSUPPORTED',
      `${quoted(facts.column)} of ${base} may hold vectors of any length, and an index of compact vectors would refuse all but ${facts.inputDim}: first give it its length (alter table ${base} alter column ${quoted(facts.column)} type ${facts.extension}.${facts.columnType}(${facts.inputDim}))`,
    );
  const role = textIn(row, 'role');
  const asked = [
    ...(textIn(row, 'isOwner') === 'true' ? [] : [`grant ${textIn(row, 'owner')} to ${role};`]),
    ...(textIn(row, 'mayCreate') === 'true'
      ? []
      : [`grant create on schema ${quoted(facts.schema)} to ${role};`]),
  ];
  if (asked.length === 0) return;
  throw new TldrError(
    'FORBIDDEN',
    `only the owner of ${base} can add an index to it: connect as that role, or ask an administrator to run:\n  ${asked.join('\n  ')}`,
  );
}

/** A migration and its cut-over, which decide whether an index of the base table is needed. */
interface BaseIndexNeed {
  readonly facts: MigrationFacts;
  readonly cutOver: Pick<StoredCutOver, 'form'> | null;
}

/** Whether searches use an index of the base table. */
function needsBaseIndex({ facts, cutOver }: BaseIndexNeed): boolean {
  return facts.layout === 'index-only' || cutOver?.form === 'operator';
}

/** Says which indexes of compact vectors are missing or not valid, for people. */
export async function lackingIndexes(query: SessionQuery, need: BaseIndexNeed): Promise<readonly string[]> {
  const { base, baseIndex, side, index } = objectsOf(need.facts);
  const needed = [
    ...(need.facts.layout === 'side' ? [{ table: side, name: index }] : []),
    ...(needsBaseIndex(need) ? [{ table: base, name: baseIndex }] : []),
  ];
  const lines: string[] = [];
  for (const { table, name } of needed) {
    const found = await indexState(query, { table, name });
    if (found === 'absent' || found === 'elsewhere') lines.push(`${table} has no index ${name}`);
    if (found === 'invalid') lines.push(`the index ${name} is not valid`);
  }
  return lines;
}

/** Returns the index and functions that a cut-over by operator left, which nothing uses. */
export async function leftBaseIndex(query: SessionQuery, need: BaseIndexNeed): Promise<readonly string[]> {
  if (needsBaseIndex(need)) return [];
  const [index, functions] = [objectsOf(need.facts).baseIndex, indexedSignatures(need.facts)];
  const rows = await query(
    `select n.name from pg_catalog.json_array_elements_text($1::pg_catalog.json) n(name)
     where (case when n.name operator(pg_catalog.=) $2 then pg_catalog.to_regclass(n.name)::pg_catalog.oid
       else pg_catalog.to_regprocedure(n.name)::pg_catalog.oid end) is not null`,
    [JSON.stringify([index, ...functions]), index],
  );
  return rows.map((row) => textIn(row, 'name'));
}

/** Returns how an index of a table is: "elsewhere" if another table has the index of that name. */
export async function indexState(
  query: SessionQuery,
  { table, name }: { readonly table: string; readonly name: string },
): Promise<'absent' | 'elsewhere' | 'invalid' | 'valid'> {
  const [row] = await query(
    `select (i.indisvalid and i.indisready)::pg_catalog.text as valid,
       (i.indrelid = pg_catalog.to_regclass($2))::pg_catalog.text as "isOwn"
     from pg_catalog.pg_index i where i.indexrelid = pg_catalog.to_regclass($1)`,
    [name, table],
  );
  if (row === undefined) return 'absent';
  if (textIn(row, 'isOwn') !== 'true') return 'elsewhere';
  return textIn(row, 'valid') === 'true' ? 'valid' : 'invalid';
}

/**
 * Removes the index of the base table and its functions, while clients read and write. Does nothing without them.
 * @throws FORBIDDEN, MISMATCH with the statements that remain
 */
export async function dropBaseIndex(session: Session, facts: MigrationFacts): Promise<void> {
  const statements = [
    `drop index concurrently if exists ${objectsOf(facts).baseIndex}`,
    ...dropIndexedFunctions(facts),
  ];
  for (const [done, statement] of statements.entries())
    await session.statement(statement).catch((error: unknown) => {
      throw failureOfRemoval(error, statements.slice(done), 'the cut-over is rolled back, but');
    });
}

/** The statements that remove the functions of the index. */
export function dropIndexedFunctions(facts: MigrationFacts): readonly string[] {
  return indexedSignatures(facts).map((signature) => `drop function if exists ${signature}`);
}

function indexedSignatures(facts: MigrationFacts): readonly string[] {
  const { indexedProject, indexedProjectQuery } = objectsOf(facts);
  return [...new Set([indexedProject, indexedProjectQuery])].map(
    (name) => `${name}(${facts.extension}.vector)`,
  );
}

const INSUFFICIENT_PRIVILEGE = '42501';
const DEPENDENT_OBJECTS = '2BP01';

/**
 * Returns what a user should do after a rollback failed to remove something; any other error as it is.
 * @param before words that begin the message
 */
export function failureOfRemoval(
  error: unknown,
  statements: readonly string[],
  before = 'nothing is rolled back:',
): unknown {
  const state = sqlStateOf(error);
  const asked = statements.map((statement) => `\n  ${statement};`).join('');
  if (state === INSUFFICIENT_PRIVILEGE)
    return new TldrError(
      'FORBIDDEN',
      `${before} this connection may not remove what the cut-over made. Ask an administrator to run this, then run the rollback again if the state still shows a cut-over:${asked}`,
      { cause: error },
    );
  if (state !== DEPENDENT_OBJECTS) return error;
  return new TldrError(
    'MISMATCH',
    `${before} something else uses what the cut-over made${dependents(error)}. Drop it, or make it again without that, and run the rollback again, which runs:${asked}`,
    { cause: error },
  );
}

/** What PostgreSQL says of objects that depend on another one: names, and no values of rows. */
function dependents(error: unknown): string {
  const cause = isTldrError(error) ? error.cause : error;
  if (!(cause instanceof Error) || !('detail' in cause) || typeof cause.detail !== 'string') return '';
  return ` (${cause.detail.replaceAll('\n', '; ')})`;
}
