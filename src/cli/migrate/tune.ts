import type { Command } from 'commander';
import { TldrError } from '../../core/errors.js';
import { readRecorded } from '../../migrate/state/locked.js';
import { retune, type ThrottleSettings } from '../../migrate/throttle/settings.js';
import { recordedCommand, withMigration, type RecordedWork, type RecordFlags } from './state.js';
import { decimal } from '../console/options.js';

export interface TuneFlags {
  readonly maxLoad?: string;
  readonly nice?: number;
}

/** Adds the flags that say how much of the servers a migration may take. */
export function withTuneFlags(command: Command): Command {
  return command
    .option(
      '--max-load <latency>',
      'wait while a search of the source takes longer: 2x its latency at rest, or 50ms; off: never wait',
    )
    .option('--nice <times>', 'rest between batches, in times of what a batch took; 0: never rest', decimal);
}

/** What the flags say; undefined where they say nothing. */
export function tuningOf({ maxLoad, nice }: TuneFlags): Partial<ThrottleSettings> | undefined {
  if (maxLoad === undefined && nice === undefined) return undefined;
  return {
    ...(maxLoad === undefined ? {} : { maxLoad: maxLoad === 'off' ? null : maxLoad }),
    ...(nice === undefined ? {} : { nice }),
  };
}

/** `migrate tune`: how much of the servers a migration may take, while it runs. */
export function tuneCommand(): Command {
  const command = recordedCommand('tune', {
    description: 'Change how much of the servers a migration may take, while it runs or before it goes on.',
    examples: `Examples:
  qdrant-tldr migrate tune docs docs_c96 --max-load 2x
  qdrant-tldr migrate tune docs docs_c96 --max-load 50ms --nice 1
  qdrant-tldr migrate tune docs docs_c96 --max-load off --nice 0

A run takes it up within a second. "migrate status" shows it, and why the copy waits, if it does.`,
  });
  return withTuneFlags(command).action((source: string, target: string, flags: RecordFlags & TuneFlags) =>
    withMigration({ source, target }, flags, (work) => tune(work, flags)),
  );
}

async function tune(work: RecordedWork, flags: TuneFlags): Promise<void> {
  const { place, run } = work;
  await readRecorded(work);
  const changes = tuningOf(flags);
  if (changes === undefined) throw new TldrError('INVALID_ARGUMENT', 'give --max-load, --nice or both');
  const tuning = await retune(place, changes);
  run.say(tuningLine(tuning));
  run.result(tuning);
}

/** A tuning as a line for people. */
export function tuningLine({ maxLoad, nice }: ThrottleSettings): string {
  const rest = nice === 0 ? 'never rests' : `rests ${nice} times as long as it works`;
  return `${rest}; ${maxLoad === null ? 'does not look at the load' : `waits while searches take over ${maxLoad}`}`;
}
