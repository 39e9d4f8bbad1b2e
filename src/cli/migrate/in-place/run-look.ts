import { TldrError } from '../../../core/errors.js';
import { sleep } from '../../../core/run-options.js';
import { retuneInPlace } from '../../../migrate/in-place/run.js';
import { UNTHROTTLED, type ThrottleSettings } from '../../../migrate/throttle/settings.js';
import type { InPlaceState } from '../../../store/in-place-target.js';
import type { ConsoleRun } from '../../console/command-output.js';
import { tuningLine } from '../../console/throttle-words.js';
import {
  nextTableCommands,
  stateOf,
  tableCommand,
  withTable,
  working,
  type TableCommand,
  type TableMigrationFlags,
} from './work.js';

/** Time between two looks at a migration that is watched. */
const WATCH_MS = 1000;
const PAUSE_WAIT_MS = 15_000;

/** Runs `migrate status` for a table. */
export function runStatusTable(
  table: string,
  flags: TableMigrationFlags & { readonly watch?: boolean },
): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run, name } = command;
    const state = flags.watch === true ? await watched(command) : await stateOf(command);
    sayState(run, state);
    run.next(nextTableCommands(state, name, flags));
    run.result(state);
  });
}

async function watched(command: TableCommand): Promise<InPlaceState> {
  const { run } = command;
  for (;;) {
    const state = await stateOf(command);
    if (state.runner === null) return state;
    const isFilling = state.phase === 'filling' || state.phase === 'repairing';
    const total = isFilling ? (state.points ?? Infinity) : Infinity;
    run.onProgress({ step: state.phase, done: state.filled, total, unit: 'points' });
    await sleep(WATCH_MS, run.signal).catch(() => undefined);
    if (run.signal.aborted) return state;
  }
}

function sayState(run: ConsoleRun, state: InPlaceState): void {
  const { cutOver, verified } = state;
  run.say(
    `${state.collection}, "${state.vectorName}": ${state.inputDim} -> ${state.outputDim} dimensions, layout ${state.layout}`,
  );
  run.say(`  phase ${state.phase}${state.paused ? ', paused' : ''}`);
  run.say(`  runner: ${state.runner ?? 'none'}`);
  run.say(`  throttle: ${tuningLine(state.throttle ?? UNTHROTTLED)}`);
  const of = state.points === null ? '' : ` of about ${state.points.toLocaleString('en-US')}`;
  if (state.layout === 'side') run.say(`  looked at ${state.filled.toLocaleString('en-US')}${of} rows`);
  if (verified !== null)
    run.say(
      `  last comparison: ${verified.points.toLocaleString('en-US')} rows, ${verified.missing} without a compact vector, ${verified.orphans} compact vectors without a row, ${verified.differing} differing`,
    );
  if (cutOver !== null)
    run.say(`  cut-over (${cutOver.form}): ${cutOver.name === '' ? 'by clients' : cutOver.name}`);
  for (const problem of state.problems) run.say(run.paint(`  ${problem}`, 'warning'));
  if (cutOver?.isFullColumnDropped === true)
    run.say(`  the column "${state.vectorName}" was dropped: compact vectors are all that is left`);
  for (const name of state.leftovers)
    run.say(run.paint(`  ${name} was left over: \`migrate rollback\` removes it`, 'warning'));
  for (const warning of state.warnings)
    run.say(run.paint(`  ${warning}: \`migrate resume\` repairs it`, 'warning'));
}

/** Runs `migrate tune` for a table. */
export function runTuneTable(
  table: string,
  flags: TableMigrationFlags,
  changes: Partial<ThrottleSettings>,
): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run, store, name } = command;
    const state = await stateOf(command);
    const throttle = await retuneInPlace(store, name, changes);
    run.say(tuningLine(throttle));
    run.next(nextTableCommands(state, name, flags));
    run.result(throttle);
  });
}

/** Runs `migrate pause` for a table. */
export function runPauseTable(table: string, flags: TableMigrationFlags): Promise<void> {
  return withTable(table, flags, async ({ run, store, name }) => {
    const stopped = await store.inPlace.pause(name, PAUSE_WAIT_MS);
    const resume = tableCommand('resume', name, flags);
    run.say(stopped ? `paused: \`${resume}\` continues` : 'asked to pause; the run still finishes its work');
    run.next([resume, tableCommand('status', name, flags)]);
    run.result({ paused: true, stopped });
  });
}

/** Runs `migrate verify` for a table. */
export function runVerifyTable(
  table: string,
  flags: TableMigrationFlags & { readonly sample?: number },
): Promise<void> {
  return withTable(table, flags, async (command) => {
    const { run, name } = command;
    const { sample } = flags;
    if (sample === 0) throw new TldrError('INVALID_ARGUMENT', '--sample 0 compares nothing');
    const { phase, cutOver } = await stateOf(command);
    if (['installing', 'filling', 'indexing'].includes(phase))
      throw new TldrError('INVALID_ARGUMENT', `not all compact vectors are written yet (${phase})`, {
        hint: 'resume-migration',
      });
    const { signal, log, onProgress } = run;
    const found = await working(command, flags, (work) => work.verify({ sample, signal, log, onProgress }));
    const what = `${sample === undefined ? 'all' : 'a sample of'} ${found.points.toLocaleString('en-US')} rows`;
    if (found.lines.length > 0) {
      for (const line of found.lines) run.say(`  ${line}`);
      throw new TldrError(
        'VERIFY_FAILED',
        `${what}: ${found.missing} without a compact vector, ${found.orphans} compact vectors without a row, ${found.differing} differing; \`migrate resume\` repairs them`,
        { result: found },
      );
    }
    const result =
      cutOver?.isFullColumnDropped === true
        ? `every one of ${found.points.toLocaleString('en-US')} compact vectors belongs to a row; without full vectors there is nothing else to compare`
        : `verified ${what}: none lacks its compact vector, and none differs`;
    run.say(run.paint(result, 'good'));
    run.next(nextTableCommands(await stateOf(command), name, flags));
    run.result(found);
  });
}
