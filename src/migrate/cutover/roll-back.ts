import { TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run.js';
import { proxyControlOf, type ProxyControl, type JournalStatus } from '../dual-write/proxy-control.js';
import { withRecord, type RecordedMigration } from '../state/locked.js';
import type { CutOver, MigrationState } from '../state/migration-state.js';
import type { Switch } from './cut-over-by-alias.js';

/** What has to be said to go back to a source that others than the proxy may have left behind. */
export const FORCE_BACK_WORDS = 'I know that later writes may be missing';

export interface RollBackRequest extends RecordedMigration {
  /** `FORCE_BACK_WORDS`, to go back where the proxy that wrote to both sides was ended. */
  readonly force?: string | undefined;
}

/** The way back of a recorded cut-over; `to` is null where the alias was not there before and is removed. */
export interface WayBack extends Omit<Switch, 'to'> {
  readonly to: string | null;
  /** In the form `proxy`: whether one lives. Without one the way back is taken when it is started again. */
  readonly proxyLives: boolean | null;
  /** When the journal was written to last, where no proxy lives: what was written later may not be in the source. */
  readonly journalledUntil: string | null;
}

/**
 * Looks what would bring back the state before the cut-over; writes nothing.
 * @throws INVALID_ARGUMENT where none was made, or writes may be missing and nobody said so, NOT_FOUND where what was
 * before is deleted, MISMATCH where somebody else moved the name since
 */
export async function planRollBack(request: RollBackRequest, record: MigrationState): Promise<WayBack> {
  const { target } = request;
  const { cutOver } = record;
  if (cutOver === null || cutOver.state === 'rolled-back')
    throw new TldrError('INVALID_ARGUMENT', 'nothing to roll back: no cut-over is in effect');
  const { form, name } = cutOver;
  const proxy = proxyControlOf(record);
  if (form === 'proxy' && proxy !== null) return planProxyBack({ ...request, name, proxy }, record);
  const to = form === 'alias' ? cutOver.previous : record.sourceCollection;
  const live = (await target.aliases()).get(name) ?? null;
  const from = form === 'bare-name' ? (live ?? record.sourceCollection) : live;
  if (to !== null && !(await target.listCollections()).includes(to))
    throw new TldrError('NOT_FOUND', `${to}, where "${name}" led before, was deleted: there is no way back`);
  if (from !== to && from !== record.targetCollection) {
    throw new TldrError(
      'MISMATCH',
      `"${name}" leads to ${from ?? 'nothing'} now, not to ${record.targetCollection}: somebody moved it since the cut-over, and it will not be moved again`,
    );
  }
  return { form, name, from, to, made: from === to, proxyLives: null, journalledUntil: null };
}

async function planProxyBack(
  { target, name, proxy, force }: RollBackRequest & { readonly name: string; readonly proxy: ProxyControl },
  record: MigrationState,
): Promise<WayBack> {
  const { sourceCollection: to, targetCollection } = record;
  const status = await proxy.status();
  if (!(await target.listCollections()).includes(to))
    throw new TldrError('NOT_FOUND', `${to} was deleted: there is no way back`);
  const { living: proxyLives, wanted, report } = status;
  const sides = [wanted.side, ...(proxyLives ? [report?.side] : [])];
  const made = !sides.includes('target');
  const journalledUntil = proxyLives ? null : await proxy.journalledUntil();
  const way: WayBack = {
    ...{ form: 'proxy', name, from: made ? to : targetCollection, to, made },
    ...{ proxyLives, journalledUntil },
  };
  checkNothingMissing({ way, status, force }, record);
  return way;
}

/**
 * One that was killed leaves its report behind, and comes back. One that was ended may have been replaced by an entry
 * without "migrating", which writes to the target alone.
 * @throws INVALID_ARGUMENT unless that is known, or said, to be all right
 */
function checkNothingMissing(
  { way, status, force }: { way: WayBack; status: JournalStatus; force: string | undefined },
  { completed, sourceCollection, targetCollection }: MigrationState,
): void {
  const wrong = (message: string): TldrError => new TldrError('INVALID_ARGUMENT', message);
  if (force !== undefined && force !== FORCE_BACK_WORDS)
    throw wrong(`--force takes these words: "${FORCE_BACK_WORDS}"`);
  const ended = !way.proxyLives && (completed || (!way.made && status.report === null));
  if (!ended || force !== undefined) return;
  const how = completed
    ? 'the migration is complete and no proxy follows it'
    : `the proxy that keeps the journal ${status.folder} was ended`;
  const since = way.journalledUntil === null ? 'since' : `since ${way.journalledUntil}`;
  throw wrong(
    `${how}: what was written to ${targetCollection} ${since}, by an entry of "collections" without "migrating" or past the proxy, is not in ${sourceCollection}, which clients would read; where nobody wrote there, run \`serve\` with "migrating" and this journal again, then roll back; to go back without those writes: --force "${FORCE_BACK_WORDS}"`,
  );
}

/**
 * Brings back what the name led to before the cut-over, by one atomic switch.
 * @throws as `planRollBack`; TIMEOUT for a proxy that lives and does not do it
 */
export function rollBack(migration: RollBackRequest & RunOptions): Promise<WayBack> {
  return withRecord(migration, async (record, lost) => {
    const way = await planRollBack(migration, record);
    lost.throwIfAborted();
    const proxyLives = way.form === 'proxy' ? await proxyBack(migration, record) : null;
    if (!way.made && way.form !== 'proxy') await undo(migration, way);
    if (record.cutOver !== null) {
      const undone: CutOver = { ...record.cutOver, state: 'rolled-back' };
      record.cutOver = undone;
    }
    record.completed = false;
    await migration.place.write(record);
    return { ...way, proxyLives };
  });
}

/** Also where it is made already: a proxy that is started meanwhile must find it so. */
async function proxyBack({ signal, log, onProgress }: RunOptions, record: MigrationState): Promise<boolean> {
  const obeyed = await proxyControlOf(record)?.toSource({ signal, log, onProgress });
  return obeyed === true;
}

async function undo({ target }: RecordedMigration, { form, name, to }: WayBack): Promise<void> {
  if (form === 'bare-name' || to === null) await target.dropAlias(name);
  else await target.switchAlias(name, to);
}
