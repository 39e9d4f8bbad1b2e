import { TldrError } from '../../../src/core/errors.js';
import { Encoder } from '../../../src/encoder/model.js';
import type {
  InPlaceChange,
  InPlaceCompletionPlan,
  InPlaceCutOverRequest,
  InPlaceMigrations,
  InPlaceName,
  InPlacePlan,
  InPlaceRequest,
  InPlaceState,
  InPlaceStep,
  InPlaceThrottle,
  InPlaceWork,
  InPlaceWorkOptions,
} from '../../../src/store/in-place-target.js';
import { pickVector } from '../../../src/store/pick-vector.js';
import { describeTable, type TableFacts, type TableSettings } from '../catalog/describe-table.js';
import { findTableOrNull, type FoundTable } from '../catalog/find-table.js';
import { literal, partsOfName, quoted } from '../catalog/identifiers.js';
import { textIn } from '../catalog/values.js';
import type { Connections } from '../connect/connections.js';
import { encoderNotes, encoderStatements } from '../sql/encoder-script.js';
import { storedWeights } from '../sql/stored-weights.js';
import { checkBaseIndex, indexedFunctionsStep } from './base-index.js';
import { wantedIndex } from './build-index.js';
import { planCutOverInPlace } from './cut-over.js';
import { planDropIndexes } from './end.js';
import { functionsStep, readersOf, sideTableStep, triggersStep } from './install.js';
import { SCHEMA, extensionName, migrationFacts, objectsOf, type MigrationFacts } from './objects.js';
import { checkStateRights, checkTable } from './preflight.js';
import { migrationScript } from './script.js';
import { Session, type SessionQuery } from '../connect/session.js';
import { shownState } from './shown-state.js';
import {
  LOCK_SHARED,
  STATE_TABLES,
  changeState,
  hasStateTable,
  insertEncoder,
  insertState,
  lockKeyOf,
  readMigrations,
  type StateChange,
  type StoredMigration,
} from './state-table.js';
import { checkFullColumn, checkFullColumns } from './check-drop.js';
import { planDropColumn } from './drop-column.js';
import { PgvectorInPlaceWork } from './work.js';

const PAUSE_POLL_MS = 200;

/** A migration that can begin. */
interface Prepared {
  readonly facts: MigrationFacts;
  readonly tableOid: string;
  readonly points: number | null;
  /** Makes the tables of this program, before its row of the encoder and all else. */
  readonly stateStep: InPlaceStep;
  /** What touches nothing of others and is made in one transaction. */
  readonly ownSteps: readonly InPlaceStep[];
  readonly laterSteps: readonly InPlaceStep[];
  readonly notes: readonly string[];
}

/** Migrations of tables: compact vectors in a table beside them, which triggers keep up to date. */
export class PgvectorMigrations implements InPlaceMigrations {
  readonly #connections: Connections;
  readonly #settings: TableSettings;

  constructor(connections: Connections, settings: TableSettings) {
    this.#connections = connections;
    this.#settings = settings;
  }

  async plan(request: InPlaceRequest): Promise<InPlacePlan> {
    const { facts, points, stateStep, ownSteps, laterSteps, notes } = await this.#prepare(request);
    return {
      collection: request.collection,
      vectorName: facts.column,
      points,
      inputDim: facts.inputDim,
      outputDim: facts.outputDim,
      layout: facts.layout,
      distance: facts.distance,
      encoderFingerprint: facts.fingerprint,
      datatype: facts.compactType === 'halfvec' ? 'float16' : 'float32',
      steps: [stateStep, ...ownSteps, ...laterSteps],
      notes,
    };
  }

  async #prepare(request: InPlaceRequest): Promise<Prepared> {
    const encoder = Encoder.fromBytes(request.encoder);
    return this.#connections.read(async (transaction) => {
      const { query } = transaction;
      const table = await describeTable(transaction, {
        name: request.collection,
        endpoint: this.#connections.endpoint,
        settings: this.#settings,
      });
      if (table.vectors.length === 0) await checkFullColumns(query, table);
      const vector = vectorOf(table, request);
      const { layout = 'side' } = request;
      const checked = await checkTable(query, { table, vector, encoder, layout });
      const facts = migrationFacts(table, vector, {
        encoder,
        layout,
        compactType: compactTypeFor(request, encoder),
        hnswM: request.hnswM,
      });
      if (facts.layout === 'index-only') await checkBaseIndex(query, facts);
      const readers = await readersOf(query, facts);
      const { hasSchema, hasRowSecurity, notes } = checked;
      const names = { schema: SCHEMA, extensionSchema: extensionName(facts) };
      const stored = await storedWeights({ query }, objectsOf(facts).weights);
      const weights = stored.points === 'vector' ? ('float32' as const) : undefined;
      return {
        facts,
        tableOid: table.oid,
        points: table.estimatedRows >= 0 ? table.estimatedRows : null,
        notes: [...notes, ...encoderNotes(encoder, { ...names, weights }), ...rangeNotes(facts, encoder)],
        stateStep: {
          title: 'the tables of this program',
          statements: [...(hasSchema ? [] : [`create schema if not exists "${SCHEMA}"`]), ...STATE_TABLES],
        },
        ownSteps: [
          {
            title: 'the encoder as a function of the database',
            statements: [encoderStatements(encoder, names, stored)],
          },
          ...(facts.layout === 'index-only'
            ? [indexedFunctionsStep(facts, readers)]
            : [sideTableStep(facts, { readers, hasRowSecurity }), functionsStep(facts)]),
        ],
        laterSteps: laterStepsOf(facts),
      };
    });
  }

  async script(request: InPlaceRequest, cutOver: InPlaceCutOverRequest): Promise<readonly InPlaceStep[]> {
    const prepared = await this.#prepare(request);
    const encoderFile = request.encoder;
    return this.#connections.read(({ query }) =>
      migrationScript(query, { ...prepared, encoderFile }, cutOver),
    );
  }

  async find(name: InPlaceName): Promise<InPlaceState | null> {
    return this.#connections.read(async ({ query }) => {
      const stored = await this.#stored(query, name);
      return stored === null ? null : shownState(query, stored);
    });
  }

  async begin(request: InPlaceRequest, options: InPlaceWorkOptions): Promise<InPlaceWork> {
    // First what the role may do, so that it is asked for all missing rights at once.
    const prepared = await this.#prepare(request);
    const name = { ...request, vectorName: prepared.facts.column };
    const known = await this.#connections.read(({ query }) => this.#stored(query, name));
    if (known !== null) {
      checkSame(known, prepared.facts);
      checkFullColumn(known.facts, known.cutOver);
    }
    const session = await Session.open(this.#connections, lockKeyOf(prepared.facts), options);
    try {
      const facts = await session.locking(options, async (query) => {
        const own = await makeTables(query, prepared, request.encoder);
        await changeState(query, own, { paused: false });
        return own;
      });
      return new PgvectorInPlaceWork(session, { connections: this.#connections, facts, options });
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async resume(name: InPlaceName, options: InPlaceWorkOptions): Promise<InPlaceWork> {
    const found = await this.#connections.read(({ query }) => this.#stored(query, name));
    if (found === null) throw noMigration(name);
    const session = await Session.open(this.#connections, lockKeyOf(found.facts), options);
    try {
      // Another process may have removed it meanwhile, and begun another one.
      const stored = await session.transaction('', (query) => this.#stored(query, name));
      if (stored === null) throw noMigration(name);
      const { facts } = stored;
      return new PgvectorInPlaceWork(session, { connections: this.#connections, facts, options });
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async pause(name: InPlaceName, waitMs: number): Promise<boolean> {
    await this.#change(name, { paused: true });
    for (const begunAtMs = performance.now(); performance.now() - begunAtMs < waitMs;) {
      if ((await this.find(name))?.runner == null) return true;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_POLL_MS));
    }
    return false;
  }

  setThrottle(name: InPlaceName, throttle: InPlaceThrottle): Promise<void> {
    return this.#change(name, { throttle });
  }

  /** Changes a migration's row beside the process that works on it. */
  async #change(name: InPlaceName, change: StateChange): Promise<void> {
    const found = await this.#connections.read(({ query }) => this.#stored(query, name));
    if (found === null) throw noMigration(name);
    const client = await this.#connections.openClient();
    try {
      const query: SessionQuery = async (text, values = []) =>
        (await client.query<Readonly<Record<string, unknown>>>(text, [...values])).rows;
      await changeState(query, found.facts, change);
    } finally {
      await client.end();
    }
  }

  async planCutOver(name: InPlaceName, request: InPlaceCutOverRequest): Promise<InPlaceChange> {
    return this.#connections.read(async ({ query }) => {
      const stored = await this.#stored(query, name);
      if (stored === null) throw noMigration(name);
      return planCutOverInPlace(query, stored, request);
    });
  }

  async planCompletion(
    name: InPlaceName,
    { fullIndexes, fullColumn }: { readonly fullIndexes: boolean; readonly fullColumn: boolean },
  ): Promise<InPlaceCompletionPlan> {
    return this.#connections.read(async ({ query }) => {
      const stored = await this.#stored(query, name);
      if (stored === null) throw noMigration(name);
      if (fullColumn) return planDropColumn(query, stored);
      const planned = fullIndexes ? await planDropIndexes(query, stored) : { lines: [], statements: [] };
      return { ...planned, words: null };
    });
  }

  /** Returns a migration by the name of its table; null without one. @throws INVALID_ARGUMENT if there are several */
  async #stored(
    query: SessionQuery,
    { collection, vectorName }: InPlaceName,
  ): Promise<StoredMigration | null> {
    if (!(await hasStateTable(query))) return null;
    await checkStateRights(query);
    const table = await findTableOrNull({ query }, collection);
    // The table may have been dropped, with its migration left behind.
    const [first, second] = partsOfName(collection) ?? [];
    const schema = table?.schema ?? (second === undefined ? 'public' : first?.text) ?? '';
    const name = table?.name ?? second?.text ?? first?.text ?? collection;
    const found = await readMigrations(query, { schema, table: name, column: vectorName });
    if (found.length === 0 && table !== null) await checkNotRenamed(query, table);
    if (found.length > 1)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `several vectors of ${collection} are migrated: name one of ${found.map(({ facts }) => facts.column).join(', ')}`,
      );
    return found[0] ?? null;
  }
}

/** @throws MISMATCH for a table that had another name when its migration began, and has its triggers */
async function checkNotRenamed(query: SessionQuery, { oid, schema, name }: FoundTable): Promise<void> {
  const rows = await query(
    `select g.tgname::pg_catalog.text as name from pg_catalog.pg_trigger g where g.tgrelid = $1::pg_catalog.oid and g.tgparentid = 0`,
    [oid],
  );
  const triggers = rows.map((row) => quoted(textIn(row, 'name')));
  for (const { facts } of triggers.length === 0 ? [] : await readMigrations(query, {})) {
    const { base, writeTrigger } = objectsOf(facts);
    const hasOtherName = facts.schema !== schema || facts.table !== name;
    if (hasOtherName && triggers.includes(writeTrigger))
      throw new TldrError(
        'MISMATCH',
        `this table was ${base} when its migration began: give it its name back, or first abort the migration of ${base}`,
      );
  }
}

/** Steps that lock the table or take long. */
function laterStepsOf(facts: MigrationFacts): readonly InPlaceStep[] {
  if (facts.layout === 'index-only') {
    const { statement } = wantedIndex(facts, 'base');
    return [
      {
        title: 'the index of the compact vectors, which is all that is added to the table',
        statements: [statement],
      },
    ];
  }
  return [
    triggersStep(facts),
    {
      title: 'the index of the compact vectors, after they were written',
      statements: [wantedIndex(facts, 'side').statement],
    },
  ];
}

function noMigration({ collection }: InPlaceName): TldrError {
  return new TldrError('NOT_FOUND', `there is no migration of ${collection}`, { hint: 'start-migration' });
}

function vectorOf(
  table: TableFacts,
  { collection, vectorName }: InPlaceRequest,
): TableFacts['vectors'][number] {
  const { name } = pickVector(
    {
      name: collection,
      vectors: table.vectors.map((vector) => ({ ...vector, multivector: false, componentBytes: 4 })),
      otherVectors: table.otherVectors,
      partitions: [],
      metadata: {},
      native: '{}',
    },
    vectorName,
  );
  const found = table.vectors.find((vector) => vector.name === name);
  if (found !== undefined) return found;
  throw new TldrError('INTERNAL', `the vector ${name} is missing`);
}

/** A vector of unit length fits into half precision; any other one might not. */
function compactTypeFor({ datatype }: InPlaceRequest, encoder: Encoder): MigrationFacts['compactType'] {
  if (datatype !== undefined) return datatype === 'float16' ? 'halfvec' : 'vector';
  return encoder.network.normalizeOutput ? 'halfvec' : 'vector';
}

function rangeNotes({ compactType }: MigrationFacts, { network }: Encoder): readonly string[] {
  if (compactType !== 'halfvec' || network.normalizeOutput) return [];
  return [
    'compact vectors are not of unit length, and are stored in half precision: the database refuses a row whose compact vector has a component beyond 65,504',
  ];
}

/** @throws MISMATCH for a migration with another encoder or layout */
function checkSame({ facts, phase }: StoredMigration, { fingerprint, layout }: MigrationFacts): void {
  if (facts.fingerprint === fingerprint && facts.layout === layout) return;
  if (facts.fingerprint === fingerprint)
    throw new TldrError(
      'MISMATCH',
      `${objectsOf(facts).base} has a migration with the layout ${facts.layout} (${phase}): continue that one, or end and remove it first`,
    );
  throw new TldrError(
    'MISMATCH',
    `${objectsOf(facts).base} has a migration with encoder ${facts.fingerprint.slice(0, 16)} (${phase}), the given one is ${fingerprint.slice(0, 16)}: continue that one, or end and remove it first`,
  );
}

/**
 * Removes objects of this migration that are there without its state, as after a restore of the schema alone. What they
 * held is made from the full vectors.
 */
async function removeOrphans(query: SessionQuery, facts: MigrationFacts): Promise<void> {
  const [row] = await query(`select (pg_catalog.to_regclass($1) is not null)::pg_catalog.text as "isThere"`, [
    objectsOf(facts).side,
  ]);
  if (row?.['isThere'] !== 'true') return;
  const { onWrite, onTruncate, syncRow, side } = objectsOf(facts);
  for (const statement of [
    `drop function if exists ${onWrite}() cascade`,
    `drop function if exists ${onTruncate}() cascade`,
    `drop function if exists ${syncRow}`,
    `drop table ${side}`,
  ])
    await query(statement);
}

/** Makes all that does not touch the base table, and the migration's row, unless they are there. Returns its facts. */
async function makeTables(
  query: SessionQuery,
  { facts, tableOid, stateStep, ownSteps }: Prepared,
  file: Uint8Array,
): Promise<MigrationFacts> {
  await query(LOCK_SHARED);
  if (await hasStateTable(query)) {
    const { schema, table, column } = facts;
    const [known] = await readMigrations(query, { schema, table, column });
    if (known !== undefined) {
      checkSame(known, facts);
      return known.facts;
    }
  }
  for (const statement of stateStep.statements) await query(statement);
  await query(insertEncoder(facts, file));
  await removeOrphans(query, facts);
  for (const { statements } of ownSteps) for (const statement of statements) await query(statement);
  await query(insertState(facts, literal(tableOid)));
  return facts;
}
