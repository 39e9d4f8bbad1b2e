import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import { verifyAgain } from '../../migrate/verify/from-state.js';
import { type HookFlags, hooksOf } from './hooks.js';
import { encoderOf, withMigration, type MigrationWork, nextSteps } from './migration-work.js';
import type { StateFlags } from './state-flags.js';
import { TldrError } from '../../core/errors.js';

export interface VerifyFlags extends StateFlags, HookFlags {
  readonly encoder?: string;
  readonly sample?: number;
}

/** Runs `migrate verify`. */
export function runVerify(names: GivenNames, flags: VerifyFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: ['encoder', 'on'],
    ofTables: ['vector'],
    copy: (pair) => withMigration(pair, flags, (work) => verify(work, flags)),
    inPlace: async (table) => (await import('./in-place/run-look.js')).runVerifyTable(table, flags),
  });
}

async function verify(work: MigrationWork, flags: VerifyFlags): Promise<void> {
  const { run, config } = work;
  if (flags.sample === 0) throw new TldrError('INVALID_ARGUMENT', '--sample 0 compares nothing');
  const { encoder } = await encoderOf(flags.encoder, await readMigrationState(work));
  const { signal, log, onProgress } = run;
  const { batchSize } = config;
  const hook = hooksOf(flags, config, signal);
  const { sample } = flags;
  const found = await verifyAgain({ ...work, encoder, sample, batchSize, hook, signal, log, onProgress });
  const what = sample === undefined ? 'all' : 'a sample of';
  const points = found.points.toLocaleString('en-US');
  if (found.ok) {
    const agreed = found.countsCompared ? 'vectors, settings and counts' : 'vectors and settings';
    run.say(run.paint(`verified ${what} ${points} points: ids, payloads, ${agreed} agree`, 'good'));
    run.next(await nextSteps(work, flags));
    run.result(found);
    return;
  }
  for (const line of found.differences) run.say(`  ${line}`);
  throw new TldrError(
    'VERIFY_FAILED',
    `${found.differenceCount} ${found.differenceCount === 1 ? 'difference' : 'differences'} in ${what} ${points} points; \`migrate resume\` repairs them, unless an alias leads to the target`,
    { result: found },
  );
}
