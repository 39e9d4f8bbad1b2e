import { Command } from 'commander';
import { join, resolve } from 'node:path';
import type { Config } from '../config/config.js';
import { Encoder } from '../core/encoder.js';
import { TldrError } from '../core/errors.js';
import type { VectorStore } from '../core/vector-store.js';
import type { RecordedMigration } from '../migrate/held-record.js';
import { recordFile } from '../migrate/record-file.js';
import type { RecordPlace } from '../migrate/record-place.js';
import type { ConsoleRun } from './console-run.js';
import { withConsole, withGlobalFlags, withStore, type GlobalFlags } from './options.js';

export interface RecordFlags extends GlobalFlags {
  readonly record?: string;
}

/** The two collections of a migration, as its commands name them. */
export interface Pair {
  readonly source: string;
  readonly target: string;
}

/** What the body of a command on a recorded migration works with. */
export interface RecordedWork extends RecordedMigration {
  readonly run: ConsoleRun;
  readonly config: Config;
  readonly store: VectorStore;
}

/** Arguments and flags that name a migration. */
export function withRecordFlags(command: Command): Command {
  return command
    .argument('<source>', 'collection that is migrated')
    .argument('<target>', 'collection it is migrated into')
    .option('--record <file>', 'progress file (default: .qdrant-tldr/<source>--<target>.json)');
}

/** Where the record of a migration is. */
export function placeOf({ source, target }: Pair, flags: RecordFlags, config: Config): RecordPlace {
  return recordFile(flags.record ?? join(config.stateFolder, `${safe(source)}--${safe(target)}.json`));
}

/** Runs the body of a command on a recorded migration. */
export function withMigration(
  pair: Pair,
  flags: RecordFlags,
  body: (work: RecordedWork) => Promise<void>,
): Promise<void> {
  return withConsole(flags, (run, config) =>
    withStore(config, run, async (store) => {
      const place = placeOf(pair, flags, config);
      await body({ run, config, store, source: store, target: store, place });
    }),
  );
}

/** A command on a recorded migration: arguments, global flags, and examples. */
export function recordedCommand(
  name: string,
  { description, examples }: { readonly description: string; readonly examples: string },
): Command {
  const command = withRecordFlags(new Command(name).description(description));
  command.addHelpText('after', `\n${examples}`);
  return withGlobalFlags(command);
}

/** The encoder given, or the one that the record names. @throws INVALID_ARGUMENT where neither is */
export async function encoderOf(
  given: string | undefined,
  recorded: string | null,
): Promise<{ readonly encoder: Encoder; readonly encoderFile: string }> {
  const file = given ?? recorded;
  if (file === null)
    throw new TldrError('INVALID_ARGUMENT', 'the record does not say where the encoder is: give --encoder');
  return { encoder: await Encoder.load(file), encoderFile: resolve(file) };
}

/** A collection name as part of a file name. */
function safe(name: string): string {
  return encodeURIComponent(name).replaceAll('.', '%2E');
}
