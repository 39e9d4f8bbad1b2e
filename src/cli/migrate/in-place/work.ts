import type { Config } from '../../../config/load.js';
import { TldrError } from '../../../core/errors.js';
import {
  isInPlaceTarget,
  type InPlaceName,
  type InPlaceState,
  type InPlaceTarget,
  type InPlaceWork,
} from '../../../store/in-place-target.js';
import { withConsole, withSource } from '../../console/command-body.js';
import type { ConsoleRun } from '../../console/command-output.js';
import { nextCommand } from '../../console/next-commands.js';
import type { GlobalFlags } from '../../console/options.js';

/** Default of --lock-timeout, in seconds. */
const LOCK_SECONDS = 2;

/** Flags that every command of a migration in place may have. */
export interface TableMigrationFlags extends GlobalFlags {
  readonly vector?: string;
  readonly lockTimeout?: number;
}

/** What a command of a migration in place works with. */
export interface TableCommand {
  readonly run: ConsoleRun;
  readonly config: Config;
  readonly store: InPlaceTarget;
  readonly name: InPlaceName;
}

/** Runs the body of a command with the console and the database open. */
export function withTable(
  table: string,
  flags: TableMigrationFlags,
  body: (command: TableCommand) => Promise<void>,
): Promise<void> {
  return withConsole(flags, (run, config) =>
    withSource(config, run, async (store) => {
      if (!isInPlaceTarget(store))
        throw new TldrError('UNSUPPORTED', `a ${store.kind} store has no migrations in place`);
      await body({ run, config, store, name: { collection: table, vectorName: flags.vector } });
    }),
  );
}

/** How long a change of the table may wait, while clients wait behind it. */
export function lockWaitMsOf({ lockTimeout = LOCK_SECONDS }: TableMigrationFlags): number {
  return Math.round(lockTimeout * 1000);
}

/** Returns the state of the migration. @throws NOT_FOUND without one */
export async function stateOf({ store, name }: TableCommand): Promise<InPlaceState> {
  const state = await store.inPlace.find(name);
  if (state !== null) return state;
  throw new TldrError('NOT_FOUND', `there is no migration of ${name.collection}`, {
    hint: 'start-migration',
  });
}

/** Runs `body` as the only process that works on the migration. */
export async function working<T>(
  { store, name, run }: TableCommand,
  flags: TableMigrationFlags,
  body: (work: InPlaceWork) => Promise<T>,
): Promise<T> {
  const { signal, log, onProgress } = run;
  const work = await store.inPlace.resume(name, { lockWaitMs: lockWaitMsOf(flags), signal, log, onProgress });
  try {
    return await body(work);
  } finally {
    await work.release();
  }
}

/** Returns a command on the same migration that can be pasted into a shell. */
export function tableCommand(
  verb: string,
  { collection, vectorName }: InPlaceName,
  flags: TableMigrationFlags,
  more: readonly (readonly [flag: string, value: string | null])[] = [],
): string {
  const vector = vectorName === undefined ? [] : [['--vector', vectorName] as const];
  return nextCommand(flags, {
    command: ['migrate', verb],
    names: [collection],
    flags: [...vector, ...more],
  });
}

/** Returns the commands that make sense now. */
export function nextTableCommands(
  { phase, paused, runner, warnings }: InPlaceState,
  name: InPlaceName,
  flags: TableMigrationFlags,
): readonly string[] {
  const next = (verb: string): string => tableCommand(verb, name, flags);
  if (warnings.length > 0 && runner === null) return [next('resume'), next('status')];
  switch (phase) {
    case 'ready':
      return [next('cutover'), next('abort')];
    case 'cut-over':
      return [next('complete'), next('rollback')];
    case 'complete':
      return [next('verify')];
    default:
      return runner !== null && !paused ? [next('status'), next('pause')] : [next('resume')];
  }
}
