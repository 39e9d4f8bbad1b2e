import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import { retune, type ThrottleSettings } from '../../migrate/throttle/settings.js';
import { tuningLine } from '../console/throttle-words.js';
import { withMigration, type MigrationWork, nextSteps } from './migration-work.js';
import type { StateFlags } from './state-flags.js';
import { TldrError } from '../../core/errors.js';

export interface TuneFlags {
  readonly maxLoad?: string;
  readonly nice?: number;
}

/** The settings that the flags give; undefined if they give none. */
export function tuningOf({ maxLoad, nice }: TuneFlags): Partial<ThrottleSettings> | undefined {
  if (maxLoad === undefined && nice === undefined) return undefined;
  return {
    ...(maxLoad === undefined ? {} : { maxLoad: maxLoad === 'off' ? null : maxLoad }),
    ...(nice === undefined ? {} : { nice }),
  };
}

/** Runs `migrate tune`. */
export function runTune(names: GivenNames, flags: StateFlags & TuneFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofTables: ['vector'],
    copy: (pair) => withMigration(pair, flags, (work) => tune(work, flags)),
    inPlace: async (table) => {
      const changes = changesOf(flags);
      await (await import('./in-place/run-look.js')).runTuneTable(table, flags, changes);
    },
  });
}

async function tune(work: MigrationWork, flags: StateFlags & TuneFlags): Promise<void> {
  const { place, run } = work;
  await readMigrationState(work);
  const tuning = await retune(place, changesOf(flags));
  run.next(await nextSteps(work, flags));
  run.say(tuningLine(tuning));
  run.result(tuning);
}

function changesOf(flags: TuneFlags): Partial<ThrottleSettings> {
  const changes = tuningOf(flags);
  if (changes === undefined) throw new TldrError('INVALID_ARGUMENT', 'give --max-load, --nice or both');
  return changes;
}
