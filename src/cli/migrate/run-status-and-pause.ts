import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import type { JournalStatus } from '../../migrate/dual-write/proxy-control.js';
import { setAsideText } from '../../migrate/dual-write/points-set-aside.js';
import { migrationStatus, type MigrationStatus, type NextStep } from '../../migrate/run/migration-status.js';
import { sleep } from '../../core/run-options.js';
import { workingOn } from '../../migrate/state/shares.js';
import type { LoadSeen } from '../../migrate/throttle/throttle.js';
import type { ConsoleRun } from '../console/command-output.js';
import { commandFor, withMigration, type MigrationWork, stepsOf } from './migration-work.js';
import type { StateFlags } from './state-flags.js';
import { tuningLine } from '../console/throttle-words.js';
import { pauseMigration } from '../../migrate/cutover/end-migration.js';

const NEXT: Readonly<Record<NextStep, string>> = {
  'start-proxy': 'run `serve` with "migrating" for this migration: no proxy mirrors its writes',
  wait: 'wait, or `migrate pause`',
  resume: '`migrate resume`',
  none: 'nothing: the migration is complete. Its state is not needed any more, nor its journal once "migrating" is removed from the proxy\'s configuration',
  'finish-switch': '`migrate cutover` or `migrate rollback`: one was interrupted',
  complete: '`migrate complete` once you are satisfied, or `migrate rollback`',
  'cut-over-catch-up': '`migrate cutover --catch-up`',
  'cut-over': '`migrate cutover`',
  'cut-over-by-proxy': '`migrate cutover --by proxy`',
};

/** Runs `migrate status`. */
export function runStatus(names: GivenNames, flags: StatusFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofTables: ['vector'],
    copy: (pair) => withMigration(pair, flags, (work) => showStatus(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-look.js')).runStatusTable(table, flags),
  });
}

/** Runs `migrate pause`. */
export function runPause(names: GivenNames, flags: StateFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofTables: ['vector'],
    copy: (pair) =>
      withMigration(pair, flags, (work) =>
        pause(work, { resume: commandFor('resume', pair, flags), status: commandFor('status', pair, flags) }),
      ),
    inPlace: async (table) => (await import('./in-place/run-look.js')).runPauseTable(table, flags),
  });
}

/** Flags of `migrate status`. */
export interface StatusFlags extends StateFlags {
  readonly watch?: boolean;
}

async function showStatus(work: MigrationWork, flags: StatusFlags): Promise<void> {
  const status = flags.watch === true ? await watchedStatus(work) : await migrationStatus(work);
  printStatus(work.run, status, work.place.label);
  work.run.next(await stepsOf(status, work, flags));
  work.run.result({ ...status, next: NEXT[status.next] });
}

/** Time between two looks at a migration that is watched. */
const WATCH_MS = 1000;

/** Shows how far a migration is until no run works on it any more, or Ctrl-C. Returns its last status. */
async function watchedStatus(work: MigrationWork): Promise<MigrationStatus> {
  const { run } = work;
  for (;;) {
    const status = await migrationStatus(work);
    const { runner, phase, copied, sourcePoints } = status;
    if (runner === null) return status;
    const total = phase === 'copying' && sourcePoints !== null ? sourcePoints : Number.POSITIVE_INFINITY;
    run.onProgress({ step: phase, done: copied, total, unit: 'points' });
    await sleep(WATCH_MS, run.signal).catch(() => undefined);
    // Ctrl-C ends the watching, not the migration.
    if (run.signal.aborted) return status;
  }
}

function printStatus(run: ConsoleRun, status: MigrationStatus, label: string): void {
  const count = (points: number | null): string =>
    points === null ? 'not there' : `${points.toLocaleString('en-US')} points`;
  const { cutOver, runner } = status;
  run.say(`${status.source} -> ${status.target} (${status.layout}) at ${status.endpoint}`);
  run.say(`  phase ${status.phase}${status.completed ? ', complete' : ''}${status.paused ? ', paused' : ''}`);
  run.say(`  runner: ${runner ?? 'none'}`);
  run.say(`  throttle: ${tuningLine(status.tuning)}`);
  for (const one of status.workers)
    run.say(
      `  worker ${one.worker}: ${one.rangesDone} of ${one.rangesTotal} ranges done, ${one.runner ?? 'no runner'}${one.load?.waiting == null ? '' : `, waiting: ${one.load.waiting}`}`,
    );
  if (status.load !== null) for (const line of loadLines(status.load)) run.say(`  ${line}`);
  run.say(
    `  copied ${status.copied.toLocaleString('en-US')} points; ${status.rangesDone} of ${status.rangesTotal} ranges done`,
  );
  run.say(`  now: source ${count(status.sourcePoints)}, target ${count(status.targetPoints)}`);
  if (status.verifiedPoints !== null)
    run.say(`  verified: ${status.verifiedPoints.toLocaleString('en-US')} points were equal`);
  if (cutOver !== null) {
    const before = cutOver.previous === null ? '' : `, before ${cutOver.previous}`;
    const forced = cutOver.forced ? ', forced' : '';
    run.say(`  cut-over (${cutOver.form}): "${cutOver.name}" ${cutOver.state}${before}${forced}`);
  }
  if (status.journal !== null) for (const line of journalLines(status.journal)) run.say(`  ${line}`);
  const names = status.targetAliases.map((name) => `"${name}"`).join(', ');
  run.say(`  aliases of the target: ${names === '' ? 'none' : names}`);
  run.say(`  migration state: ${label}`);
  if (status.next === 'none' || status.next === 'start-proxy') run.say(`to do: ${NEXT[status.next]}`);
}

function journalLines({ folder, wanted, report, ageMs, living }: JournalStatus): string[] {
  const head = `journal ${folder}: ${wanted.state}, clients read the ${wanted.side}`;
  if (report === null) return [head, 'proxy: none reports; one that is started will do what was asked'];
  const age = `${(ageMs / 1000).toFixed(1)} s ago`;
  if (!living) return [head, `proxy: process ${report.pid} reported ${age}, and nothing since`];
  const caughtUp = report.caughtUp ? 'caught up' : 'not caught up';
  return [
    head,
    `proxy: process ${report.pid}, ${report.state}, clients read the ${report.side}, ${report.open} open entries, ${caughtUp}, reported ${age}`,
    ...(report.setAside === null ? [] : [setAsideText(report.setAside)]),
  ];
}

function loadLines({ baselineMs, latencyMs, waiting, resting, waitedMs }: LoadSeen): string[] {
  const search =
    latencyMs === null || baselineMs === null
      ? []
      : [`search of the source: ${latencyMs} ms now, ${baselineMs} ms at rest`];
  const rest = resting > 0 ? `, rests ${resting} times its work` : '';
  const waited = `${(waitedMs / 1000).toFixed(1)} s waited so far${rest}`;
  return [...search, waiting === null ? waited : `waiting: ${waiting}; ${waited}`];
}

async function pause(
  work: MigrationWork,
  { resume, status }: { readonly resume: string; readonly status: string },
): Promise<void> {
  const { place, run } = work;
  await readMigrationState(work);
  const stopped = await pauseMigration(place, run.signal);
  run.say(
    stopped
      ? `paused: \`${resume}\` continues`
      : `asked to pause; ${(await workingOn(place)) ?? 'the run'} still finishes its current work`,
  );
  run.next([resume, status]);
  run.result({ paused: true, stopped });
}
