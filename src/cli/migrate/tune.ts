import type { Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import { retune, type ThrottleSettings } from '../../migrate/throttle/settings.js';
import { stateCommand, withMigration, type MigrationWork, type StateFlags } from './state-flags.js';
import { decimal } from '../console/options.js';

export interface TuneFlags {
  readonly maxLoad?: string;
  readonly nice?: number;
}

/** Adds the flags that throttle a migration. */
export function withTuneFlags(command: Command): Command {
  return command
    .option(
      '--max-load <latency>',
      'let the copy wait while a search of the source takes longer than this: 2x (its latency at rest) or 50ms; off: never wait',
    )
    .option(
      '--nice <times>',
      'rest after each batch for this many times as long as the batch took; 0: never rest',
      decimal,
    );
}

/** The settings that the flags give; undefined if they give none. */
export function tuningOf({ maxLoad, nice }: TuneFlags): Partial<ThrottleSettings> | undefined {
  if (maxLoad === undefined && nice === undefined) return undefined;
  return {
    ...(maxLoad === undefined ? {} : { maxLoad: maxLoad === 'off' ? null : maxLoad }),
    ...(nice === undefined ? {} : { nice }),
  };
}

/** `migrate tune`: throttles a migration, also while it runs. */
export function tuneCommand(): Command {
  const command = stateCommand('tune', {
    description: 'Change how much of the server a migration may use, while it runs or before it continues.',
    examples: `Reads   the migration state
Writes  the throttle settings beside the migration state, for the current run and for later ones

Examples:
  qdrant-tldr migrate tune docs docs_c96 --max-load 2x
  qdrant-tldr migrate tune docs docs_c96 --max-load 50ms --nice 1
  qdrant-tldr migrate tune docs docs_c96 --max-load off --nice 0

A run applies the settings within a second. "migrate status" shows them, and why the copy waits, if it does.

Documentation: docs/migrate.md`,
  });
  return withTuneFlags(command).action((source: string, target: string, flags: StateFlags & TuneFlags) =>
    withMigration({ source, target }, flags, (work) => tune(work, flags)),
  );
}

async function tune(work: MigrationWork, flags: TuneFlags): Promise<void> {
  const { place, run } = work;
  await readMigrationState(work);
  const changes = tuningOf(flags);
  if (changes === undefined) throw new TldrError('INVALID_ARGUMENT', 'give --max-load, --nice or both');
  const tuning = await retune(place, changes);
  run.say(tuningLine(tuning));
  run.result(tuning);
}

/** The throttle settings as a line for people. */
export function tuningLine({ maxLoad, nice }: ThrottleSettings): string {
  const rest = nice === 0 ? 'never rests' : `rests ${nice} times as long as it works`;
  return `${rest}; ${maxLoad === null ? 'does not watch the load' : `waits while searches take over ${maxLoad}`}`;
}
