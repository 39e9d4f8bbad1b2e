import { expectDefined } from '../../../src/core/errors.js';
import { throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import type { InPlaceDifferences } from '../../../src/store/in-place-target.js';
import { quoted } from '../catalog/identifiers.js';
import { numberIn, textsIn } from '../catalog/values.js';
import type { Row } from '../connect/connections.js';
import { inRange, rangeEnd, type KeyRange } from './fill.js';
import {
  baseKeys,
  hasFullVector,
  objectsOf,
  compactProjection,
  sideKeys,
  type MigrationFacts,
} from './objects.js';
import type { SessionQuery } from '../connect/session.js';

/** Rows that one statement compares. */
const RANGE_ROWS = 2_000;
/** Keys that are shown of each kind of difference. */
const SHOWN = 5;
/** Allowed distance per unit of length: sums in another order, rounded to the type of the compact vector. */
export const TOLERANCE = { vector: 1e-5, halfvec: 2e-3 } as const;

const NOTHING: InPlaceDifferences = { points: 0, missing: 0, orphans: 0, differing: 0, lines: [] };

/**
 * Compares full and compact vectors in the database, in ranges of keys, each in one statement. Clients may write
 * meanwhile: both vectors of a row change in one transaction.
 */
export async function compareAll(
  query: SessionQuery,
  facts: MigrationFacts,
  { total, ...run }: RunOptions & { readonly total: number },
): Promise<InPlaceDifferences> {
  let found = NOTHING;
  for (let after: readonly string[] | null = null; ;) {
    throwIfAborted(run.signal);
    const upTo: readonly string[] | null = await rangeEnd(query, facts, { after, rows: RANGE_ROWS });
    found = added(found, await compareWhere(query, facts, rangeConditions(facts, { after, upTo })));
    run.onProgress?.({ step: 'verifying', done: found.points, total, unit: 'points' });
    if (upTo === null) return found;
    after = upTo;
  }
}

/** Compares random rows of both tables. */
export async function compareSample(
  query: SessionQuery,
  facts: MigrationFacts,
  size: number,
): Promise<InPlaceDifferences> {
  const { base, side } = objectsOf(facts);
  const keys = sideKeys(facts).join(', ');
  const ofBase = baseKeys(facts, 'r').join(', ');
  const chosen = `select ${ofBase} from ${base} r order by pg_catalog.random() limit ${size}`;
  const outer = baseKeys(facts, 't').join(', ');
  const sideOnly = `select ${keys} from ${side} order by pg_catalog.random() limit ${size}`;
  return compareWhere(query, facts, {
    chosen: `with base_keys (${keys}) as materialized (${chosen}), side_keys as materialized (${sideOnly}), all_keys as (select * from base_keys union select * from side_keys)`,
    base: `(${outer}) in (select * from all_keys)`,
    side: `(${keys}) in (select * from all_keys)`,
  });
}

interface Conditions {
  /** Common table expressions that the conditions use. */
  readonly chosen: string;
  readonly base: string;
  readonly side: string;
}

function rangeConditions(facts: MigrationFacts, range: KeyRange): Conditions {
  return {
    chosen: '',
    base: inRange(facts, baseKeys(facts, 't'), range),
    side: inRange(facts, sideKeys(facts), range),
  };
}

async function compareWhere(
  query: SessionQuery,
  facts: MigrationFacts,
  { chosen, base: baseCondition, side: sideCondition }: Conditions,
): Promise<InPlaceDifferences> {
  const keys = sideKeys(facts);
  const { pairs, differs } = comparedPairs(facts, { base: baseCondition, side: sideCondition });
  const shown = (what: string): string =>
    `(select coalesce(pg_catalog.json_agg(k), '[]') from (select k from found where kind = '${what}' limit ${SHOWN}) s)::pg_catalog.text as "${what}Keys", (select pg_catalog.count(*) from found where kind = '${what}')::pg_catalog.text as ${what}`;
  const [row] = await query(
    `${chosen === '' ? 'with' : `${chosen},`} found as materialized (
       select case when z is null then 'missing' when p is null then 'orphans' when ${differs} then 'differing' end as kind,
         pg_catalog.concat_ws(', ', ${keys.join(', ')}) as k
       from ${pairs})
     select (select pg_catalog.count(*) from found where kind is distinct from 'orphans')::pg_catalog.text as points,
       ${shown('missing')}, ${shown('orphans')}, ${shown('differing')}`,
  );
  return differencesIn(expectDefined(row, 'the result of a comparison'));
}

/** Projections `p` of full vectors beside compact vectors `z`, and the condition that a pair differs, for statements. */
export function comparedPairs(
  facts: MigrationFacts,
  where: Pick<Conditions, 'base' | 'side'>,
): { readonly pairs: string; readonly differs: string } {
  const { base, side } = objectsOf(facts);
  const { extension, column, compactType } = facts;
  const keys = sideKeys(facts);
  const full = `t.${quoted(column)}`;
  const selected = baseKeys(facts, 't').map((name, i) => `${name} as ${keys[i]}`);
  const expected = `p::${extension}.vector`;
  return {
    pairs: `(select ${selected.join(', ')}, ${compactProjection(facts, full, 'project')} as p from ${base} t
           where ${where.base} and ${hasFullVector(facts, full)} offset 0) t
         full join (select ${keys.join(', ')}, z from ${side} where ${where.side}) s using (${keys.join(', ')})`,
    differs: `${extension}.l2_distance(${expected}, z::${extension}.vector) > ${TOLERANCE[compactType]} * greatest(1, ${extension}.vector_norm(${expected}))`,
  };
}

const WORDS = {
  missing: 'without a compact vector',
  orphans: 'with a compact vector but no full one',
  differing: 'with the compact vector of another one',
} as const;

function differencesIn(row: Row): InPlaceDifferences {
  const kinds = ['missing', 'orphans', 'differing'] as const;
  return {
    points: numberIn(row, 'points'),
    missing: numberIn(row, 'missing'),
    orphans: numberIn(row, 'orphans'),
    differing: numberIn(row, 'differing'),
    lines: kinds.flatMap((kind) => textsIn(row, `${kind}Keys`).map((key) => `row ${key}: ${WORDS[kind]}`)),
  };
}

function added(a: InPlaceDifferences, b: InPlaceDifferences): InPlaceDifferences {
  return {
    points: a.points + b.points,
    missing: a.missing + b.missing,
    orphans: a.orphans + b.orphans,
    differing: a.differing + b.differing,
    lines: [...a.lines, ...b.lines].slice(0, 3 * SHOWN),
  };
}

/** Finds compact vectors without a row. Without full vectors, there is nothing else to compare. */
export async function compareKeys(query: SessionQuery, facts: MigrationFacts): Promise<InPlaceDifferences> {
  const { side } = objectsOf(facts);
  const keys = sideKeys(facts)
    .map((name) => `s.${name}`)
    .join(', ');
  const [row] = await query(
    `with orphans as materialized (select pg_catalog.concat_ws(', ', ${keys}) as k from ${side} s where not ${hasRow(facts)})
     select (select pg_catalog.count(*) from ${side})::pg_catalog.text as points, (select pg_catalog.count(*) from orphans)::pg_catalog.text as orphans,
       (select coalesce(pg_catalog.json_agg(k), '[]') from (select k from orphans limit ${SHOWN}) o)::pg_catalog.text as keys`,
  );
  const found = expectDefined(row, 'the result of a comparison');
  return {
    points: numberIn(found, 'points'),
    missing: 0,
    orphans: numberIn(found, 'orphans'),
    differing: 0,
    lines: [
      ...textsIn(found, 'keys').map((key) => `row ${key}: with a compact vector but no row`),
      ...(numberIn(found, 'orphans') === 0
        ? []
        : [
            `nothing else has these vectors, so they stay: restore the rows, or remove the vectors by: ${removeOrphansStatement(facts)};`,
          ]),
    ],
  };
}

/** The statement that removes compact vectors without a row, for people: nothing else has these vectors. */
function removeOrphansStatement(facts: MigrationFacts): string {
  return `delete from ${objectsOf(facts).side} s where not ${hasRow(facts)}`;
}

function hasRow(facts: MigrationFacts): string {
  const keys = sideKeys(facts);
  const same = baseKeys(facts, 't').map((name, i) => `${name} = s.${keys[i]}`);
  return `exists (select from ${objectsOf(facts).base} t where ${same.join(' and ')})`;
}
