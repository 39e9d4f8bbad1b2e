import { TldrError } from '../../core/errors.js';
import { sleep, type RunOptions } from '../../core/run.js';
import type { VectorStore } from '../../store/vector-store.js';
import { proxyControlOf } from '../dual-write/proxy-control.js';
import { readRecorded, withRecord, type RecordedMigration } from '../state/locked.js';
import { inEffect, type MigrationState } from '../state/migration-state.js';
import { aliasTo, isOwnTarget } from '../state/own-target.js';
import { readByProxy } from './cut-over-by-proxy.js';
import { setAsideText } from '../dual-write/set-aside.js';
import { joinShares, workingOn } from '../state/split.js';

const STOP_POLL_MS = 200;
const STOP_TIMEOUT_MS = 60_000;

export interface CompleteRequest extends RecordedMigration {
  /** Clients reach the target without a cut-over of this tool, by the proxy for example. */
  readonly withoutCutOver?: boolean | undefined;
  readonly deleteSource?: boolean | undefined;
}

/** What `complete` finds before it writes. */
export interface Completion {
  readonly source: string;
  readonly sourceExists: boolean;
}

/**
 * Looks whether the migration may be declared over; writes nothing.
 * @throws INVALID_ARGUMENT where clients do not use the target, or the source is still in use or differs
 */
export async function planCompletion(request: CompleteRequest, record: MigrationState): Promise<Completion> {
  const { source, target } = request;
  const { cutOver, targetCollection, sourceCollection, verifiedPoints } = record;
  if (!(await isOwnTarget(target, record)))
    throw new TldrError('NOT_FOUND', `${targetCollection} is not there, or not what this migration made`);
  const proxy = await proxyControlOf(record)?.status();
  const setAside = proxy?.living === true ? (proxy.report?.setAside ?? null) : null;
  if (setAside !== null)
    throw new TldrError('VERIFY_FAILED', `the source is still needed: ${setAsideText(setAside)}`);
  const aliases = await target.aliases();
  const leadsTo = cutOver?.form === 'proxy' ? await readByProxy(record) : aliases.get(cutOver?.name ?? '');
  const live = cutOver?.state === 'done' && leadsTo === targetCollection;
  if (!live && request.withoutCutOver !== true) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `no cut-over to ${targetCollection} is in effect: \`migrate cutover\` first, or --without-cutover where clients reach it otherwise`,
    );
  }
  const sourceExists = (await source.listCollections()).includes(sourceCollection);
  if (request.deleteSource === true && sourceExists) {
    if (verifiedPoints === null || record.phase !== 'verified')
      throw new TldrError('VERIFY_FAILED', 'the source is not deleted before the copy was verified');
    const serving = await aliasTo(source, sourceCollection);
    if (serving !== undefined)
      throw new TldrError('INVALID_ARGUMENT', `${sourceCollection} is still in use as "${serving}"`);
    if (record.journal !== undefined) {
      await checkProxyEnded(record);
      return { source: sourceCollection, sourceExists };
    }
    // Behind its own name the source cannot be counted; nor can anybody have written to it.
    const hidden = aliases.has(sourceCollection);
    const count = hidden ? verifiedPoints : await source.count(sourceCollection);
    if (count !== verifiedPoints) {
      throw new TldrError(
        'VERIFY_FAILED',
        `${sourceCollection} has ${count} points, ${verifiedPoints} when it was verified: somebody writes to it still`,
      );
    }
  }
  return { source: sourceCollection, sourceExists };
}

/** @throws INVALID_ARGUMENT while a proxy writes to the source, VERIFY_FAILED where not all is in the target */
async function checkProxyEnded(record: MigrationState): Promise<void> {
  const { sourceCollection, targetCollection } = record;
  const proxy = proxyControlOf(record);
  const remedy = `replace its entry of "collections" by a plain one of ${targetCollection} and restart it first`;
  if (proxy === null) return;
  const { living, report, ageMs } = await proxy.status();
  if (living)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${sourceCollection} is not deleted while a proxy writes to it (process ${report?.pid}, seen ${Math.round((ageMs ?? 0) / 1000)} s ago): ${remedy}`,
    );
  const open = await proxy.leftOpen();
  if (open > 0)
    throw new TldrError(
      'VERIFY_FAILED',
      `${open} writes in the journal ${proxy.folder} are not known to be in ${targetCollection}: run \`serve\` with "migrating" until \`migrate status\` shows none, and end it by SIGTERM; then ${remedy}`,
    );
}

/** Declares the migration over and, where asked, deletes the source. @throws as `planCompletion` */
export function completeMigration(request: CompleteRequest): Promise<Completion> {
  return withRecord(request, async (record, lost) => {
    const completion = await planCompletion(request, record);
    lost.throwIfAborted();
    // The store ends what an interrupted write left of the target's settings.
    await request.target.deletePoints(record.targetCollection, []);
    record.completed = true;
    await request.place.write(record);
    if (request.deleteSource === true && completion.sourceExists)
      await request.source.deleteCollection(record.sourceCollection);
    return completion;
  });
}

/** What `abort` finds before it writes. */
export interface Abortion {
  readonly target: string;
  readonly targetExists: boolean;
}

/**
 * Looks whether the migration may be given up; writes nothing.
 * @throws ALREADY_EXISTS while clients use the target, MISMATCH for a target that something else made
 */
export async function planAbortion(target: VectorStore, record: MigrationState): Promise<Abortion> {
  const { targetCollection } = record;
  if (record.completed)
    throw new TldrError('ALREADY_EXISTS', 'the migration is complete: there is nothing to give up');
  const serving = await aliasTo(target, targetCollection);
  if (serving !== undefined) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `${targetCollection} serves clients as "${serving}" and is not removed: \`migrate rollback\` first`,
    );
  }
  if (record.cutOver?.form === 'proxy' && inEffect(record)) {
    throw new TldrError(
      'ALREADY_EXISTS',
      `clients read ${targetCollection} through the proxy and it is not removed: \`migrate rollback\` first`,
    );
  }
  const targetExists = (await target.listCollections()).includes(targetCollection);
  if (targetExists && !(await isOwnTarget(target, record)))
    throw new TldrError('MISMATCH', `${targetCollection} was made by something else and is not removed`);
  return { target: targetCollection, targetExists };
}

/**
 * Stops whoever works on the migration, and what a proxy brings over, then removes its target and its record.
 * @throws as `planAbortion`; TIMEOUT for a proxy that lives and does not stop
 */
export async function abortMigration(migration: RecordedMigration & RunOptions): Promise<Abortion> {
  const { place, target, signal, log, onProgress } = migration;
  await planAbortion(target, await readRecorded(migration));
  await pauseMigration(place);
  return withRecord(migration, async (record, lost) => {
    const abortion = await planAbortion(target, record);
    lost.throwIfAborted();
    await proxyControlOf(record)?.waiting({ signal, log, onProgress });
    if (abortion.targetExists) await target.deleteCollection(abortion.target);
    await joinShares(record, place);
    await place.remove();
    return abortion;
  });
}

/** Asks for a pause and waits until nobody works on the migration. @returns whether that came about in a minute */
export async function pauseMigration(
  place: RecordedMigration['place'],
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
