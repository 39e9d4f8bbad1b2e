import { TldrError } from '../core/errors.js';
import { withRecord, type RecordedMigration } from './held-record.js';
import type { CutOver, MigrationRecord } from './migration-record.js';
import type { Switch } from './cut-over.js';

/** The way back of a recorded cut-over; `to` is null where the alias was not there before and is removed. */
export interface WayBack extends Omit<Switch, 'to'> {
  readonly to: string | null;
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
  return { form, name, from, to, made: from === to };
}

/** Brings back what the name led to before the cut-over, by one atomic switch. @throws as `planRollBack` */
export function rollBack(migration: RecordedMigration): Promise<WayBack> {
  return withRecord(migration, async (record, lost) => {
    const way = await planRollBack(migration, record);
    lost.throwIfAborted();
    if (!way.made) await undo(migration, way);
    if (record.cutOver !== null) {
      const undone: CutOver = { ...record.cutOver, state: 'rolled-back' };
      record.cutOver = undone;
    }
    record.completed = false;
    await migration.place.write(record);
    return way;
  });
}

async function undo({ target }: RecordedMigration, { form, name, to }: WayBack): Promise<void> {
  if (form === 'bare-name' || to === null) await target.dropAlias(name);
  else await target.switchAlias(name, to);
}
