import { expectDefined, TldrError } from '../../../src/core/errors.js';
import { sleep, throwIfAborted, type RunOptions } from '../../../src/core/run-options.js';
import type {
  InPlaceChange,
  InPlaceCompletion,
  InPlaceCutOverRequest,
  InPlaceDifferences,
  InPlaceState,
  InPlaceThrottle,
  InPlaceWork,
  InPlaceWorkOptions,
} from '../../../src/store/in-place-target.js';
import { changeRolePath } from '../catalog/role-path.js';
import type { Connections } from '../connect/connections.js';
import { dropBaseIndex, lackingIndexes, leftBaseIndex } from './base-index.js';
import { buildCompactIndex, wantedIndex } from './build-index.js';
import { compareProjections } from './compare-projections.js';
import { compareAll, compareKeys, compareSample } from './compare.js';
import { fillRange, rangeEnd, repairRange } from './fill.js';
import { lackingTriggers, partitionTrigger, partitionsWithoutTrigger } from './install.js';
import { objectsOf, type MigrationFacts } from './objects.js';
import { sqlStateOf, type SessionQuery, type Session } from '../connect/session.js';
import { hasFullColumn, lostRolePath, shownState, tableOidOf } from './shown-state.js';
import {
  LOCK_SHARED,
  changeState,
  readMigrations,
  type StateChange,
  type StoredMigration,
} from './state-table.js';
import { completeInPlace, removeStatements } from './end.js';
import { checkPhase, cutOverInPlace, rollBackInPlace } from './cut-over.js';
import { prepareOperator, prepareOperatorIndex } from './operator.js';
import { checkDroppable, checkFullColumn, dropWords } from './check-drop.js';
import { dropColumn } from './drop-column.js';

/**
 * A batch waits for clients for less than this, and for less than the server takes to look for a deadlock, so that it never
 * has to choose who gives way.
 */
const BATCH_LOCK_MS = 250;
const BATCH_LOCK_TIMEOUT = `select pg_catalog.set_config('lock_timeout', greatest(1, least(${BATCH_LOCK_MS},
  extract(epoch from pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval) * 250))::pg_catalog.int4::pg_catalog.text, true)`;
const LOCK_NOT_AVAILABLE = '55P03';
const INSUFFICIENT_PRIVILEGE = '42501';
const DEADLOCK = '40P01';
const FIRST_DELAY_MS = 100;
const DELAY_MS_MAX = 10_000;

/** A migration of one column that this process works on. */
export class PgvectorInPlaceWork implements InPlaceWork {
  readonly #session: Session;
  readonly #connections: Connections;
  readonly #facts: MigrationFacts;
  readonly #options: InPlaceWorkOptions;

  constructor(
    session: Session,
    {
      connections,
      facts,
      options,
    }: {
      readonly connections: Connections;
      readonly facts: MigrationFacts;
      readonly options: InPlaceWorkOptions;
    },
  ) {
    this.#session = session;
    this.#connections = connections;
    this.#facts = facts;
    this.#options = options;
  }

  /** Whether PostgreSQL itself keeps the compact vectors, as an index of the base table. */
  get #isIndexOnly(): boolean {
    return this.#facts.layout === 'index-only';
  }

  async state(): Promise<InPlaceState> {
    return this.#session.transaction('', async (query) => shownState(query, await this.#stored(query)));
  }

  /** @throws MISMATCH if the table is not as the migration knows it */
  async #checkedState(): Promise<InPlaceState> {
    const state = await this.state();
    if (state.problems.length > 0) throw new TldrError('MISMATCH', state.problems.join('; '));
    return state;
  }

  async install(): Promise<void> {
    await this.#installTriggers();
    await this.#change({ phase: this.#isIndexOnly ? 'indexing' : 'filling' });
  }

  async #installTriggers(): Promise<void> {
    await this.#repairTriggers();
    // Triggers of partitions may have to fire always, as that of the table does.
    if (await this.#installInPartitions()) await this.#repairTriggers();
  }

  async #repairTriggers(): Promise<void> {
    await this.#locking(async (query) => {
      for (const { line, statements } of await lackingTriggers(query, this.#facts))
        await query(statements.join('; ')).catch((cause: unknown) => {
          if (sqlStateOf(cause) !== INSUFFICIENT_PRIVILEGE) throw cause;
          const ask = `ask the owner of the table to run:\n  ${statements.join(';\n  ')};`;
          throw new TldrError('FORBIDDEN', `${line}, and this role may not change that: ${ask}`, { cause });
        });
    });
  }

  /** Returns whether there was a partition without its trigger. */
  async #installInPartitions(): Promise<boolean> {
    const partitions = await this.#session.transaction('', (query) =>
      partitionsWithoutTrigger(query, this.#facts),
    );
    for (const partition of partitions)
      await this.#locking(async (query) => {
        await query(partitionTrigger(this.#facts, partition));
      });
    return partitions.length > 0;
  }

  async fillNext(rows: number): Promise<{ readonly rows: number; readonly isOver: boolean }> {
    for (let attempt = 0, fewer = rows; ; attempt++) {
      throwIfAborted(this.#options.signal);
      try {
        return await this.#batch(fewer);
      } catch (error) {
        const state = sqlStateOf(error);
        if (state !== LOCK_NOT_AVAILABLE && state !== DEADLOCK) throw error;
        fewer = Math.max(1, Math.floor(fewer / 4));
        this.#options.log?.('debug', 'a client holds a row of this batch: trying again with fewer rows');
        await sleep(Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** attempt), this.#options.signal);
      }
    }
  }

  /** Fills one range, and stores its end in the same transaction. */
  #batch(rows: number): Promise<{ readonly rows: number; readonly isOver: boolean }> {
    const settings = `${BATCH_LOCK_TIMEOUT}; set local row_security = off`;
    return this.#session.transaction(settings, async (query) => {
      const { phase, position, filled, paused } = await this.#stored(query, { isLocked: true });
      if (paused) throw new TldrError('ABORTED', 'the migration was paused', { hint: 'resume-paused' });
      if (phase !== 'filling' && phase !== 'repairing') return { rows: 0, isOver: true };
      const upTo = await rangeEnd(query, this.#facts, { after: position, rows });
      const write = phase === 'filling' ? fillRange : repairRange;
      const done = await write(query, this.#facts, { after: position, upTo });
      const isOver = upTo === null;
      await changeState(query, this.#facts, {
        filled: filled + done,
        position: upTo,
        ...(isOver ? { phase: 'indexing' as const } : {}),
      });
      return { rows: done, isOver };
    });
  }

  async buildIndex(run: RunOptions = {}): Promise<void> {
    const isPaused = async (): Promise<boolean> => {
      const query: SessionQuery = (text, values) => this.#connections.query(text, values);
      return (await this.#stored(query)).paused;
    };
    for (const index of await this.#wantedIndexes())
      await buildCompactIndex(this.#session, this.#connections, { index, isPaused, ...run });
    await this.#change({ phase: 'verifying' });
  }

  /** The index of the compact vectors; in the layout side, also that of an operator. */
  #wantedIndexes(): Promise<readonly ReturnType<typeof wantedIndex>[]> {
    return this.#session.transaction('', async (query) => {
      const { facts, cutOver } = await this.#stored(query);
      if (this.#isIndexOnly) return [wantedIndex(facts, 'base')];
      const side = wantedIndex(facts, 'side');
      return cutOver?.form === 'operator' ? [side, await prepareOperatorIndex(query, facts)] : [side];
    });
  }

  async verify({
    sample,
    ...run
  }: RunOptions & { readonly sample?: number | undefined }): Promise<InPlaceDifferences> {
    const { points } = await this.#checkedState();
    const query: SessionQuery = (text, values) =>
      this.#session.transaction('set local row_security = off', (ask) => ask(text, values));
    const found = (await this.#isColumnDropped())
      ? await compareKeys(query, this.#facts)
      : await this.#compare(query, { ...run, sample, total: points ?? Number.POSITIVE_INFINITY });
    const all = { ...found, lines: [...(await this.#incomplete(query)), ...found.lines] };
    await this.#session.transaction('', (ask) => this.#keepVerified(ask, all, sample !== undefined));
    return all;
  }

  #compare(
    query: SessionQuery,
    { sample, ...run }: RunOptions & { readonly sample: number | undefined; readonly total: number },
  ): Promise<InPlaceDifferences> {
    if (this.#isIndexOnly) return compareProjections(query, this.#facts, { ...run, sample });
    return sample === undefined
      ? compareAll(query, this.#facts, run)
      : compareSample(query, this.#facts, sample);
  }

  /** Parts of the installation that are missing, for people. */
  async #incomplete(query: SessionQuery): Promise<readonly string[]> {
    const partitions = await partitionsWithoutTrigger(query, this.#facts);
    return [
      ...(await lackingIndexes(query, await this.#stored(query))),
      ...(await lackingTriggers(query, this.#facts)).map(({ line }) => line),
      ...partitions.map((partition) => `the partition ${partition} has no trigger for TRUNCATE`),
    ];
  }

  /** Stores the result. A sample proves differences, never that there are none. */
  async #keepVerified(query: SessionQuery, verified: InPlaceDifferences, isSample: boolean): Promise<void> {
    const { phase, cutOver } = await this.#stored(query, { isLocked: true });
    if (verified.lines.length > 0) {
      const isFilled = !['installing', 'filling', 'repairing', 'indexing'].includes(phase);
      const repair = cutOver?.isFullColumnDropped === true ? ({ phase: 'complete' } as const) : this.#repair;
      await changeState(query, this.#facts, { verified, ...(isFilled ? repair : {}) });
      return;
    }
    if (isSample) return;
    const tableOid = expectDefined(await tableOidOf(query, this.#facts), 'the table');
    const used = cutOver?.isFullColumnDropped === true ? 'complete' : 'cut-over';
    const next = cutOver === null ? 'ready' : used;
    const lost = phase === 'verifying' ? await lostRolePath(query, cutOver) : null;
    if (lost !== null && cutOver !== null) await changeRolePath(query, lost, cutOver.digest);
    await changeState(query, this.#facts, {
      verified,
      tableOid,
      ...(phase === 'verifying' ? { phase: next } : {}),
    });
  }

  async beginRepair(): Promise<void> {
    await this.#installTriggers();
    await this.#change((await this.#isColumnDropped()) ? { phase: 'indexing' } : this.#repair);
  }

  #isColumnDropped(): Promise<boolean> {
    return this.#session.transaction('', async (query) => {
      const { cutOver } = await this.#stored(query);
      return cutOver?.isFullColumnDropped === true;
    });
  }

  /** How a repair begins. */
  get #repair(): StateChange {
    return this.#isIndexOnly ? { phase: 'indexing' } : { phase: 'repairing', position: null, filled: 0 };
  }

  setPaused(paused: boolean): Promise<void> {
    return this.#change({ paused });
  }

  async throttle(): Promise<InPlaceThrottle | null> {
    return (await this.#session.transaction('', (query) => this.#stored(query))).throttle;
  }

  async cutOver(request: InPlaceCutOverRequest, run: RunOptions = {}): Promise<InPlaceChange> {
    await this.#checkedState();
    if (request.form === 'operator') await this.#prepareOperator(request, run);
    return this.#session.transaction('', async (query) => {
      const stored = await this.#stored(query, { isLocked: true });
      return cutOverInPlace(query, stored, request);
    });
  }

  async #prepareOperator(request: InPlaceCutOverRequest, run: RunOptions): Promise<void> {
    const index = await this.#session.transaction('', async (query) => {
      const stored = await this.#stored(query);
      checkPhase(stored, request);
      return stored.cutOver === null
        ? prepareOperator(query, this.#facts, request.name)
        : prepareOperatorIndex(query, this.#facts);
    });
    const isPaused = (): Promise<boolean> => Promise.resolve(false);
    await buildCompactIndex(this.#session, this.#connections, { index, isPaused, ...run });
  }

  async rollBack(): Promise<InPlaceChange> {
    let done: InPlaceChange | null = null;
    const change = await this.#session.transaction('', async (query) => {
      const stored = await this.#stored(query, { isLocked: true });
      if (stored.cutOver === null) {
        // The connection may have been lost after the rollback was committed.
        if (done !== null) return done;
        const left = await leftBaseIndex(query, stored);
        if (left.length > 0)
          return { lines: left.map((name) => `${name}, which was left over, is removed`), statements: [] };
      }
      done = await rollBackInPlace(query, stored);
      return done;
    });
    // In the layout index-only, the index was there before the cut-over.
    if (!this.#isIndexOnly) await dropBaseIndex(this.#session, this.#facts);
    return change;
  }

  async complete(completion: InPlaceCompletion, run: RunOptions = {}): Promise<InPlaceChange> {
    if (completion.dropFullColumn !== undefined) return this.#dropColumn(completion.dropFullColumn, run);
    const stored = await this.#session.transaction('', (query) => this.#stored(query));
    const { lines, statements } = await completeInPlace(this.#session, stored, completion);
    if (stored.cutOver?.form !== 'operator') return { lines, statements };
    const { baseIndex } = objectsOf(this.#facts);
    return { lines: [...lines, `the operator needs the index ${baseIndex}, which stays`], statements };
  }

  /** Compares all rows, and then deletes the full vectors: triggers keep both equal in between. */
  async #dropColumn(words: string, run: RunOptions): Promise<InPlaceChange> {
    const expected = dropWords(this.#facts);
    if (words !== expected)
      throw new TldrError(
        'INVALID_ARGUMENT',
        `to delete the full vectors for good, give exactly these words: "${expected}"`,
      );
    const isDropped = await this.#session.transaction('', async (query) => {
      const stored = await this.#stored(query);
      if (stored.cutOver?.isFullColumnDropped === true) return true;
      await checkDroppable(query, stored);
      return false;
    });
    const found = isDropped ? null : await this.verify(run);
    if (found !== null && found.lines.length > 0)
      throw new TldrError('VERIFY_FAILED', `nothing was dropped: ${found.lines.join('; ')}`, {
        hint: 'resume-migration',
        result: found,
      });
    return this.#locking(async (query) => dropColumn(query, await this.#stored(query, { isLocked: true })));
  }

  async remove(): Promise<void> {
    await this.#locking(async (query) => {
      await query(LOCK_SHARED);
      const [stored] = await readMigrations(query, this.#facts, { isLocked: true });
      // Removed already: the connection may have been lost after that was committed.
      if (stored?.facts.fingerprint !== this.#facts.fingerprint) return;
      // Another process may have cut over while this one waited for the lock of the migration.
      const { cutOver } = stored;
      const isLeft = cutOver?.isFullColumnDropped === true && (await this.#isOfNoUse(query));
      if (!isLeft) checkFullColumn(this.#facts, cutOver);
      if (cutOver !== null && cutOver.form !== 'none' && !isLeft)
        throw new TldrError('INVALID_ARGUMENT', `${cutOver.name} uses the compact vectors`, {
          hint: 'roll-back-first',
        });
      await query((await removeStatements(query, this.#facts)).join('; '));
    });
  }

  /** Whether compact vectors without their full column are not the only ones left: no table, or its column again. */
  async #isOfNoUse(query: SessionQuery): Promise<boolean> {
    return (await tableOidOf(query, this.#facts)) === null || hasFullColumn(query, this.#facts);
  }

  release(): Promise<void> {
    return this.#session.close();
  }

  async #stored(
    query: SessionQuery,
    options: { readonly isLocked?: boolean } = {},
  ): Promise<StoredMigration> {
    const { schema, table, column } = this.#facts;
    const [stored] = await readMigrations(query, { schema, table, column }, options);
    if (stored?.facts.fingerprint === this.#facts.fingerprint) return stored;
    throw new TldrError('NOT_FOUND', `the migration of ${schema}.${table} was removed meanwhile`);
  }

  #change(change: StateChange): Promise<void> {
    return this.#session.transaction('', (query) => changeState(query, this.#facts, change));
  }

  /** Runs statements that lock the table. Those that lock it are short, so one that lasts is given up as well. */
  #locking<T>(body: (query: SessionQuery) => Promise<T>): Promise<T> {
    const { lockWaitMs } = this.#options;
    return this.#session.locking(
      { lockWaitMs, settings: `set local statement_timeout = ${lockWaitMs + 1_000}` },
      body,
    );
  }
}
