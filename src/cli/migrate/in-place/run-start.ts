import { TldrError } from '../../../core/errors.js';
import { Encoder } from '../../../encoder/model.js';
import { resumeInPlace, startInPlace, type InPlaceReport } from '../../../migrate/in-place/run.js';
import {
  checkThrottleSettings,
  UNTHROTTLED,
  type ThrottleSettings,
} from '../../../migrate/throttle/settings.js';
import type {
  InPlaceLayout,
  InPlacePlan,
  InPlaceRequest,
  InPlaceStep,
} from '../../../store/in-place-target.js';
import type { ConsoleRun } from '../../console/command-output.js';
import { sameCommandWithout } from '../../console/next-commands.js';
import type { CommandStages } from '../../console/progress/stages.js';
import {
  lockWaitMsOf,
  nextTableCommands,
  tableCommand,
  withTable,
  type TableCommand,
  type TableMigrationFlags,
} from './work.js';

/** The stages of a migration in place. */
const STAGES: CommandStages = {
  stages: [
    { steps: /^(filling|repairing)$/, weight: 3 },
    { steps: /^indexing$/, weight: 5 },
    { steps: /^verifying$/, weight: 2 },
  ],
  seconds: null,
};

/** Flags of `migrate start` for a table. */
export interface StartTableFlags extends TableMigrationFlags {
  readonly encoder: string;
  readonly layout?: string;
  readonly datatype?: string;
  readonly hnswM?: number;
  readonly dryRun?: boolean;
}

/** How much of the server a run may use. */
type Throttle = Partial<ThrottleSettings> | undefined;

/** Runs `migrate start` for a table. */
export function runStartTable(table: string, flags: StartTableFlags, throttle: Throttle): Promise<void> {
  return withTable(table, flags, (command) => startTable(command, flags, throttle));
}

/** Writes compact vectors beside a table, or says what that would do. */
export async function startTable(
  command: TableCommand,
  flags: StartTableFlags,
  throttle: Throttle,
): Promise<void> {
  checkThrottleSettings({ ...UNTHROTTLED, ...throttle });
  const { run, store, name } = command;
  const request = await startRequestOf(command, flags);
  const plan = await store.inPlace.plan(request);
  const known = await store.inPlace.find({ ...name, vectorName: plan.vectorName });
  if (known === null) {
    sayPlan(run, plan);
    if (flags.dryRun === true) {
      saySteps(run, plan.steps);
      run.say('dry run: nothing was written');
      run.next([sameCommandWithout('--dry-run')]);
      // The statements hold all weights.
      const facts = Object.entries(plan).filter(([name]) => name !== 'steps');
      run.result({ dryRun: true, ...Object.fromEntries(facts) });
      return;
    }
    await run.confirm(`Write compact vectors beside ${plan.collection} in ${store.endpoint}?`);
  } else if (flags.dryRun === true) {
    run.say(`${known.collection} is migrated already (${known.phase}); nothing was written`);
    run.next(nextTableCommands(known, name, flags));
    run.result({ dryRun: true, ...known });
    return;
  }
  run.expectStages(STAGES);
  run.say(
    `the state is kept in the database; if this stops, \`${tableCommand('resume', name, flags)}\` continues`,
  );
  done(command, flags, await startInPlace(store, request, optionsOf(run, flags, throttle)));
}

/** Returns what the flags of a start ask for. */
export async function startRequestOf(
  { name }: Pick<TableCommand, 'name'>,
  flags: StartTableFlags,
): Promise<InPlaceRequest> {
  const { datatype, hnswM } = flags;
  const layout = layoutOf(flags);
  if (datatype !== undefined && datatype !== 'float32' && datatype !== 'float16')
    throw new TldrError('INVALID_ARGUMENT', `--datatype ${datatype}: PostgreSQL has float32 and float16`);
  const encoder = await Encoder.load(flags.encoder);
  return { ...name, layout, encoder: encoder.toBytes(), datatype, hnswM };
}

function layoutOf({ layout = 'side' }: StartTableFlags): InPlaceLayout {
  // What a copy calls two-stage is the side table here.
  if (layout === 'side' || layout === 'two-stage') return 'side';
  if (layout === 'index-only') return layout;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `--layout ${layout}: a table keeps its full vectors, and compact ones stand beside them (side, or index-only)`,
  );
}

function optionsOf(
  { signal, log, onProgress }: ConsoleRun,
  flags: TableMigrationFlags,
  throttle: Throttle,
): Parameters<typeof startInPlace>[2] {
  return { throttle, lockWaitMs: lockWaitMsOf(flags), signal, log, onProgress };
}

function sayPlan(run: ConsoleRun, plan: InPlacePlan): void {
  const points = plan.points === null ? '' : `, about ${plan.points.toLocaleString('en-US')} rows`;
  const where = plan.layout === 'side' ? 'in a table beside the full ones' : 'only in an index';
  run.say(`${plan.collection}, compact vectors ${where}${points}`);
  run.say(
    `  "${plan.vectorName}": ${plan.inputDim} dimensions, ${plan.distance} -> ${plan.outputDim} dimensions, ${plan.datatype}; encoder ${plan.encoderFingerprint.slice(0, 16)}`,
  );
  for (const note of plan.notes) run.say(`  note: ${note}`);
}

const WEIGHTS = /^insert into \S+"weights_/;

function saySteps(run: ConsoleRun, steps: readonly InPlaceStep[]): void {
  for (const { title, statements } of steps) {
    run.say(`\n-- ${title}`);
    for (const statement of statements) {
      const lines = statement.split('\n');
      const weights = lines.filter((line) => WEIGHTS.test(line)).length;
      for (const line of lines.filter((one) => !WEIGHTS.test(one))) run.sayCode(line);
      if (weights > 0) run.say(`-- and ${weights} rows of weights, which \`qdrant-tldr sql\` prints`);
      else run.say(';');
    }
  }
}

/** Runs `migrate resume` for a table. */
export function runResumeTable(table: string, flags: TableMigrationFlags, throttle: Throttle): Promise<void> {
  checkThrottleSettings({ ...UNTHROTTLED, ...throttle });
  return withTable(table, flags, async (command) => {
    const { run, store } = command;
    await run.confirm(
      `Continue with the compact vectors of ${table} in ${store.endpoint}?`,
      '`migrate status`',
    );
    await resumeTable(command, flags, throttle);
  });
}

/** Continues a migration of a table, and repairs what differs. */
export async function resumeTable(
  command: TableCommand,
  flags: TableMigrationFlags,
  throttle: Throttle,
): Promise<void> {
  const { run, store, name } = command;
  run.expectStages(STAGES);
  done(command, flags, await resumeInPlace(store, name, optionsOf(run, flags, throttle)));
}

function done({ run, name }: TableCommand, flags: TableMigrationFlags, report: InPlaceReport): void {
  const { state, filled, seconds, verified } = report;
  if (state.layout === 'side')
    run.say(`looked at ${filled.toLocaleString('en-US')} rows in ${seconds.toFixed(1)} s`);
  if (verified !== null)
    run.say(
      run.paint(
        `verified all ${verified.points.toLocaleString('en-US')} rows: none lacks its compact vector, and none differs`,
        'good',
      ),
    );
  run.next(nextTableCommands(state, name, flags));
  run.result({ ...state, filled, seconds, verified });
}
