import { allNames, switchableNames } from '../../store/facets.js';
import { TldrError } from '../../core/errors.js';
import type { RunOptions } from '../../core/run-options.js';
import { proxyControlOf, type ProxyControl, type JournalStatus } from '../dual-write/proxy-control.js';
import { withMigrationState, type StartedMigration } from '../state/with-lock.js';
import type { CutOver, MigrationState } from '../state/migration-state.js';
import type { Switch } from './cut-over-by-alias.js';
import { FORCE_BACK_WORDS } from './force-words.js';

/** Input of `rollBack`. */
export interface RollBackRequest extends StartedMigration {
  /** `FORCE_BACK_WORDS` to roll back although the proxy that wrote to both collections was ended. */
  readonly force?: string | undefined;
}

/** The rollback of a cut-over. `to` is null if the alias did not exist before and is removed. */
export interface WayBack extends Omit<Switch, 'to'> {
  readonly to: string | null;
  /** In the form `proxy`: whether it is running. If not, it rolls back when it is started again. */
  readonly proxyLives: boolean | null;
  /** Last write to the journal, if no proxy is running. The source may lack writes made after it. */
  readonly journalledUntil: string | null;
}

/**
 * Returns the switch that would restore the state before the cut-over. Writes nothing.
 * @throws INVALID_ARGUMENT when no cut-over is in effect, or the source may lack writes and `force` is absent
 * @throws NOT_FOUND when the previous collection was deleted, MISMATCH when the name was moved meanwhile
 */
export async function planRollBack(request: RollBackRequest, state: MigrationState): Promise<WayBack> {
  const { target } = request;
  const { cutOver } = state;
  if (cutOver === null || cutOver.state === 'rolled-back')
    throw new TldrError('INVALID_ARGUMENT', 'nothing to roll back: no cut-over is in effect');
  const { form, name } = cutOver;
  const proxy = proxyControlOf(state);
  if (form === 'proxy' && proxy !== null) return planProxyBack({ ...request, name, proxy }, state);
  const to = form === 'alias' ? cutOver.previous : state.sourceCollection;
  const live = (await allNames(target)).get(name) ?? null;
  const from = form === 'bare-name' ? (live ?? state.sourceCollection) : live;
  if (to !== null && !(await target.listCollections()).includes(to))
    throw new TldrError(
      'NOT_FOUND',
      `${to}, which "${name}" led to before the cut-over, was deleted: a rollback is not possible`,
    );
  if (from !== to && from !== state.targetCollection) {
    throw new TldrError(
      'MISMATCH',
      `"${name}" now leads to ${from ?? 'nothing'}, not to ${state.targetCollection}: it was moved after the cut-over, so it is not moved again`,
    );
  }
  return { form, name, from, to, made: from === to, proxyLives: null, journalledUntil: null };
}

async function planProxyBack(
  { target, name, proxy, force }: RollBackRequest & { readonly name: string; readonly proxy: ProxyControl },
  state: MigrationState,
): Promise<WayBack> {
  const { sourceCollection: to, targetCollection } = state;
  const status = await proxy.status();
  if (!(await target.listCollections()).includes(to))
    throw new TldrError('NOT_FOUND', `${to} was deleted: a rollback is not possible`);
  const { living: proxyLives, wanted, report } = status;
  const sides = [wanted.side, ...(proxyLives ? [report.side] : [])];
  const made = !sides.includes('target');
  const journalledUntil = proxyLives ? null : await proxy.journalledUntil();
  const way: WayBack = {
    form: 'proxy',
    name,
    from: made ? to : targetCollection,
    to,
    made,
    proxyLives,
    journalledUntil,
  };
  checkNothingMissing({ way, status, force }, state);
  return way;
}

/**
 * Checks that the source has all writes. A killed proxy leaves its report behind and is expected to start
 * again. A proxy that was ended may have been replaced by an entry without "migrating", which writes to the
 * target only.
 * @throws INVALID_ARGUMENT when the source may lack writes and `force` is absent
 */
function checkNothingMissing(
  { way, status, force }: { way: WayBack; status: JournalStatus; force: string | undefined },
  { completed, sourceCollection, targetCollection }: MigrationState,
): void {
  if (force !== undefined && force !== FORCE_BACK_WORDS)
    throw new TldrError('INVALID_ARGUMENT', `force takes these words: "${FORCE_BACK_WORDS}"`, {
      option: 'force',
    });
  const ended = !way.proxyLives && (completed || (!way.made && status.report === null));
  if (!ended || force !== undefined) return;
  const how = completed
    ? 'the migration is complete and no proxy mirrors its writes'
    : `the proxy that keeps the journal ${status.folder} was ended`;
  const since = way.journalledUntil === null ? 'since' : `since ${way.journalledUntil}`;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `${how}: writes made to ${targetCollection} ${since}, by a proxy without this journal or past the proxy, are not in ${sourceCollection}, which clients would read`,
    { hint: 'force-roll-back', words: FORCE_BACK_WORDS },
  );
}

/**
 * Makes the name lead to its previous collection again, by one atomic switch.
 * @throws as `planRollBack`; TIMEOUT when a running proxy does not switch
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { cutOver, stateFile, rollBack } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * await cutOver({ ...migration, form: 'alias', alias: 'search', clientsProject: true });
 * const { name, to } = await rollBack(migration);
 * console.log(`${name} leads to ${to ?? 'nothing, as before'}`);
 * await store.close();
 * ```
 */
export function rollBack(migration: RollBackRequest & RunOptions): Promise<WayBack> {
  return withMigrationState(migration, async (state, lost) => {
    const way = await planRollBack(migration, state);
    lost.throwIfAborted();
    const proxyLives = way.form === 'proxy' ? await proxyBack(migration, state) : null;
    if (!way.made && way.form !== 'proxy') await undo(migration, way);
    if (state.cutOver !== null) {
      const undone: CutOver = { ...state.cutOver, state: 'rolled-back' };
      state.cutOver = undone;
    }
    state.completed = false;
    await migration.place.write(state);
    return { ...way, proxyLives };
  });
}

/** Requests the source even if clients read it already: a proxy that starts meanwhile must find that. */
async function proxyBack({ signal, log, onProgress }: RunOptions, state: MigrationState): Promise<boolean> {
  const switched = await proxyControlOf(state)?.toSource({ signal, log, onProgress });
  return switched === true;
}

async function undo({ target }: StartedMigration, { form, name, to }: WayBack): Promise<void> {
  if (form === 'bare-name' || to === null) await switchableNames(target).drop(name);
  else await switchableNames(target).switch(name, to);
}
