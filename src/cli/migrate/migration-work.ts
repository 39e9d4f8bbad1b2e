import { resolve } from 'node:path';
import { STATE_COLLECTION } from '../adapters.js';
import type { Config } from '../../config/load.js';
import { Encoder } from '../../encoder/model.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import { allNames, needed } from '../../store/facets.js';
import { migrationStatus, type MigrationStatus } from '../../migrate/run/migration-status.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { StartedMigration } from '../../migrate/state/with-lock.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { stateFile } from '../../migrate/state/in-file.js';
import { stateInDatabase } from '../../migrate/state/in-database.js';
import { stateFileIn } from '../../migrate/state/state-file-name.js';
import type { StateLocation } from '../../migrate/state/location.js';
import type { ConsoleRun } from '../console/command-output.js';
import { clientsLine, evaluationLine, nextCommand } from '../console/next-commands.js';
import { withConsole, withStore } from '../console/command-body.js';
import type { StateFlags } from './state-flags.js';

type Flag = readonly [flag: string, value: string | number | null];

/** The two collections of a migration, as its commands name them. */
export interface Pair {
  readonly source: string;
  readonly target: string;
}

/** The console, settings, server and migration state that a command of a migration works with. */
export interface MigrationWork extends StartedMigration {
  readonly run: ConsoleRun;
  readonly config: Config;
  readonly store: CopyTarget;
}

/**
 * Returns where the state of a migration is kept. The flags were checked by `checkStateFlags`.
 * @throws UNSUPPORTED when the database cannot hold the state
 */
export async function placeOf(
  { source, target }: Pair,
  flags: StateFlags,
  { config, run, store }: Pick<MigrationWork, 'config' | 'run' | 'store'>,
): Promise<StateLocation> {
  const { state, record } = flags;
  if (!isInDatabase(state))
    return stateFile(
      record ??
        (await stateFileIn(config.stateFolder, { sourceCollection: source, targetCollection: target })),
    );
  const { signal, log } = run;
  return stateInDatabase(
    needed(store.state, store, 'place for the states of migrations: keep the state in a file'),
    { source, target },
    { signal, log },
  );
}

/**
 * Checks the flags before a server is asked.
 * @throws INVALID_ARGUMENT for contradicting flags, and when a collection is the one that holds migration
 * states
 */
export function checkStateFlags({ source, target }: Pair, { state, record }: StateFlags): void {
  if ([source, target].includes(STATE_COLLECTION))
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${STATE_COLLECTION} holds the states of migrations, not data: it cannot be migrated`,
    );
  if (isInDatabase(state) && record !== undefined)
    throw new TldrError('INVALID_ARGUMENT', 'give one of --record <file> and --state database');
}

function isInDatabase(state: StateFlags['state']): boolean {
  return state === 'database' || state === 'qdrant';
}

/** Returns a command on the same migration that can be pasted into a shell. */
export function commandFor(
  command: string,
  { source, target }: Pair,
  flags: StateFlags,
  more: readonly Flag[] = [],
): string {
  const { state, record } = flags;
  const file: readonly (readonly [string, string])[] = record === undefined ? [] : [['--record', record]];
  return nextCommand(flags, {
    command: ['migrate', command],
    names: [source, target],
    flags: [...more, ...(isInDatabase(state) ? [['--state', 'database'] as const] : file)],
  });
}

/** Returns the commands that make sense now for a migration; none if it is over. */
export async function nextSteps(
  work: Pick<MigrationWork, 'config' | 'source' | 'target' | 'place'>,
  flags: StateFlags,
): Promise<readonly string[]> {
  return stepsOf(await migrationStatus(work), work, flags);
}

/** As `nextSteps`, for a status that was read. */
export async function stepsOf(
  status: MigrationStatus,
  { config, source }: Pick<MigrationWork, 'config' | 'source'>,
  flags: StateFlags,
): Promise<readonly string[]> {
  const pair: Pair = { source: status.source, target: status.target };
  const migrate = (command: string, ...more: readonly Flag[]): string =>
    commandFor(command, pair, flags, more);
  switch (status.next) {
    case 'wait':
      return [migrate('status', ['--watch', null]), migrate('pause')];
    case 'start-proxy':
      return [migrate('status')];
    case 'resume':
      return [migrate('resume')];
    case 'finish-switch':
      return [migrate('rollback')];
    case 'complete':
      return [migrate('complete'), migrate('rollback')];
    case 'cut-over-catch-up':
    case 'cut-over': {
      const catchUp: readonly Flag[] = status.next === 'cut-over' ? [] : [['--catch-up', null]];
      const aliases = [...(await allNames(source))].flatMap(([alias, to]) =>
        to === pair.source ? [alias] : [],
      );
      const [alias] = aliases;
      return [
        nextCommand(flags, evaluationLine(status)),
        alias === undefined || status.layout === 'compact'
          ? nextCommand(flags, clientsLine(status, config.url))
          : migrate('cutover', ['--alias', alias], ...catchUp),
      ];
    }
    case 'cut-over-by-proxy':
      return [nextCommand(flags, evaluationLine(status)), migrate('cutover', ['--by', 'proxy'])];
    case 'none':
      return status.sourcePoints === null ? [] : [migrate('complete', ['--delete-source', null])];
  }
}

/** Runs the body of a command with the console, server and state of a migration open. */
export function withMigration(
  pair: Pair,
  flags: StateFlags,
  body: (work: MigrationWork) => Promise<void>,
): Promise<void> {
  return withConsole(flags, (run, config) => {
    checkStateFlags(pair, flags);
    return withStore(config, run, async (store) => {
      const place = await placeOf(pair, flags, { config, run, store });
      await body({ run, config, store, source: store, target: store, place }).catch((error: unknown) =>
        namingMissing(error, { pair, store }),
      );
    });
  });
}

/** Throws an error of a command. If there is no such migration because a collection is missing, it names the collection. */
async function namingMissing(
  error: unknown,
  { pair: { source, target }, store }: { readonly pair: Pair; readonly store: CopyTarget },
): Promise<never> {
  if (isTldrError(error, 'NOT_FOUND') && error.hint === 'start-migration')
    for (const name of [source, target]) {
      const missing: unknown = await store.describe(name).then(
        () => null,
        (cause: unknown) => cause,
      );
      if (isTldrError(missing, 'NOT_FOUND'))
        throw new TldrError('NOT_FOUND', `${error.message}, and ${missing.message}`, {
          cause: error,
          hint: error.hint,
        });
    }
  throw error;
}

/**
 * Loads the given encoder file, or the one that the migration state names.
 * @throws INVALID_ARGUMENT when neither is known; NOT_FOUND and MISMATCH with the fingerprint that is needed
 */
export async function encoderOf(
  given: string | undefined,
  state: MigrationState | null,
): Promise<{ readonly encoder: Encoder; readonly encoderFile: string }> {
  const file = given ?? state?.encoderFile ?? null;
  const needed =
    state === null ? '' : `: give --encoder, the file of fingerprint ${state.encoderFingerprint}`;
  if (file === null)
    throw new TldrError('INVALID_ARGUMENT', `the migration state does not say where the encoder is${needed}`);
  const encoder = await loadEncoder(file, given === undefined ? needed : '');
  if (state !== null && encoder.fingerprint !== state.encoderFingerprint)
    throw new TldrError(
      'MISMATCH',
      `the migration was made with another encoder than ${file}, which has fingerprint ${encoder.fingerprint}${needed}`,
    );
  return { encoder, encoderFile: resolve(file) };
}

async function loadEncoder(file: string, needed: string): Promise<Encoder> {
  try {
    return await Encoder.load(file);
  } catch (cause) {
    // The migration state may name a path of another machine.
    if (!isTldrError(cause, 'NOT_FOUND')) throw cause;
    throw new TldrError('NOT_FOUND', `${cause.message}${needed}`, { cause });
  }
}
