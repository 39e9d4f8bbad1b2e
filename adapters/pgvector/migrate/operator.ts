import { expectDefined, TldrError } from '../../../src/core/errors.js';
import type { InPlaceChange } from '../../../src/store/in-place-target.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { textIn, textsIn } from '../catalog/values.js';
import { checkBaseIndex, failureOfRemoval, indexedFunctionsStep, indexedProjection } from './base-index.js';
import { wantedIndex } from './build-index.js';
import { readersOf } from './install.js';
import { OPERATORS } from '../catalog/vector-operators.js';
import { SCHEMA, hasFullVector, objectsOf, operator, type MigrationFacts } from './objects.js';
import {
  changeRolePath,
  findRolePath,
  rolePathStatements,
  tryRolePath,
  type RolePath,
} from '../catalog/role-path.js';
import type { SessionQuery } from '../connect/session.js';
import { changeState, newCutOver, type StoredCutOver } from './state-table.js';

/** An operator for one role. */
interface PlannedOperator {
  readonly rolePath: RolePath;
  /** The role's search path afterwards, and before; null if it had none of its own in this database. */
  readonly path: string;
  readonly before: string | null;
  /** Statements for the functions of the index, for the index, for the operator, and for the role. */
  readonly functions: readonly string[];
  readonly index: ReturnType<typeof wantedIndex>;
  readonly operator: readonly string[];
}

/**
 * Returns what the form "operator" makes: an operator of the same name as that of the full vectors, which the role's search
 * path finds first. It is a function that the planner replaces by its body, an expression that has an index.
 * @throws UNSUPPORTED for a distance that is no cosine, and if the role searches other vectors too; FORBIDDEN; NOT_FOUND
 */
export async function planOperator(
  query: SessionQuery,
  facts: MigrationFacts,
  role: string | undefined,
): Promise<PlannedOperator> {
  const rolePath = await checkedRolePath(query, facts, role);
  const lacking = await checkSchemaRights(query, facts, rolePath.role);
  const { operatorSchema } = objectsOf(facts);
  const { own, inherited } = rolePath;
  const isSet = own !== null && isFirst(operatorSchema, own);
  const rest = isSet ? own.slice(operatorSchema.length).replace(/^, /, '') : (own ?? inherited);
  return {
    rolePath,
    path: isSet ? own : rest === '' ? operatorSchema : `${operatorSchema}, ${rest}`,
    before: isSet && rest === inherited ? null : isSet ? rest : own,
    // In the layout index-only, functions and index are there.
    functions: await indexFunctions(query, facts),
    index: wantedIndex(facts, 'base'),
    operator: operatorStatements(facts, rolePath.role, lacking),
  };
}

/**
 * Returns the search path of a role whose searches may change.
 * @throws as `planOperator`
 */
async function checkedRolePath(
  query: SessionQuery,
  facts: MigrationFacts,
  role: string | undefined,
): Promise<RolePath> {
  if (role === undefined)
    throw new TldrError('INVALID_ARGUMENT', 'the form "operator" needs the role whose searches change');
  if (facts.distance !== 'cosine' || facts.compactDistance !== 'cosine')
    throw new TldrError(
      'UNSUPPORTED',
      `the form "operator" is only for cosine, and here full vectors are compared by ${facts.distance}, compact ones by ${facts.compactDistance}: use an encoder whose compact vectors are compared by cosine, or the form "function" or "none"`,
    );
  const rolePath = await findRolePath(query, role);
  if (rolePath === null) throw new TldrError('NOT_FOUND', `there is no role ${quoted(role)}`);
  await checkBaseIndex(query, facts);
  await checkOtherVectors(query, facts, rolePath);
  return rolePath;
}

/** What makes an operator by files, and what removes it again. Everything but the index is made in one transaction. */
interface OperatorScript {
  /** Statements for the functions of the index; none if the layout has them. */
  readonly functions: readonly string[];
  readonly index: ReturnType<typeof wantedIndex>;
  /** Statements that make the operator and what belongs to it, in their order, unless they are there. */
  readonly made: ReturnType<typeof madeOfOperator>;
  /** A query that has a row for each other column of vectors that the role may read. */
  readonly otherVectors: string;
  /** A statement that searches once. */
  readonly trial: string;
  /** Statements that remove the operator. */
  readonly removed: readonly string[];
}

/** Returns what a script of files needs for an operator. @throws as `planOperator`, but not for rights of this connection */
export async function operatorScript(
  query: SessionQuery,
  facts: MigrationFacts,
  role: string | undefined,
): Promise<OperatorScript & { readonly role: string }> {
  const rolePath = await checkedRolePath(query, facts, role);
  return {
    role: rolePath.role,
    functions: await indexFunctions(query, facts),
    index: wantedIndex(facts, 'base'),
    made: madeOfOperator(facts, rolePath.role),
    otherVectors: otherVectorsQuery(facts, rolePath.role),
    trial: trialStatement(facts),
    removed: removedOfOperator(facts),
  };
}

async function indexFunctions(query: SessionQuery, facts: MigrationFacts): Promise<readonly string[]> {
  if (facts.layout === 'index-only') return [];
  return indexedFunctionsStep(facts, await readersOf(query, facts)).statements;
}

/** An administrator may have set the path before. */
function isFirst(schema: string, path: string): boolean {
  return path === schema || path.startsWith(`${schema}, `);
}

function operatorStatements(facts: MigrationFacts, role: string, lacking: Lacking): readonly string[] {
  const { distance, schema, operator: made, usage, grants } = madeOfOperator(facts, role);
  return [
    distance,
    // Even if it is there, the statement needs the right to make it.
    ...(lacking.schema ? [schema] : []),
    ...made,
    ...(lacking.usage ? [usage] : []),
    ...grants,
  ];
}

/** The statements that make an operator for a role. */
function madeOfOperator(
  facts: MigrationFacts,
  role: string,
): {
  readonly distance: string;
  readonly schema: string;
  readonly operator: readonly string[];
  readonly usage: string;
  readonly grants: readonly string[];
} {
  const { extension, columnType } = facts;
  const { distance, operatorSchema, indexedProject, indexedProjectQuery } = objectsOf(facts);
  const type = `${extension}.${columnType}`;
  const { sign } = OPERATORS[facts.distance];
  const row = indexedProjection(facts, 'full_vector', 'indexedProject');
  const query = indexedProjection(facts, 'query', 'indexedProjectQuery');
  const functions = [...new Set([indexedProject, indexedProjectQuery])].map(
    (name) => `${name}(${extension}.vector)`,
  );
  return {
    distance: `create or replace function ${distance}(full_vector ${type}, query ${type}) returns pg_catalog.float8
language sql immutable parallel safe as $distance$
select ${row} ${operator(facts, sign)} ${query}
$distance$`,
    schema: `create schema ${operatorSchema}`,
    operator: [
      `create operator ${operatorSchema}.${sign} (leftarg = ${type}, rightarg = ${type}, function = ${distance})`,
      `grant usage on schema ${operatorSchema} to ${quoted(role)}`,
    ],
    usage: `grant usage on schema ${quoted(SCHEMA)} to ${quoted(role)}`,
    grants: [
      `grant execute on function ${[`${distance}(${type}, ${type})`, ...functions].join(', ')} to ${quoted(role)}`,
    ],
  };
}

/** Returns what a cut-over by operator would do, for people. */
export function plannedOperatorChange(planned: PlannedOperator): InPlaceChange {
  const { rolePath, path, functions, index } = planned;
  const { role, own, database } = rolePath;
  return {
    lines: [
      `${quoted(role)} gets an operator <=> of its own in ${quoted(database)}, which new connections find first; its searches stay as they are written`,
      APPROXIMATE,
      `if it succeeds: \`order by embedding <=> ... limit k\` uses the index of compact vectors ${index.name}, which is built first if it is not there`,
      'if it fails: the role keeps its operators, and you can run this again; a rollback removes the index if it was built',
      own === null
        ? 'to go back: a rollback removes operator and search path'
        : `to go back: a rollback removes the operator, and the search path is again ${own}`,
    ],
    statements: [
      ...functions,
      ...(functions.length === 0 ? [] : [index.statement]),
      ...planned.operator,
      ...rolePathStatements(rolePath, path),
    ],
  };
}

const APPROXIMATE =
  'distances that it returns are approximate, and the order is that of compact vectors: nothing is rescored';

/** Makes the operator and sets the role's path, after the index was built. */
export async function cutOverOperator(
  query: SessionQuery,
  facts: MigrationFacts,
  planned: PlannedOperator,
): Promise<InPlaceChange> {
  const { rolePath, path, before: pathBefore } = planned;
  const { role } = rolePath;
  const undo = rolePathStatements(rolePath, pathBefore);
  for (const statement of planned.operator) await query(statement);
  await tryOperator(query, facts);
  await changeRolePath(query, rolePath, path);
  const form = 'operator';
  const cutOver = newCutOver({ form, name: role, undo, digest: path, pathBefore });
  await changeState(query, facts, { phase: 'cut-over', cutOver });
  return {
    lines: [
      `new connections of ${quoted(role)} search compact vectors by <=>: let its clients connect again, also behind a pooler`,
      APPROXIMATE,
      'a client that sets search_path itself keeps the full vectors',
    ],
    statements: [...planned.operator, ...rolePathStatements(rolePath, path)],
  };
}

/** Searches once, so that an operator that fails is never left behind. */
async function tryOperator(query: SessionQuery, facts: MigrationFacts): Promise<void> {
  await query(trialStatement(facts));
}

function trialStatement(facts: MigrationFacts): string {
  const { base, operatorSchema } = objectsOf(facts);
  const column = `t.${quoted(facts.column)}`;
  const sign = `operator(${operatorSchema}.${OPERATORS[facts.distance].sign})`;
  return `select ${column} ${sign} s.v from ${base} t, (select ${column} as v from ${base} t where ${hasFullVector(facts, column)} limit 1) s limit 1`;
}

/** Removes the operator, and puts the role's search path back. @throws MISMATCH if somebody changed it since */
export async function rollBackOperator(
  query: SessionQuery,
  facts: MigrationFacts,
  cutOver: StoredCutOver,
): Promise<void> {
  const users = await usersOf(query, facts);
  if (users.length > 0)
    throw new TldrError(
      'MISMATCH',
      `${users.join(', ')} was made with the operator of the compact vectors: drop it or make it again with ${operator(facts, OPERATORS[facts.distance].sign)}, then roll back`,
    );
  await restorePath(query, cutOver);
  const statements = removedOfOperator(facts);
  for (const statement of statements)
    await query(statement).catch((error: unknown) => {
      throw failureOfRemoval(error, statements);
    });
}

function removedOfOperator(facts: MigrationFacts): readonly string[] {
  const { distance, operatorSchema } = objectsOf(facts);
  const type = `${facts.extension}.${facts.columnType}`;
  return [
    `drop operator if exists ${operatorSchema}.${OPERATORS[facts.distance].sign} (${type}, ${type})`,
    `drop schema if exists ${operatorSchema}`,
    `drop function if exists ${distance}(${type}, ${type})`,
  ];
}

async function restorePath(
  query: SessionQuery,
  { name: role, digest, pathBefore, undo }: StoredCutOver,
): Promise<void> {
  const rolePath = await findRolePath(query, role);
  // A role that was dropped took its setting along.
  if (rolePath === null) return;
  if (rolePath.own !== digest && rolePath.own !== pathBefore)
    throw new TldrError(
      'MISMATCH',
      `the search path of ${quoted(role)} was changed since the cut-over: a rollback would overwrite that. Put back what you need by hand; this was there before:\n${undo.join(';\n')}`,
    );
  await changeRolePath(query, rolePath, pathBefore);
}

/** Returns what was made with the operator, such as views, for people. Needs no right to use the operator's schema. */
async function usersOf(query: SessionQuery, facts: MigrationFacts): Promise<readonly string[]> {
  const { extension, columnType, distance } = facts;
  const [row] = await query(
    `select coalesce(pg_catalog.json_agg(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)), '[]')::pg_catalog.text as names
     from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
     join pg_catalog.pg_depend d on d.refobjid = o.oid and d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
     where n.nspname = $1 and o.oprname = $2 and d.deptype = 'n'
       and o.oprleft = pg_catalog.to_regtype($3) and o.oprright = pg_catalog.to_regtype($3)`,
    [objectsOf(facts).operatorSchema, OPERATORS[distance].sign, `${extension}.${columnType}`],
  );
  return textsIn(expectDefined(row, 'the users of an operator'), 'names');
}

/** @throws UNSUPPORTED if the role may read other vectors, whose searches the operator would change too */
async function checkOtherVectors(
  query: SessionQuery,
  facts: MigrationFacts,
  { role }: RolePath,
): Promise<void> {
  const rows = await query(otherVectorsQuery(facts, role));
  if (rows.length === 0) return;
  const others = rows.map((row) => textIn(row, 'name'));
  throw new TldrError(
    'UNSUPPORTED',
    `${quoted(role)} may also read ${others.slice(0, 5).join(', ')}: the operator would change what <=> does there as well. Use a role that reads no other column of type ${facts.columnType}, or the form "function"`,
  );
}

/** A query for the other columns of vectors that a role may read. */
function otherVectorsQuery(facts: MigrationFacts, role: string): string {
  const [type, schema, table, column, reader] = [
    `${facts.extension}.${facts.columnType}`,
    facts.schema,
    facts.table,
    facts.column,
    role,
  ].map(literal);
  return `select pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname) as name
     from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where a.atttypid = pg_catalog.to_regtype(${type}) and a.attnum > 0 and not a.attisdropped
       and c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition
       and n.nspname <> '${SCHEMA}' and not pg_catalog.starts_with(n.nspname, 'tldr-plan-') and not pg_catalog.starts_with(n.nspname, 'pg_')
       and not (n.nspname = ${schema} and c.relname = ${table} and a.attname = ${column})
       and pg_catalog.has_schema_privilege(${reader}::pg_catalog.name, n.oid, 'usage')
       and pg_catalog.has_column_privilege(${reader}::pg_catalog.name, c.oid, a.attnum, 'select')
     order by n.nspname, c.relname`;
}

/** What an operator still needs. */
interface Lacking {
  readonly schema: boolean;
  /** The role's right to use the schema of migrations. */
  readonly usage: boolean;
}

/**
 * Returns what the operator still needs.
 * @throws FORBIDDEN with what to ask for if this connection cannot make the operator's schema, or give that right
 */
async function checkSchemaRights(query: SessionQuery, facts: MigrationFacts, role: string): Promise<Lacking> {
  const { operatorSchema } = objectsOf(facts);
  const [row] = await query(
    `select (case when n.oid is null then pg_catalog.has_database_privilege(d.oid, 'create')
         else pg_catalog.pg_has_role(n.nspowner, 'usage') end)::pg_catalog.text as "mayMake", (n.oid is null)::pg_catalog.text as "lacksSchema",
       pg_catalog.has_schema_privilege($2::pg_catalog.name, o.oid, 'usage')::pg_catalog.text as "hasUsage",
       pg_catalog.pg_has_role(o.nspowner, 'usage')::pg_catalog.text as "mayGrant", pg_catalog.quote_ident(current_user) as own
     from pg_catalog.pg_database d join pg_catalog.pg_namespace o on o.nspname = '${SCHEMA}'
     left join pg_catalog.pg_namespace n on n.nspname = $1 where d.datname = pg_catalog.current_database()`,
    [operatorSchema, role],
  );
  const rights = expectDefined(row, 'rights');
  const lacksUsage = textIn(rights, 'hasUsage') !== 'true';
  const mayGrant = textIn(rights, 'mayGrant') === 'true';
  const lacksSchema = textIn(rights, 'lacksSchema') === 'true';
  const own = textIn(rights, 'own');
  const asked = [
    ...(textIn(rights, 'mayMake') === 'true'
      ? []
      : [
          lacksSchema
            ? `create schema ${operatorSchema} authorization ${own};`
            : // A rollback drops the schema, which only its owner may.
              `alter schema ${operatorSchema} owner to ${own};`,
        ]),
    ...(lacksUsage && !mayGrant ? [`grant usage on schema ${SCHEMA} to ${quoted(role)};`] : []),
  ];
  if (asked.length === 0) return { schema: lacksSchema, usage: lacksUsage };
  throw new TldrError(
    'FORBIDDEN',
    `${own} lacks rights that the operator needs. Ask an administrator to run:\n  ${asked.join('\n  ')}`,
  );
}

/**
 * Makes what the operator needs first. Returns the index to build.
 * @throws as `planOperator`; FORBIDDEN if this connection may not change the role's search path
 */
export async function prepareOperator(
  query: SessionQuery,
  facts: MigrationFacts,
  role: string | undefined,
): Promise<ReturnType<typeof wantedIndex>> {
  const planned = await planOperator(query, facts, role);
  await tryRolePath(query, planned.rolePath, planned.path);
  for (const statement of planned.functions) await query(statement);
  return planned.index;
}

/** Makes the functions of the operator's index, unless the layout has them. Returns the index, to build it again. */
export async function prepareOperatorIndex(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<ReturnType<typeof wantedIndex>> {
  for (const statement of await indexFunctions(query, facts)) await query(statement);
  return wantedIndex(facts, 'base');
}
