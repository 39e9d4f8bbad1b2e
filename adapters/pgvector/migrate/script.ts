import { createHash } from 'node:crypto';
import type { InPlaceCutOverRequest, InPlaceStep } from '../../../src/store/in-place-target.js';
import { dollarQuoted, literal, quoted } from '../catalog/identifiers.js';
import { dropIndexedFunctions, indexedProjection } from './base-index.js';
import { comparedPairs } from './compare.js';
import { fillStatement } from './fill.js';
import { hasFullVector, objectsOf, type MigrationFacts } from './objects.js';
import { operatorScript } from './operator.js';
import { rolePathQuery } from '../catalog/role-path.js';
import { planSearchFunction, type SearchFunction } from './search-function.js';
import type { SessionQuery } from '../connect/session.js';
import { insertEncoder, insertState, rowOf } from './state-table.js';

const WHOLE = { after: null, upTo: null };

/** What a migration makes before and after its rows are written. */
interface MigrationSteps {
  readonly facts: MigrationFacts;
  readonly stateStep: InPlaceStep;
  readonly ownSteps: readonly InPlaceStep[];
  readonly laterSteps: readonly InPlaceStep[];
  readonly encoderFile: Uint8Array;
}

/**
 * Returns all statements of a migration, for a tool that runs files of SQL. They leave the same state behind as the
 * commands, so that these can verify, roll back and remove the migration.
 */
export async function migrationScript(
  query: SessionQuery,
  { facts, stateStep, ownSteps, laterSteps, encoderFile }: MigrationSteps,
  request: InPlaceCutOverRequest,
): Promise<readonly InPlaceStep[]> {
  const { base } = objectsOf(facts);
  const index = laterSteps.slice(-1).map((step) => ({ ...step, isAlone: true }));
  return [
    {
      title: `${stateStep.title}, and the encoder file`,
      statements: [...stateStep.statements, insertEncoder(facts, encoderFile)],
    },
    ...ownSteps,
    {
      title: 'the state of the migration',
      statements: [
        insertState(facts, `pg_catalog.to_regclass(${literal(base)})::pg_catalog.oid::pg_catalog.text`),
      ],
    },
    ...laterSteps.slice(0, -1),
    ...(facts.layout === 'side'
      ? [{ title: 'the compact vectors of the rows', statements: [fillStatement(facts, WHOLE)] }]
      : []),
    ...index,
    { title: 'a check of all rows, which fails if one differs', statements: [checkStatement(facts)] },
    ...(await cutOverSteps(query, facts, request)),
  ];
}

/** Compares all rows, and says in the state that they were verified. */
function checkStatement(facts: MigrationFacts): string {
  const { base, side } = objectsOf(facts);
  const full = `t.${quoted(facts.column)}`;
  const { pairs, differs } = comparedPairs(facts, { base: 'true', side: 'true' });
  const differing =
    facts.layout === 'side'
      ? `select pg_catalog.count(*), pg_catalog.count(*) filter (where z is null or p is null or ${differs}) into checked, differing from ${pairs}`
      : `select pg_catalog.count(*), pg_catalog.count(*) filter (where ${indexedProjection(facts, full, 'indexedProject')} is null) into checked, differing from ${base} t where ${hasFullVector(facts, full)}`;
  const where = facts.layout === 'side' ? side : base;
  const body = `
declare
  checked pg_catalog.int8;
  differing pg_catalog.int8;
begin
  ${differing};
  if differing > 0 then
    raise exception ${literal(`% of % rows of ${where.replaceAll('%', '%%')} differ: run migrate resume`)}, differing, checked;
  end if;
  update "tldr"."migration" set phase = 'ready', filled = ${facts.layout === 'side' ? 'checked' : '0'}, verified = pg_catalog.jsonb_build_object(
    'points', checked, 'missing', 0, 'orphans', 0, 'differing', 0, 'lines', '[]'::pg_catalog.jsonb) where ${rowOf(facts)};
end `;
  return `do ${dollarQuoted('check', body)}`;
}

async function cutOverSteps(
  query: SessionQuery,
  facts: MigrationFacts,
  request: InPlaceCutOverRequest,
): Promise<readonly InPlaceStep[]> {
  if (request.form === 'none') return [];
  if (request.form === 'operator')
    return operatorSteps(facts, await operatorScript(query, facts, request.name));
  const made = await planSearchFunction(query, facts, request);
  return [
    { title: 'the search function that clients call', statements: [functionStatement(facts, made)] },
    {
      title: 'the search function as it was before',
      statements: [functionUndo(facts)],
      isUndo: true,
    },
  ];
}

const sha256 = (text: string): string =>
  `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, 'UTF8')), 'hex')`;

/** The digest of a function's body. */
const bodyDigest = (signature: string): string =>
  `(select ${sha256('p.prosrc')} from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure(${signature}))`;

/** Refuses to take back what needs full vectors that were deleted, and prints what builds the dropped indexes again. */
const NO_WAY_BACK = `if made ->> 'isFullColumnDropped' = 'true' then
    raise exception 'the full vectors were deleted, so there is no way back: nothing was changed';
  end if;
  if pg_catalog.jsonb_array_length(made -> 'droppedIndexes') > 0 then
    raise notice 'indexes of the full vectors were dropped; this builds them again: %',
      (select pg_catalog.string_agg(d.statement, '; ') from pg_catalog.jsonb_array_elements_text(made -> 'droppedIndexes') d(statement));
  end if;`;

/** Takes the cut-over of a migration out of its state. */
const backInState = (facts: MigrationFacts): string =>
  `update "tldr"."migration" set phase = 'ready', cut_over = null, updated_at = pg_catalog.now() where ${rowOf(facts)};`;

/**
 * Makes the function and stores what was there, in one statement: whatever stops it, both are done or neither is.
 * A definition that is not the one from which the new function was made is never overwritten.
 */
function functionStatement(facts: MigrationFacts, made: SearchFunction): string {
  const { signature, isNew, undo, statement } = made;
  const name = literal(signature);
  const expected = isNew ? 'null' : literal(createHash('sha256').update(undo).digest('hex'));
  return `do ${dollarQuoted(
    'do',
    `
declare
  path pg_catalog.text := pg_catalog.current_setting('search_path');
  present pg_catalog.text;
begin
  -- Definitions are compared as they were read, with the schemas of all names.
  perform pg_catalog.set_config('search_path', 'pg_catalog', true);
  select pg_catalog.pg_get_functiondef(p.oid) into present from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure(${name});
  if ${sha256('present')} is distinct from ${expected} then
    raise exception '% was changed after this file was written: nothing was replaced. Run migrate cutover instead of this file', ${name};
  end if;
  -- Loads the extension, which lets a role that is no superuser set its settings.
  perform '[1]'::${facts.extension}.vector;
  execute ${dollarQuoted('as', statement)};
  update "tldr"."migration" set phase = 'cut-over', cut_over = pg_catalog.jsonb_build_object('form', 'function', 'name', ${name},
    'undo', pg_catalog.jsonb_build_array(${isNew ? literal(undo) : 'present'}),
    'digest', ${bodyDigest(name)},
    'pathBefore', null, 'droppedIndexes', '[]'::pg_catalog.jsonb, 'isFullColumnDropped', false) where ${rowOf(facts)} and phase = 'ready';
  if not found then
    raise exception 'the migration is not ready: nothing was replaced';
  end if;
  perform pg_catalog.set_config('search_path', path, true);
end `,
  )}`;
}

/** Puts back the function that was replaced, or removes the one that was made. */
function functionUndo(facts: MigrationFacts): string {
  return `do ${dollarQuoted(
    'do',
    `
declare
  path pg_catalog.text := pg_catalog.current_setting('search_path');
  made pg_catalog.jsonb;
  statement pg_catalog.text;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog', true);
  select cut_over into made from "tldr"."migration" where ${rowOf(facts)} for update;
  if made ->> 'form' is distinct from 'function' then
    raise exception 'there was no cut-over to a search function: nothing was changed';
  end if;
  if ${bodyDigest("made ->> 'name'")} is distinct from made ->> 'digest' then
    raise exception '% was changed or dropped since the cut-over: nothing was changed', made ->> 'name';
  end if;
  ${NO_WAY_BACK}
  ${backInState(facts)}
  -- The names in the function's body are those that its owner wrote.
  perform pg_catalog.set_config('search_path', path, true);
  for statement in select pg_catalog.jsonb_array_elements_text(made -> 'undo') loop
    execute statement;
  end loop;
end `,
  )}`;
}

function operatorSteps(
  facts: MigrationFacts,
  script: Awaited<ReturnType<typeof operatorScript>>,
): readonly InPlaceStep[] {
  const { role, functions, index } = script;
  const title = `the operator of the role ${role}`;
  const undo = { title: `${title} is removed`, statements: [operatorUndo(facts, script)], isUndo: true };
  const operator = { title, statements: [operatorStatement(facts, script)] };
  // In the layout index-only, functions and index are those of the migration.
  if (functions.length === 0) return [operator, undo];
  return [
    { title: 'functions for the index of the operator', statements: functions },
    { title: 'the index of the operator', statements: [index.statement], isAlone: true },
    operator,
    undo,
    {
      title: 'the index of the operator is removed',
      statements: [`drop index concurrently if exists ${index.name}`],
      isAlone: true,
      isUndo: true,
    },
    {
      title: 'functions for the index of the operator are removed',
      statements: dropIndexedFunctions(facts),
      isUndo: true,
    },
  ];
}

/** The search path of a role is read before this session's own one is changed, which the server's default is read from. */
const READ_PATH = (role: string): string => `select p.* into known from (${rolePathQuery(role)}) p;
  has_role := found;`;

const OPERATOR_VARIABLES = `declare
  path_now pg_catalog.text := pg_catalog.current_setting('search_path');
  known record;
  has_role pg_catalog.bool;
  alter_role pg_catalog.text;
  statement pg_catalog.text;`;

/** Sets the path of a role in this database, exactly as an expression says; NULL takes it away. */
function pathStatements(path: string): string {
  return `if ${path} is distinct from known.own then
    if ${path} is null then
      execute alter_role || ' reset search_path';
    else
      statement := alter_role || ' set search_path from current';
      perform pg_catalog.set_config('search_path', ${path}, true);
      execute statement;
      perform pg_catalog.set_config('search_path', 'pg_catalog', true);
    end if;
  end if;`;
}

function alterRole(role: string): string {
  return `alter_role := ${literal(`alter role ${quoted(role)} in database `)} || '"' || pg_catalog.replace(pg_catalog.current_database(), '"', '""') || '"';`;
}

/**
 * Makes the operator, sets the role's path and stores what was there, in one statement. The path is that of the database
 * in which the file runs, which may be another one than that in which it was written.
 */
function operatorStatement(
  facts: MigrationFacts,
  { role, index, made, otherVectors, trial }: Awaited<ReturnType<typeof operatorScript>>,
): string {
  const name = literal(role);
  const schema = literal(objectsOf(facts).operatorSchema);
  const each = (statements: readonly string[]): string =>
    statements.map((statement) => `execute ${dollarQuoted('as', statement)};`).join('\n  ');
  return `do ${dollarQuoted(
    'do',
    `
${OPERATOR_VARIABLES}
  others pg_catalog.text;
  path pg_catalog.text;
  before pg_catalog.text;
begin
  ${READ_PATH(role)}
  if not has_role then
    raise exception 'there is no role %', ${name};
  end if;
  perform pg_catalog.set_config('search_path', 'pg_catalog', true);
  perform from "tldr"."migration" where ${rowOf(facts)} and phase = 'ready' and cut_over is null for update;
  if not found then
    raise exception 'the migration is not ready: nothing was made';
  end if;
  if not exists (select from pg_catalog.pg_index i where i.indexrelid = pg_catalog.to_regclass(${literal(index.name)}) and i.indisvalid) then
    raise exception 'the index % is missing or not valid: nothing was made', ${literal(index.name)};
  end if;
  select pg_catalog.string_agg(o.name, ', ') into others from (${otherVectors}) o;
  if others is not null then
    raise exception '% may also read %: the operator would change what <=> does there as well', ${name}, others;
  end if;
  ${each([made.distance])}
  if pg_catalog.to_regnamespace(${schema}) is null then
    ${each([made.schema])}
  end if;
  ${each(made.operator)}
  if not pg_catalog.has_schema_privilege(${name}, 'tldr', 'usage') then
    ${each([made.usage])}
  end if;
  ${each([...made.grants, trial])}
  if known.own = ${schema} or pg_catalog.starts_with(known.own, ${schema} || ', ') then
    path := known.own;
    before := nullif(pg_catalog.substr(path, pg_catalog.length(${schema}) + 3), known.inherited);
  else
    path := ${schema} || coalesce(', ' || nullif(coalesce(known.own, known.inherited), ''), '');
    before := known.own;
  end if;
  ${alterRole(role)}
  ${pathStatements('path')}
  update "tldr"."migration" set phase = 'cut-over', updated_at = pg_catalog.now(), cut_over = pg_catalog.jsonb_build_object(
    'form', 'operator', 'name', ${name}, 'digest', path, 'pathBefore', before, 'droppedIndexes', '[]'::pg_catalog.jsonb, 'isFullColumnDropped', false,
    'undo', case when before is null then pg_catalog.jsonb_build_array(alter_role || ' reset search_path')
      else pg_catalog.jsonb_build_array('select pg_catalog.set_config(''search_path'', ' || pg_catalog.quote_literal(before) || ', true)',
        alter_role || ' set search_path from current') end) where ${rowOf(facts)};
  perform pg_catalog.set_config('search_path', path_now, true);
end `,
  )}`;
}

/** Removes the operator, and puts the role's path back unless somebody changed it since. */
function operatorUndo(
  facts: MigrationFacts,
  { role, removed }: Awaited<ReturnType<typeof operatorScript>>,
): string {
  const name = literal(role);
  return `do ${dollarQuoted(
    'do',
    `
${OPERATOR_VARIABLES}
  made pg_catalog.jsonb;
begin
  ${READ_PATH(role)}
  perform pg_catalog.set_config('search_path', 'pg_catalog', true);
  select cut_over into made from "tldr"."migration" where ${rowOf(facts)} for update;
  if made ->> 'form' is distinct from 'operator' or made ->> 'name' is distinct from ${name} then
    raise exception 'there was no cut-over to an operator of %: nothing was changed', ${name};
  end if;
  if has_role then
    if known.own is distinct from made ->> 'digest' and known.own is distinct from made ->> 'pathBefore' then
      raise exception 'the search path of % was changed since the cut-over: nothing was changed', ${name};
    end if;
    ${alterRole(role)}
    ${pathStatements("(made ->> 'pathBefore')")}
  end if;
  ${NO_WAY_BACK}
  ${removed.map((statement) => `${statement};`).join('\n  ')}
  ${backInState(facts)}
  perform pg_catalog.set_config('search_path', path_now, true);
end `,
  )}`;
}
