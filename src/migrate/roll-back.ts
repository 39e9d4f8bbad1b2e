import { TldrError } from '../core/errors.js';
import type { RunOptions } from '../core/run.js';
import { guardingProxy } from './guarding-proxy.js';
import { withRecord, type RecordedMigration } from './held-record.js';
import type { CutOver, MigrationRecord } from './migration-record.js';
import type { Switch } from './cut-over.js';

/** The way back of a recorded cut-over; `to` is null where the alias was not there before and is removed. */
export interface WayBack extends Omit<Switch, 'to'> {
  readonly to: string | null;
  /** In the form `proxy`: whether one lives. Without one the way back is taken when it is started again. */
  readonly proxyLives: boolean | null;
}

/**
 * Looks what would bring back the state before the cut-over; writes nothing.
 * @throws INVALID_ARGUMENT where none was made, NOT_FOUND where what was before is deleted, MISMATCH where somebody
 * else moved the name since
 */
export async function planRollBack({ target }: RecordedMigration, record: MigrationRecord): Promise<WayBack> {
  const { cutOver } = record;
  if (cutOver === null || cutOver.state === 'rolled-back')
    throw new TldrError('INVALID_ARGUMENT', 'nothing to roll back: no cut-over is in effect');
  const { form, name } = cutOver;
  if (form === 'proxy') return planProxyBack({ target, name }, record);
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
  return { form, name, from, to, made: from === to, proxyLives: null };
}

async function planProxyBack(
  { target, name }: Pick<RecordedMigration, 'target'> & { readonly name: string },
  record: MigrationRecord,
): Promise<WayBack> {
  const { sourceCollection: to, targetCollection } = record;
  const status = await guardingProxy(record)?.status();
  if (!(await target.listCollections()).includes(to))
    throw new TldrError('NOT_FOUND', `${to} was deleted: there is no way back`);
  const proxyLives = status?.living === true;
  if (record.completed && !proxyLives)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `the migration is complete and no proxy follows it: what ${targetCollection} was given since is not in ${to}; where nobody has served ${targetCollection} without "migrating" yet, run \`serve\` with it again, then roll back`,
    );
  const sides = [status?.wanted.side, ...(proxyLives ? [status.report?.side] : [])];
  const made = !sides.includes('target');
  return { form: 'proxy', name, from: made ? to : targetCollection, to, made, proxyLives };
}

/**
 * Brings back what the name led to before the cut-over, by one atomic switch.
 * @throws as `planRollBack`; TIMEOUT for a proxy that lives and does not do it
 */
export function rollBack(migration: RecordedMigration & RunOptions): Promise<WayBack> {
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
async function proxyBack({ signal, log, onProgress }: RunOptions, record: MigrationRecord): Promise<boolean> {
  const obeyed = await guardingProxy(record)?.toSource({ signal, log, onProgress });
  return obeyed === true;
}

async function undo({ target }: RecordedMigration, { form, name, to }: WayBack): Promise<void> {
  if (form === 'bare-name' || to === null) await target.dropAlias(name);
  else await target.switchAlias(name, to);
}
