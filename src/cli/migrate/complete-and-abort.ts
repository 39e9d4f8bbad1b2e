import type { Command } from 'commander';
import {
  abortMigration,
  completeMigration,
  planAbortion,
  planCompletion,
} from '../../migrate/cutover/end-migration.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { workingOn } from '../../migrate/state/shares.js';
import { stateCommand, withMigration, type MigrationWork, type StateFlags } from './state-flags.js';

interface CompleteFlags extends StateFlags {
  readonly deleteSource?: boolean;
  readonly withoutCutover?: boolean;
  readonly execute?: boolean;
}

interface AbortFlags extends StateFlags {
  readonly execute?: boolean;
}

const COMPLETE_HELP = `Reads   the migration state and both collections
Writes  the migration state, which is marked complete; it deletes the source if you ask for it

Examples:
  qdrant-tldr migrate complete docs docs_c96
  qdrant-tldr migrate complete docs docs_c96 --delete-source
  qdrant-tldr migrate complete docs docs_c96 --delete-source --execute

Nothing is deleted unless you give both --delete-source and --execute. Take a snapshot of the source first.

After a cut-over by the proxy, the proxy still serves the target and writes to both sides. To end that,
replace its entry in "collections" by the plain entry that this command prints, and restart the proxy. Only
then can the source be deleted.

Documentation: docs/migrate.md, docs/migrate-proxy.md`;

const ABORT_HELP = `Reads   the migration state and the target
Writes  with --execute: it stops the run, and deletes the target and the migration state, never the source

Examples:
  qdrant-tldr migrate abort docs docs_c96
  qdrant-tldr migrate abort docs docs_c96 --execute

A target that an alias or the proxy sends clients to is never removed, and neither is a target of another
migration. A proxy that brings over writes stops doing so first. If none is running, it stops when it is
started again.

Documentation: docs/migrate.md`;

/** `migrate complete`: marks the migration as over. */
export function completeCommand(): Command {
  return stateCommand('complete', {
    description: 'End a migration and say what you may delete.',
    examples: COMPLETE_HELP,
  })
    .option('--delete-source', 'delete the source collection, with --execute')
    .option('--without-cutover', 'clients reach the target without a cut-over, through the proxy for example')
    .option('--execute', 'delete; without this, --delete-source only says what would happen')
    .action((source: string, target: string, flags: CompleteFlags) =>
      withMigration({ source, target }, flags, (work) => complete(work, flags)),
    );
}

/** `migrate abort`: gives the migration up. */
export function abortCommand(): Command {
  return stateCommand('abort', {
    description:
      'Give a migration up: stop it, remove its target and its migration state. A dry run unless you give --execute.',
    examples: ABORT_HELP,
  })
    .option('--execute', 'do it; without this, only say what would happen')
    .action((source: string, target: string, flags: AbortFlags) =>
      withMigration({ source, target }, flags, (work) => abort(work, flags)),
    );
}

async function complete(work: MigrationWork, flags: CompleteFlags): Promise<void> {
  const { run, place } = work;
  const { deleteSource = false, withoutCutover: withoutCutOver, execute = false } = flags;
  const request = { ...work, withoutCutOver, deleteSource };
  const state = await readMigrationState(work);
  const { source, sourceExists } = await planCompletion(request, state);
  const path = `/collections/${encodeURIComponent(source)}`;
  if (deleteSource && sourceExists) {
    run.say(
      `to be able to go back, take a snapshot first: POST ${path}/snapshots, and copy it off the server`,
    );
    run.say(`if it succeeds: ${source} and all its points are gone, and there is no rollback any more`);
    run.say(`if it fails: ${source} may be gone or not; you can run this again`);
    if (!execute) {
      run.say('dry run: nothing was changed; --execute does it');
      run.result({ dryRun: true, source, sourceExists, deleted: false });
      return;
    }
  }
  await completeMigration(request);
  const deleted = deleteSource && sourceExists;
  run.say(deleted ? `complete; ${source} is deleted` : 'complete');
  const entry = state.cutOver?.form === 'proxy' ? plainEntry(state) : null;
  if (entry !== null && !deleted) for (const line of entryLines(state, entry)) run.say(line);
  if (sourceExists && !deleted) {
    run.say('you may delete, when nobody needs it any more:');
    run.say(
      `  ${source}: take a snapshot (POST ${path}/snapshots), then DELETE ${path}; until then rollback works${entry === null ? '' : ', as long as the proxy writes to both'}`,
    );
  }
  run.say(`  ${place.label}: the migration state, once you will not need the rollback any more`);
  run.result({ dryRun: false, source, sourceExists, deleted, collections: entry });
}

/** The entry of `serve`'s configuration that replaces the entry with "migrating". */
function plainEntry({ cutOver, sourceCollection, targetCollection, encoderFile }: MigrationState): object {
  return { [cutOver?.name ?? sourceCollection]: { target: targetCollection, encoder: encoderFile } };
}

function entryLines({ sourceCollection, targetCollection }: MigrationState, entry: object): string[] {
  return [
    `the proxy still serves ${targetCollection} and writes to both sides; to end that, replace its entry in "collections" by this plain one, under the name that clients use, end the proxy by SIGTERM and start it again:`,
    `  ${JSON.stringify(entry)}`,
    `  from then on ${sourceCollection} gets no writes: never go back to "migrating", and do not roll back`,
  ];
}

async function abort(work: MigrationWork, flags: AbortFlags): Promise<void> {
  const { run, store, place } = work;
  const { target, targetExists } = await planAbortion(store, await readMigrationState(work));
  const runner = await workingOn(place);
  if (runner !== null) run.say(`if it succeeds: ${runner} is stopped at its next batch`);
  run.say(
    targetExists
      ? `if it succeeds: ${target} and all its points are deleted, then ${place.label}; the source is not touched`
      : `if it succeeds: ${place.label} is removed; ${target} is not there`,
  );
  run.say('if it fails: target and migration state may be there or not; you can run this again');
  if (flags.execute === true) {
    const { signal, log, onProgress } = run;
    await abortMigration({ ...work, signal, log, onProgress });
    run.say('given up');
  } else run.say('dry run: nothing was changed; --execute does it');
  run.result({ dryRun: flags.execute !== true, target, targetExists });
}
