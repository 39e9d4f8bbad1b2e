import { allNames } from '../../store/facets.js';
import { TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import { proxyControlOf, type HeldJournal, type ProxyControl } from '../dual-write/proxy-control.js';
import { readMigrationState, withMigrationState, type StartedMigration } from '../state/with-lock.js';
import { inEffect, type MigrationState } from '../state/migration-state.js';
import { aliasTo, isOwnTarget } from '../state/own-target.js';
import { readByProxy } from './cut-over-by-proxy.js';
import { setAsideText } from '../dual-write/points-set-aside.js';
import { joinShares, workingOn } from '../state/shares.js';

const STOP_POLL_MS = 200;
const STOP_TIMEOUT_MS = 60_000;

/** Input of `completeMigration`. */
export interface CompleteRequest extends StartedMigration {
  /** Clients reach the target without a cut-over by this tool, for example through the proxy. */
  readonly withoutCutOver?: boolean | undefined;
  readonly deleteSource?: boolean | undefined;
}

/** The state of the source that `complete` finds before it writes. */
export interface Completion {
  readonly source: string;
  readonly sourceExists: boolean;
}

/**
 * Checks that the migration can be completed. Writes nothing.
 * @throws INVALID_ARGUMENT when clients do not use the target, or still use a source that is to be deleted
 * @throws VERIFY_FAILED when the source is still needed, or has changed since the verification
 * @throws NOT_FOUND when the target does not exist or another tool made it
 */
export async function planCompletion(request: CompleteRequest, state: MigrationState): Promise<Completion> {
  const { completion, journal } = await checkCompletion(request, state);
  await journal?.release();
  return completion;
}

/** A completion that was checked. If the source is to be deleted, no proxy starts before `journal` is released. */
interface CheckedCompletion {
  readonly completion: Completion;
  readonly journal: HeldJournal | null;
}

async function checkCompletion(request: CompleteRequest, state: MigrationState): Promise<CheckedCompletion> {
  const { source, target } = request;
  const { cutOver, targetCollection, sourceCollection, verifiedPoints } = state;
  if (!(await isOwnTarget(target, state)))
    throw new TldrError('NOT_FOUND', `${targetCollection} does not exist, or was not made by this migration`);
  const proxy = await proxyControlOf(state)?.status();
  const setAside = proxy?.living === true ? (proxy.report.setAside ?? null) : null;
  if (setAside !== null)
    throw new TldrError('VERIFY_FAILED', `the source is still needed: ${setAsideText(setAside)}`);
  const aliases = await allNames(target);
  const leadsTo = cutOver?.form === 'proxy' ? await readByProxy(state) : cutOver && aliases.get(cutOver.name);
  const live = cutOver?.state === 'done' && leadsTo === targetCollection;
  if (!live && request.withoutCutOver !== true) {
    throw new TldrError('INVALID_ARGUMENT', `no cut-over to ${targetCollection} is in effect`, {
      hint: 'cut-over-first',
    });
  }
  const sourceExists = (await source.listCollections()).includes(sourceCollection);
  const completion: Completion = { source: sourceCollection, sourceExists };
  if (request.deleteSource === true && sourceExists) {
    if (verifiedPoints === null || state.phase !== 'verified')
      throw new TldrError('VERIFY_FAILED', 'the copy is not verified, so the source is not deleted', {
        hint: 'verify',
      });
    const serving = await aliasTo(source, sourceCollection);
    if (serving !== undefined)
      throw new TldrError('INVALID_ARGUMENT', `${sourceCollection} is still in use as "${serving}"`);
    const proxy = proxyControlOf(state);
    if (proxy !== null) return { completion, journal: await holdEndedJournal(proxy, state) };
    // An alias that hides the source by its own name prevents counting it, and also writing to it.
    const hidden = aliases.has(sourceCollection);
    const count = hidden ? verifiedPoints : await source.count(sourceCollection);
    if (count !== verifiedPoints) {
      throw new TldrError(
        'VERIFY_FAILED',
        `${sourceCollection} has ${count} points now, but had ${verifiedPoints} at the verification: clients still write to it`,
      );
    }
  }
  return { completion, journal: null };
}

/**
 * Checks that no proxy needs the source any more, and keeps its journal locked: a proxy that started after
 * the check could journal writes that only the source has.
 * @throws INVALID_ARGUMENT while a proxy writes to the source, VERIFY_FAILED when the target may lack writes
 */
async function holdEndedJournal(proxy: ProxyControl, state: MigrationState): Promise<HeldJournal> {
  const { sourceCollection, targetCollection } = state;
  const { living, report, ageMs } = await proxy.status();
  if (living)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${sourceCollection} is not deleted while a proxy writes to it (process ${report.pid}, seen ${Math.round(ageMs / 1000)} s ago)`,
      { hint: 'end-proxy', target: targetCollection },
    );
  const journal = await proxy.holdJournal();
  const { openCount } = journal;
  if (openCount === 0) return journal;
  await journal.release();
  throw new TldrError(
    'VERIFY_FAILED',
    `${openCount} writes in the journal ${proxy.folder} are not known to be in ${targetCollection}`,
    { hint: 'drain-proxy', target: targetCollection },
  );
}

/**
 * Completes the migration and, if requested, deletes the source.
 * @throws as `planCompletion`
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { completeMigration, stateFile } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * await completeMigration({ ...migration, withoutCutOver: true }); // clients read docs_small by its own name
 * await store.close();
 * ```
 */
export function completeMigration(request: CompleteRequest): Promise<Completion> {
  return withMigrationState(request, async (state, lost) => {
    const { completion, journal } = await checkCompletion(request, state);
    try {
      lost.throwIfAborted();
      // Without ids, this only restores target settings that an interrupted write left changed.
      await request.target.remove(state.targetCollection, []);
      state.completed = true;
      await request.place.write(state);
      if (request.deleteSource === true && completion.sourceExists)
        await request.source.drop(state.sourceCollection);
    } finally {
      await journal?.release();
    }
    return completion;
  });
}

/** The state of the target that `abort` finds before it writes. */
export interface Abortion {
  readonly target: string;
  readonly targetExists: boolean;
}

/**
 * Checks that the migration can be aborted. Writes nothing.
 * @throws ALREADY_EXISTS while clients use the target, or when the migration is complete
 * @throws MISMATCH when this migration did not make the target
 */
export async function planAbortion(target: CopyTarget, state: MigrationState): Promise<Abortion> {
  const { targetCollection } = state;
  if (state.completed)
    throw new TldrError('ALREADY_EXISTS', 'the migration is complete: there is nothing to abort');
  const serving = await aliasTo(target, targetCollection);
  if (serving !== undefined) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `${targetCollection} serves clients as "${serving}", so it is not removed`,
      { hint: 'roll-back-first' },
    );
  }
  if (state.cutOver?.form === 'proxy' && inEffect(state)) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `clients read ${targetCollection} through the proxy, so it is not removed`,
      { hint: 'roll-back-first' },
    );
  }
  const targetExists = (await target.listCollections()).includes(targetCollection);
  if (targetExists && !(await isOwnTarget(target, state)))
    throw new TldrError(
      'MISMATCH',
      `${targetCollection} was not made by this migration, so it is not removed`,
    );
  return { target: targetCollection, targetExists };
}

/**
 * Stops the runs of the migration and the proxy's dual writes, then removes its target
 * and its state.
 * @throws as `planAbortion`; TIMEOUT when a running proxy does not stop in time
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { abortMigration, stateFile } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const { target } = await abortMigration({
 *   source: store,
 *   target: store,
 *   place: stateFile('docs.migration.json'),
 * });
 * console.log(`${target} is removed`);
 * await store.close();
 * ```
 */
export async function abortMigration(migration: StartedMigration & RunOptions): Promise<Abortion> {
  const { place, target, signal, log, onProgress } = migration;
  await planAbortion(target, await readMigrationState(migration));
  await pauseMigration(place);
  return withMigrationState(migration, async (state, lost) => {
    const abortion = await planAbortion(target, state);
    lost.throwIfAborted();
    await proxyControlOf(state)?.waiting({ signal, log, onProgress });
    if (abortion.targetExists) await target.drop(abortion.target);
    await joinShares(state, place);
    await place.remove();
    return abortion;
  });
}

/**
 * Requests a pause and waits until no run works on the migration. @returns false after a minute
 * @example
 * ```ts
 * import { pauseMigration, stateFile } from 'qdrant-tldr';
 *
 * const place = stateFile('docs.migration.json');
 * if (await pauseMigration(place)) console.log('no run works on the migration');
 * await place.setPaused(false);
 * ```
 */
export async function pauseMigration(
  place: StartedMigration['place'],
  signal?: AbortSignal,
): Promise<boolean> {
  await place.setPaused(true);
  const giveUpAtMs = performance.now() + STOP_TIMEOUT_MS;
  while ((await workingOn(place)) !== null) {
    if (performance.now() > giveUpAtMs) return false;
    await sleep(STOP_POLL_MS, signal);
  }
  return true;
}
