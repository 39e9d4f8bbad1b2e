import { TldrError } from '../core/errors.js';
import { sleep } from '../core/run.js';
import type { VectorStore } from '../core/vector-store.js';
import { readRecorded, withRecord, type RecordedMigration } from './held-record.js';
import type { MigrationRecord } from './migration-record.js';
import { aliasTo, isOwnTarget } from './own-target.js';
import { joinShares, workingOn } from './split-record.js';

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
export async function planCompletion(request: CompleteRequest, record: MigrationRecord): Promise<Completion> {
  const { source, target } = request;
  const { cutOver, targetCollection, sourceCollection, verifiedPoints } = record;
  if (!(await isOwnTarget(target, record)))
    throw new TldrError('NOT_FOUND', `${targetCollection} is not there, or not what this migration made`);
  const aliases = await target.aliases();
  const live = cutOver?.state === 'done' && aliases.get(cutOver.name) === targetCollection;
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

/** Declares the migration over and, where asked, deletes the source. @throws as `planCompletion` */
export function completeMigration(request: CompleteRequest): Promise<Completion> {
  return withRecord(request, async (record, lost) => {
    const completion = await planCompletion(request, record);
    lost.throwIfAborted();
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
export async function planAbortion(target: VectorStore, record: MigrationRecord): Promise<Abortion> {
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
  const targetExists = (await target.listCollections()).includes(targetCollection);
  if (targetExists && !(await isOwnTarget(target, record)))
    throw new TldrError('MISMATCH', `${targetCollection} was made by something else and is not removed`);
  return { target: targetCollection, targetExists };
}

/** Stops whoever works on the migration, then removes its target and its record. @throws as `planAbortion` */
export async function abortMigration(migration: RecordedMigration): Promise<Abortion> {
  const { place, target } = migration;
  await planAbortion(target, await readRecorded(migration));
  await pauseMigration(place);
  return withRecord(migration, async (record, lost) => {
    const abortion = await planAbortion(target, record);
    lost.throwIfAborted();
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
