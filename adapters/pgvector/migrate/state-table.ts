import { createHash } from 'node:crypto';
import { DISTANCES, type Distance } from '../../../src/core/distance.js';
import { TldrError } from '../../../src/core/errors.js';
import {
  IN_PLACE_LAYOUTS,
  IN_PLACE_PHASES,
  type InPlaceCutOver,
  type InPlaceDifferences,
  type InPlaceLayout,
  type InPlacePhase,
  type InPlaceThrottle,
} from '../../../src/store/in-place-target.js';
import { literal } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import { grantedPolicy } from '../catalog/granted-policy.js';
import type { Row } from '../connect/connections.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import type { SessionQuery } from '../connect/session.js';

const STATE = `"tldr"."migration"`;

/** Statements that make the table of encoders and that of migrations. */
export const STATE_TABLES: readonly string[] = [
  `create table if not exists "tldr"."encoder" (fingerprint text primary key, file bytea not null, is_own boolean not null)`,
  `create table if not exists ${STATE} (
  schema_name text, table_name text, column_name text, primary key (schema_name, table_name, column_name),
  table_oid text not null, fingerprint text not null, facts jsonb not null, phase text not null,
  paused boolean not null default false, throttle jsonb, position jsonb, filled bigint not null default 0, verified jsonb, cut_over jsonb,
  updated_at timestamptz not null default pg_catalog.now())`,
  grantedPolicy('"tldr"."encoder"'),
  grantedPolicy(STATE),
];

/** A cut-over, with what puts back what was there before. */
export interface StoredCutOver extends InPlaceCutOver {
  /** Statements that put back what was there before. */
  readonly undo: readonly string[];
  /**
   * What tells whether somebody changed what the cut-over made: digest of the function, or the role's search path; '' without
   * either.
   */
  readonly digest: string;
  /** The search path that the role had of its own in this database; null without one. */
  readonly pathBefore: string | null;
  /** Statements that build the indexes of full vectors that were dropped. */
  readonly droppedIndexes: readonly string[];
}

/** A new cut-over. */
export function newCutOver(
  of: Pick<StoredCutOver, 'form' | 'name'> & Partial<Pick<StoredCutOver, 'undo' | 'digest' | 'pathBefore'>>,
): StoredCutOver {
  return { undo: [], digest: '', pathBefore: null, ...of, droppedIndexes: [], isFullColumnDropped: false };
}

/** A migration as its row says. */
export interface StoredMigration {
  readonly facts: MigrationFacts;
  /** The table's number in the catalogue when the migration last saw it. */
  readonly tableOid: string;
  readonly phase: InPlacePhase;
  readonly paused: boolean;
  readonly throttle: InPlaceThrottle | null;
  /** The last key that was filled; null before the first. */
  readonly position: readonly string[] | null;
  readonly filled: number;
  readonly verified: InPlaceDifferences | null;
  readonly cutOver: StoredCutOver | null;
}

/** Names a migration's row. */
export type MigrationKey = Pick<MigrationFacts, 'schema' | 'table' | 'column'>;

/** The number of the advisory lock of a migration, for statements. */
export function lockKeyOf({ schema, table, column }: MigrationKey): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(['tldr', schema, table, column]))
    .digest();
  return `'${hash.readBigInt64BE(0)}'::pg_catalog.int8`;
}

/**
 * The statement that lets one transaction after another make and remove what migrations share: the schema, its tables, and
 * encoders.
 */
export const LOCK_SHARED = `select pg_catalog.pg_advisory_xact_lock(${lockKeyOf({ schema: '', table: '', column: '' })})`;

/** Returns whether this database has the table of migrations. @throws UNSUPPORTED if a table of that name is another one */
export async function hasStateTable(query: SessionQuery): Promise<boolean> {
  const [row] = await query(
    `select exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'table_oid')::pg_catalog.text as "isOurs"
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'tldr' and c.relname = 'migration'`,
  );
  if (row === undefined) return false;
  if (textIn(row, 'isOurs') === 'true') return true;
  throw new TldrError(
    'UNSUPPORTED',
    `the schema tldr has a table "migration" that this program did not make: rename it, because the states of migrations are kept there`,
  );
}

/** Returns the migrations of a table, or of all tables if none is named: of one column if one is named. */
export async function readMigrations(
  query: SessionQuery,
  {
    schema,
    table,
    column,
  }: { readonly schema?: string; readonly table?: string; readonly column?: string | undefined },
  { isLocked = false } = {},
): Promise<readonly StoredMigration[]> {
  const rows = await query(
    `select table_oid, facts::pg_catalog.text as facts, phase, paused::pg_catalog.text as paused,
       coalesce(throttle::pg_catalog.text, 'null') as throttle,
       coalesce(position::pg_catalog.text, 'null') as position, filled::pg_catalog.text as filled,
       coalesce(verified::pg_catalog.text, 'null') as verified, coalesce(cut_over::pg_catalog.text, 'null') as "cutOver"
     from ${STATE} where ($1::pg_catalog.text is null or schema_name = $1 and table_name = $2) and ($3::pg_catalog.text is null or column_name = $3)
     order by column_name${isLocked ? ' for update' : ''}`,
    [schema ?? null, table ?? null, column ?? null],
  );
  return rows.map(storedMigration);
}

function storedMigration(row: Row): StoredMigration {
  return {
    tableOid: textIn(row, 'table_oid'),
    facts: checkedFacts(JSON.parse(textIn(row, 'facts'))),
    phase: checkedPhase(textIn(row, 'phase')),
    paused: textIn(row, 'paused') === 'true',
    throttle: checkedThrottle(JSON.parse(textIn(row, 'throttle'))),
    position: checkedTexts(JSON.parse(textIn(row, 'position'))),
    filled: Number(textIn(row, 'filled')),
    verified: checkedDifferences(JSON.parse(textIn(row, 'verified'))),
    cutOver: checkedCutOver(JSON.parse(textIn(row, 'cutOver'))),
  };
}

/** Values of a row that change. */
export type StateChange = Partial<
  Pick<
    StoredMigration,
    'tableOid' | 'phase' | 'paused' | 'throttle' | 'position' | 'filled' | 'verified' | 'cutOver'
  >
>;

/** Changes a migration's row. */
export async function changeState(
  query: SessionQuery,
  key: MigrationKey,
  change: StateChange,
): Promise<void> {
  const { tableOid, phase, paused, throttle, position, filled, verified, cutOver } = change;
  const json = (value: unknown): string =>
    value === null ? 'null' : `${literal(JSON.stringify(value))}::pg_catalog.jsonb`;
  const set = [
    ...(tableOid === undefined ? [] : [`table_oid = ${literal(tableOid)}`]),
    ...(phase === undefined ? [] : [`phase = ${literal(phase)}`]),
    ...(paused === undefined ? [] : [`paused = ${paused}`]),
    ...(throttle === undefined ? [] : [`throttle = ${json(throttle)}`]),
    ...(position === undefined ? [] : [`position = ${json(position)}`]),
    ...(filled === undefined ? [] : [`filled = ${filled}`]),
    ...(verified === undefined ? [] : [`verified = ${json(verified)}`]),
    ...(cutOver === undefined ? [] : [`cut_over = ${json(cutOver)}`]),
  ];
  await query(
    `update ${STATE} set ${[...set, 'updated_at = pg_catalog.now()'].join(', ')} where ${rowOf(key)}`,
  );
}

/**
 * The statement that stores an encoder. It runs before the encoder's function is made: one that is there already belongs to
 * somebody else, and is not removed with the migration.
 */
export function insertEncoder(facts: MigrationFacts, file: Uint8Array): string {
  const { fingerprint, extension } = facts;
  const project = literal(`${objectsOf(facts).project}(${extension}.vector)`);
  const bytes = Buffer.from(file).toString('base64');
  return `insert into "tldr"."encoder" (fingerprint, file, is_own) values (${literal(fingerprint)}, pg_catalog.decode('${bytes}', 'base64'), pg_catalog.to_regprocedure(${project}) is null) on conflict do nothing`;
}

/** The statement that stores a migration in its first phase. @param tableOid an expression */
export function insertState(facts: MigrationFacts, tableOid: string): string {
  const { schema, table, column, fingerprint } = facts;
  const names = [schema, table, column].map(literal);
  const own = [fingerprint, JSON.stringify(facts), 'installing'].map(literal);
  return `insert into ${STATE} (schema_name, table_name, column_name, table_oid, fingerprint, facts, phase) values (${[...names, tableOid, ...own].join(', ')})`;
}

/** The statement that removes a migration's row. */
export function deleteState(key: MigrationKey): string {
  return `delete from ${STATE} where ${rowOf(key)}`;
}

/** The condition that finds a migration's row. */
export function rowOf({ schema, table, column }: MigrationKey): string {
  return `schema_name = ${literal(schema)} and table_name = ${literal(table)} and column_name = ${literal(column)}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(what: string): TldrError {
  return new TldrError('INVALID_DATA', `tldr.migration holds no ${what} that this version can read`);
}

function textOf(record: Readonly<Record<string, unknown>>, name: string): string {
  const value = record[name];
  if (typeof value === 'string') return value;
  throw malformed(`facts with "${name}"`);
}

function wholeOf(record: Readonly<Record<string, unknown>>, name: string): number {
  const value = record[name];
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw malformed(`facts with "${name}"`);
}

function distanceOf(record: Readonly<Record<string, unknown>>, name: string): Distance {
  const found = DISTANCES.find((one) => one === record[name]);
  if (found === undefined) throw malformed(`facts with "${name}"`);
  return found;
}

function vectorTypeOf(record: Readonly<Record<string, unknown>>, name: string): 'vector' | 'halfvec' {
  const value = record[name];
  if (value === 'vector' || value === 'halfvec') return value;
  throw malformed(`facts with "${name}"`);
}

function layoutOf({ layout = 'side' }: Readonly<Record<string, unknown>>): InPlaceLayout {
  const found = IN_PLACE_LAYOUTS.find((one) => one === layout);
  if (found === undefined) throw malformed('layout');
  return found;
}

function checkedFacts(value: unknown): MigrationFacts {
  if (!isRecord(value) || !Array.isArray(value['key'])) throw malformed('facts');
  const key = value['key'].map((column: unknown) => {
    if (!isRecord(column)) throw malformed('key');
    return { name: textOf(column, 'name'), type: textOf(column, 'type') };
  });
  return {
    layout: layoutOf(value),
    schema: textOf(value, 'schema'),
    table: textOf(value, 'table'),
    column: textOf(value, 'column'),
    columnType: vectorTypeOf(value, 'columnType'),
    isPartitioned: value['isPartitioned'] === true,
    extension: textOf(value, 'extension'),
    key,
    fingerprint: textOf(value, 'fingerprint'),
    symmetric: value['symmetric'] === true,
    inputDim: wholeOf(value, 'inputDim'),
    outputDim: wholeOf(value, 'outputDim'),
    distance: distanceOf(value, 'distance'),
    compactDistance: distanceOf(value, 'compactDistance'),
    compactType: vectorTypeOf(value, 'compactType'),
    hnswM: value['hnswM'] === null ? null : wholeOf(value, 'hnswM'),
  };
}

function checkedPhase(text: string): InPlacePhase {
  const found = IN_PLACE_PHASES.find((one) => one === text);
  if (found === undefined) throw malformed(`phase "${text}"`);
  return found;
}

function checkedThrottle(value: unknown): InPlaceThrottle | null {
  if (value === null) return null;
  if (!isRecord(value)) throw malformed('throttle settings');
  const { maxLoad, nice } = value;
  if (typeof nice !== 'number' || !(maxLoad === null || typeof maxLoad === 'string'))
    throw malformed('throttle settings');
  return { maxLoad, nice };
}

function checkedTexts(value: unknown): readonly string[] | null {
  if (value === null) return null;
  if (Array.isArray(value) && value.every((one): one is string => typeof one === 'string')) return value;
  throw malformed('position');
}

function checkedDifferences(value: unknown): InPlaceDifferences | null {
  if (value === null) return null;
  if (!isRecord(value)) throw malformed('verification');
  return {
    points: wholeOf(value, 'points'),
    missing: wholeOf(value, 'missing'),
    orphans: wholeOf(value, 'orphans'),
    differing: wholeOf(value, 'differing'),
    lines: checkedTexts(value['lines']) ?? [],
  };
}

function checkedCutOver(value: unknown): StoredCutOver | null {
  if (value === null) return null;
  if (!isRecord(value)) throw malformed('cut-over');
  const form = value['form'];
  if (form !== 'function' && form !== 'operator' && form !== 'none') throw malformed('cut-over');
  return {
    form,
    name: textOf(value, 'name'),
    undo: checkedTexts(value['undo']) ?? [],
    digest: textOf(value, 'digest'),
    pathBefore: typeof value['pathBefore'] === 'string' ? value['pathBefore'] : null,
    droppedIndexes: checkedTexts(value['droppedIndexes']) ?? [],
    isFullColumnDropped: value['isFullColumnDropped'] === true,
  };
}
