import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import type { CompleteTableFlags } from './in-place/run-change.js';
import {
  abortMigration,
  completeMigration,
  planAbortion,
  planCompletion,
} from '../../migrate/cutover/end-migration.js';
import { nextCommand, sameCommandWith } from '../console/next-commands.js';
import { nextSteps, withMigration, type MigrationWork } from './migration-work.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import type { MigrationState } from '../../migrate/state/migration-state.js';
import { workingOn } from '../../migrate/state/shares.js';
import type { StateFlags } from './state-flags.js';

export interface CompleteFlags extends StateFlags {
  readonly deleteSource?: boolean;
  readonly withoutCutover?: boolean;
  readonly execute?: boolean;
}

export interface AbortFlags extends StateFlags {
  readonly execute?: boolean;
}

/** Runs `migrate complete`. */
export function runComplete(names: GivenNames, flags: CompleteFlags & CompleteTableFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: ['deleteSource', 'withoutCutover'],
    ofTables: ['vector', 'dropFullIndex', 'dropFullColumn', 'lockTimeout'],
    copy: (pair) => withMigration(pair, flags, (work) => complete(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-change.js')).runCompleteTable(table, flags),
  });
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
      run.next([sameCommandWith('--execute')]);
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
  run.next(await nextSteps(work, flags));
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

/** Runs `migrate abort`. */
export function runAbort(names: GivenNames, flags: AbortFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofTables: ['vector'],
    copy: (pair) => withMigration(pair, flags, (work) => abort(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-change.js')).runAbortTable(table, flags),
  });
}

async function abort(work: MigrationWork, flags: AbortFlags): Promise<void> {
  const { run, store, place } = work;
  const state = await readMigrationState(work);
  const source = state.sourceCollection;
  const { target, targetExists } = await planAbortion(store, state);
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
    run.next([nextCommand(flags, { command: ['inspect'], names: [source], flags: [] })]);
  } else {
    run.say('dry run: nothing was changed; --execute does it');
    run.next([sameCommandWith('--execute')]);
  }
  run.result({ dryRun: flags.execute !== true, target, targetExists });
}
