import type { Command } from 'commander';
import {
  abortMigration,
  completeMigration,
  planAbortion,
  planCompletion,
} from '../../migrate/cutover/end-migration.js';
import { readRecorded } from '../../migrate/state/locked.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { workingOn } from '../../migrate/state/split.js';
import { recordedCommand, withMigration, type RecordedWork, type RecordFlags } from './state.js';

interface CompleteFlags extends RecordFlags {
  readonly deleteSource?: boolean;
  readonly withoutCutover?: boolean;
  readonly execute?: boolean;
}

interface AbortFlags extends RecordFlags {
  readonly execute?: boolean;
}

/** `migrate complete`: the migration is over. */
export function completeCommand(): Command {
  return recordedCommand('complete', {
    description: 'Declare a migration over and say what may be deleted by hand.',
    examples: `Examples:
  qdrant-tldr migrate complete docs docs_c96
  qdrant-tldr migrate complete docs docs_c96 --delete-source
  qdrant-tldr migrate complete docs docs_c96 --delete-source --execute

Nothing is deleted unless --delete-source and --execute are both given. Take a snapshot of the source before.

After a cut-over by the proxy it goes on serving the target and writing to both sides, until its entry of "collections"
is replaced by a plain one, which this prints, and it is restarted. Only then can the source be deleted.`,
  })
    .option('--delete-source', 'delete the source collection, with --execute')
    .option('--without-cutover', 'clients reach the target without a cut-over, by the proxy for example')
    .option('--execute', 'delete; without this, --delete-source only says what would happen')
    .action((source: string, target: string, flags: CompleteFlags) =>
      withMigration({ source, target }, flags, (work) => complete(work, flags)),
    );
}

/** `migrate abort`: the migration is given up. */
export function abortCommand(): Command {
  return recordedCommand('abort', {
    description:
      'Give a migration up: stop it, remove the target it made and its record. A dry run unless --execute is given.',
    examples: `Examples:
  qdrant-tldr migrate abort docs docs_c96
  qdrant-tldr migrate abort docs docs_c96 --execute

A target that an alias or the proxy sends clients to is never removed, nor one that another migration made. A proxy
that follows the writes stops bringing them over first; without a living one it does so when it is started again.`,
  })
    .option('--execute', 'do it; without this, only say what would happen')
    .action((source: string, target: string, flags: AbortFlags) =>
      withMigration({ source, target }, flags, (work) => abort(work, flags)),
    );
}

async function complete(work: RecordedWork, flags: CompleteFlags): Promise<void> {
  const { run, place } = work;
  const { deleteSource = false, withoutCutover: withoutCutOver, execute = false } = flags;
  const request = { ...work, withoutCutOver, deleteSource };
  const record = await readRecorded(work);
  const { source, sourceExists } = await planCompletion(request, record);
  const path = `/collections/${encodeURIComponent(source)}`;
  if (deleteSource && sourceExists) {
    run.say(`a snapshot first keeps a way back: POST ${path}/snapshots, and copy it off the server`);
    run.say(`if it succeeds: ${source} and all its points are gone, and there is no rollback any more`);
    run.say(`if it fails: ${source} may be gone or not; this can be run again`);
    if (!execute) {
      run.say('dry run: nothing was changed; --execute does it');
      run.result({ dryRun: true, source, sourceExists, deleted: false });
      return;
    }
  }
  await completeMigration(request);
  const deleted = deleteSource && sourceExists;
  run.say(deleted ? `complete; ${source} is deleted` : 'complete');
  const entry = record.cutOver?.form === 'proxy' ? plainEntry(record) : null;
  if (entry !== null && !deleted) for (const line of entryLines(record, entry)) run.say(line);
  if (sourceExists && !deleted) {
    run.say('may be deleted by hand, when nobody needs it any more:');
    run.say(
      `  ${source}: take a snapshot (POST ${path}/snapshots), then DELETE ${path}; until then rollback works${entry === null ? '' : ', as long as the proxy writes to both'}`,
    );
  }
  run.say(`  ${place.label}: the record, once rollback is not wanted any more`);
  run.result({ dryRun: false, source, sourceExists, deleted, collections: entry });
}

/** What takes the place of an entry with "migrating" in the configuration of `serve`. */
function plainEntry({ cutOver, sourceCollection, targetCollection, encoderFile }: MigrationState): object {
  return { [cutOver?.name ?? sourceCollection]: { target: targetCollection, encoder: encoderFile } };
}

function entryLines({ sourceCollection, targetCollection }: MigrationState, entry: object): string[] {
  return [
    `the proxy goes on serving ${targetCollection} and writing to both sides; to end that, give it a plain entry in "collections", under the name that clients use, and restart it by SIGTERM:`,
    `  ${JSON.stringify(entry)}`,
    `  from then on ${sourceCollection} gets no writes: never go back to "migrating", nor roll back`,
  ];
}

async function abort(work: RecordedWork, flags: AbortFlags): Promise<void> {
  const { run, store, place } = work;
  const { target, targetExists } = await planAbortion(store, await readRecorded(work));
  const runner = await workingOn(place);
  if (runner !== null) run.say(`if it succeeds: ${runner} is stopped at its next batch`);
  run.say(
    targetExists
      ? `if it succeeds: ${target} and all its points are deleted, then ${place.label}; the source is not touched`
      : `if it succeeds: ${place.label} is removed; ${target} is not there`,
  );
  run.say('if it fails: target and record may be there or not; this can be run again');
  if (flags.execute === true) {
    const { signal, log, onProgress } = run;
    await abortMigration({ ...work, signal, log, onProgress });
    run.say('given up');
  } else run.say('dry run: nothing was changed; --execute does it');
  run.result({ dryRun: flags.execute !== true, target, targetExists });
}
