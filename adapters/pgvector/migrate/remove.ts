import { numberIn } from '../catalog/values.js';
import { dropIndexedFunctions } from './base-index.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import type { SessionQuery } from './session.js';
import { deleteState } from './state-table.js';
import { literal } from '../catalog/identifiers.js';

/** Returns the statements that remove all that a migration made, and the encoder if no other migration uses it. */
export async function removeStatements(
  query: SessionQuery,
  facts: MigrationFacts,
): Promise<readonly string[]> {
  const names = objectsOf(facts);
  const [row] = await query(
    `select pg_catalog.count(*)::pg_catalog.text as others from "tldr"."migration"
     where fingerprint = $1 and not (schema_name = $2 and table_name = $3 and column_name = $4)`,
    [facts.fingerprint, facts.schema, facts.table, facts.column],
  );
  // The script of `encoderScript` may have made the encoder's function for somebody else.
  const [own] = await query(
    `select is_own::pg_catalog.text as own from "tldr"."encoder" where fingerprint = $1`,
    [facts.fingerprint],
  );
  const isOver = row !== undefined && numberIn(row, 'others') === 0;
  const isOwn = isOver && own?.['own'] === 'true';
  const [there] = await query(
    `select (pg_catalog.to_regclass($1) is not null)::pg_catalog.text as "isThere"`,
    [names.base],
  );
  const triggers = [names.writeTrigger, names.truncateTrigger].map(
    (trigger) => `drop trigger if exists ${trigger} on ${names.base}`,
  );
  const vector = `${facts.extension}.vector`;
  return [
    ...(there?.['isThere'] === 'true' ? triggers : []),
    // The triggers of partitions go with the function.
    `drop function if exists ${names.onWrite}() cascade`,
    `drop function if exists ${names.onTruncate}() cascade`,
    `drop function if exists ${names.syncRow}`,
    `drop table if exists ${names.side}`,
    `drop index if exists ${names.baseIndex}`,
    ...dropIndexedFunctions(facts),
    ...(isOwn
      ? [...new Set([names.project, names.projectQuery])].map(
          (name) => `drop function if exists ${name}(${vector})`,
        )
      : []),
    ...(isOwn ? names.weights.map((name) => `drop table if exists ${name}`) : []),
    deleteState(facts),
    ...(!isOver ? [] : [`delete from "tldr"."encoder" where fingerprint = ${literal(facts.fingerprint)}`]),
  ];
}
