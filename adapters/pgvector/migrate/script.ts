import { createHash } from 'node:crypto';
import { TldrError } from '../../../src/core/errors.js';
import type { InPlaceCutOverRequest, InPlaceStep } from '../../../src/store/in-place-target.js';
import { dollarQuoted, literal, quoted } from '../catalog/identifiers.js';
import { indexedProjection } from './base-index.js';
import { comparedPairs } from './compare.js';
import { fillStatement } from './fill.js';
import { hasFullVector, objectsOf, type MigrationFacts } from './objects.js';
import { planSearchFunction, type SearchFunction } from './search-function.js';
import type { SessionQuery } from './session.js';
import { insertEncoder, insertState, rowOf } from './state-table.js';

const WHOLE = { after: null, upTo: null };
/** Digits of a digest that mark where a quoted text ends. */
const TAG_DIGITS = 12;

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
    throw new TldrError(
      'UNSUPPORTED',
      'the steps have no form "operator": run them without a form, and make the operator by a cut-over afterwards',
    );
  const made = await planSearchFunction(query, facts, request);
  return [{ title: 'the search function that clients call', statements: [functionStatement(facts, made)] }];
}

/**
 * Makes the function and stores what was there, in one statement: whatever stops it, both are done or neither is.
 * A definition that is not the one from which the new function was made is never overwritten.
 */
function functionStatement(facts: MigrationFacts, made: SearchFunction): string {
  const { signature, isNew, undo, statement } = made;
  const name = literal(signature);
  const sha256 = (text: string): string =>
    `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, 'UTF8')), 'hex')`;
  const expected = isNew ? 'null' : literal(createHash('sha256').update(undo).digest('hex'));
  // No text holds its own digest, so these quotes end where they should.
  const tag = createHash('sha256').update(statement).digest('hex').slice(0, TAG_DIGITS);
  return `do $do_${tag}$
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
  execute $as_${tag}$${statement}$as_${tag}$;
  update "tldr"."migration" set phase = 'cut-over', cut_over = pg_catalog.jsonb_build_object('form', 'function', 'name', ${name},
    'undo', pg_catalog.jsonb_build_array(${isNew ? literal(undo) : 'present'}),
    'digest', (select ${sha256('p.prosrc')} from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure(${name})),
    'pathBefore', null, 'droppedIndexes', '[]'::pg_catalog.jsonb) where ${rowOf(facts)} and phase = 'ready';
  if not found then
    raise exception 'the migration is not ready: nothing was replaced';
  end if;
  perform pg_catalog.set_config('search_path', path, true);
end $do_${tag}$`;
}
