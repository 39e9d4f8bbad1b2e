import { chooseCourse, type GivenNames } from './in-place/choose-course.js';
import { resolve as absolute } from 'node:path';
import type { Config } from '../../config/load.js';
import type { Datatype, Layout, Quantization } from '../../store/collection.js';
import type { InPlaceLayout } from '../../store/in-place-target.js';
import { ProxyControl } from '../../migrate/dual-write/proxy-control.js';
import { readMigrationState } from '../../migrate/state/with-lock.js';
import { copyShare } from '../../migrate/run/copy-share.js';
import {
  startWithCatchUp,
  startMigration,
  type StartWithCatchUpReport,
  type MigrationReport,
} from '../../migrate/run/migrate-collection.js';
import { checkIdentity } from '../../migrate/state/migration-state.js';
import { planMigration, type MigrationPlan, type MigrationRequest } from '../../migrate/plan/migration.js';
import type { StateLocation } from '../../migrate/state/location.js';
import { checkThrottleSettings, UNTHROTTLED } from '../../migrate/throttle/settings.js';
import { migrationRequestOf } from '../../migrate/verify/from-state.js';
import { ramText, type ConsoleRun } from '../console/command-output.js';
import { sameCommandWithout } from '../console/next-commands.js';
import {
  nextSteps,
  commandFor,
  encoderOf,
  checkStateFlags,
  placeOf,
  withMigration,
  type MigrationWork,
} from './migration-work.js';
import { COPY_STAGES } from '../console/progress/stages.js';
import { TldrError } from '../../core/errors.js';
import { formatBytes } from '../../report/format.js';
import type { BeforeAndAfter } from '../page-parts/verdict-words.js';
import { checkCatchUpFlags, lagMaxOf, passesText, type CatchUpFlags } from './catch-up-flags.js';
import type { EncoderMetadata } from '../../encoder/network.js';
import { hooksOf, type HookFlags } from './hooks.js';
import type { StateFlags } from './state-flags.js';
import { tuningOf, type TuneFlags } from './run-tune.js';
import { withConsole, withStore } from '../console/command-body.js';

/** Flags of `migrate start`. */
export interface StartFlags extends StateFlags, HookFlags, TuneFlags, CatchUpFlags {
  readonly encoder: string;
  readonly layout?: Layout | InPlaceLayout;
  readonly vector?: string;
  readonly compactName?: string;
  readonly datatype?: Datatype;
  readonly quantization?: Quantization;
  readonly hnswM?: number;
  readonly journal?: string;
  readonly dryRun?: boolean;
}

export interface ResumeFlags extends StateFlags, HookFlags, TuneFlags, CatchUpFlags {
  readonly encoder?: string;
}

/** Runs `migrate start`. */
export function runStart(names: GivenNames, flags: StartFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: [...COPY_FLAGS, 'journal', 'compactName', 'quantization'],
    ofTables: ['lockTimeout'],
    copy: (pair) => withConsole(flags, (run, config) => start({ ...pair, flags }, { run, config })),
    inPlace: async (table) =>
      (await import('./in-place/run-start.js')).runStartTable(table, flags, tuningOf(flags)),
  });
}

/** Flags of a copy that a table has no use for. */
const COPY_FLAGS = ['catchUp', 'lagMax', 'worker', 'concurrency', 'lanes', 'batchSize', 'on'];

/** Copies a collection, or says what a copy would do. */
export async function start(
  { source, target, flags }: { source: string; target: string; flags: StartFlags },
  {
    run,
    config,
    measuredRam = null,
  }: { run: ConsoleRun; config: Config; measuredRam?: BeforeAndAfter | null },
): Promise<void> {
  checkCopyFlags(flags, { run, config });
  if (flags.compactName !== undefined && flags.layout === 'compact')
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--compact-name needs --layout two-stage: in a compact target the vector keeps its name',
    );
  const layout = layoutOf(flags);
  checkStateFlags({ source, target }, flags);
  const { encoder, encoderFile } = await encoderOf(flags.encoder, null);
  const journal = flags.journal === undefined ? undefined : absolute(flags.journal);
  if (journal !== undefined && flags.catchUp === true)
    throw new TldrError(
      'INVALID_ARGUMENT',
      'give one of --journal (clients write through the proxy) and --catch-up (they do not), not both',
    );
  await withStore(config, run, async (store) => {
    const place = await placeOf({ source, target }, flags, { config, run, store });
    const request = {
      source: store,
      target: store,
      sourceCollection: source,
      targetCollection: target,
      encoder,
      layout,
      vectorName: flags.vector,
      compactName: flags.compactName,
      datatype: flags.datatype,
      quantization: flags.quantization,
      hnswM: flags.hnswM,
    };
    const plan = await planMigration(request, { place });
    printPlan(run, plan, measuredRam);
    warnOfOtherStorage(run, encoder.metadata, flags);
    if (flags.dryRun === true) {
      const state = await place.read();
      if (state !== null) {
        checkIdentity(state, plan, place.label);
        run.say(`  ${place.label} holds the state of this migration: ${state.phase}`);
      }
      if (journal !== undefined) {
        const { pid } = await new ProxyControl(journal, plan).living();
        run.say(`  the proxy (process ${pid}) brings over writes, with the journal ${journal}`);
      }
      run.say('dry run: nothing was written');
      run.next([sameCommandWithout('--dry-run')]);
      run.result({ dryRun: true, ...summary(plan) });
      return;
    }
    await run.confirm(`Create and fill ${target} in ${store.endpoint}?`);
    await copy(request, { place, planned: plan, encoderFile, journal, flags, run, config });
    run.next(await nextSteps({ config, source: store, target: store, place }, flags));
  });
}

function layoutOf({ layout }: StartFlags): Layout | undefined {
  if (layout !== 'side' && layout !== 'index-only') return layout;
  throw new TldrError('INVALID_ARGUMENT', `only a migration of a table of PostgreSQL has --layout ${layout}`);
}

/** Warns if the encoder was trained for vectors that are stored in another form than the target will have. */
function warnOfOtherStorage(
  run: ConsoleRun,
  { hyperParameters }: EncoderMetadata,
  { datatype, quantization }: StartFlags,
): void {
  const trainedFor = hyperParameters['storedAs'];
  if (trainedFor === undefined || quantization === undefined) return;
  const kept = quantization === 'none' ? (datatype ?? 'float32') : quantization;
  if (kept === trainedFor) return;
  run.log(
    'warn',
    `the encoder was trained for vectors stored as ${trainedFor}, and the target stores them as ${kept}: an encoder trained with --for ${kept} may find more`,
  );
}

/** Runs `migrate resume`. */
export function runResume(names: GivenNames, flags: ResumeFlags): Promise<void> {
  return chooseCourse(names, flags, {
    ofCopies: [...COPY_FLAGS, 'encoder'],
    ofTables: ['vector', 'lockTimeout'],
    copy: (pair) => withMigration(pair, flags, (work) => resume(work, flags)),
    inPlace: async (table) =>
      (await import('./in-place/run-start.js')).runResumeTable(table, flags, tuningOf(flags)),
  });
}

async function resume(work: MigrationWork, flags: ResumeFlags): Promise<void> {
  const { run, config, place, store } = work;
  checkCopyFlags(flags, { run, config });
  const state = await readMigrationState(work);
  const { encoder, encoderFile } = await encoderOf(flags.encoder, state);
  await run.confirm(
    `Continue with ${state.targetCollection} in ${store.endpoint} (${state.phase})?`,
    '`migrate status`',
  );
  await place.setPaused(false);
  const request = { ...migrationRequestOf(state), source: store, target: store, encoder };
  await copy(request, { place, encoderFile, flags, run, config });
  run.next(await nextSteps(work, flags));
}

/**
 * Checks flags that need no server, before anything is asked or changed.
 * @throws INVALID_ARGUMENT when one is wrong
 */
function checkCopyFlags(
  flags: HookFlags & TuneFlags & CatchUpFlags,
  { run, config }: { readonly run: ConsoleRun; readonly config: Config },
): void {
  hooksOf(flags, config, run.signal);
  checkThrottleSettings({ ...UNTHROTTLED, ...tuningOf(flags) });
  checkCatchUpFlags(flags);
}

/** How a copy runs, from the command's flags and settings. */
interface CopySettings {
  readonly place: StateLocation;
  readonly planned?: MigrationPlan | undefined;
  readonly encoderFile: string;
  readonly journal?: string | undefined;
  readonly flags: StateFlags & HookFlags & TuneFlags & CatchUpFlags;
  readonly run: ConsoleRun;
  readonly config: Config;
}

async function copy(request: MigrationRequest, settings: CopySettings): Promise<void> {
  const { place, planned, encoderFile, journal, flags, run, config } = settings;
  const { sourceCollection: source, targetCollection: target } = request;
  const { signal, log, onProgress } = run;
  const hook = hooksOf(flags, config, signal);
  const { concurrency, batchSize } = config;
  const tuning = tuningOf(flags);
  const how = {
    place,
    planned,
    encoderFile,
    journal,
    hook,
    tuning,
    concurrency,
    batchSize,
    signal,
    log,
    onProgress,
  };
  run.expectStages(COPY_STAGES);
  run.say(
    `progress is kept in ${place.label}; if this stops, \`${commandFor('resume', { source, target }, flags)}\` continues`,
  );
  if (flags.catchUp === true) {
    if (config.worker !== null)
      throw new TldrError(
        'INVALID_ARGUMENT',
        '--worker and --catch-up exclude each other: let the workers copy, then run `migrate resume --catch-up` without --worker',
      );
    const done = await startWithCatchUp({ ...request, ...how, lagMax: lagMaxOf(flags) });
    sayCaughtUp(run, done, place);
    return;
  }
  if (config.worker === null) {
    sayDone(run, await startMigration({ ...request, ...how }), place);
    return;
  }
  const done = await copyShare({ ...request, ...how, share: config.worker });
  if (done.last !== null) sayDone(run, { ...done.last, copied: done.copied }, place);
  else {
    const { share, copied, seconds, rangesDone, rangesTotal } = done;
    const worker = `${share.index}/${share.of}`;
    const rest =
      rangesDone === rangesTotal
        ? 'nothing is left to copy: `migrate status` says how far the verification is'
        : 'other workers copy the rest';
    run.say(
      `worker ${worker} copied ${copied.toLocaleString('en-US')} points in ${seconds.toFixed(1)} s; ${rangesDone} of ${rangesTotal} ranges of all workers are done, ${rest}`,
    );
    run.result({ worker, copied, seconds, rangesDone, rangesTotal, verified: null, record: place.label });
  }
}

function sayCaughtUp(
  run: ConsoleRun,
  { plan, copied, seconds, resumed, caughtUp }: StartWithCatchUpReport,
  place: StateLocation,
): void {
  run.say(`copied ${copied.toLocaleString('en-US')} points in ${seconds.toFixed(1)} s`);
  run.say(
    `caught up with the source in ${passesText(caughtUp.passes)}; ${caughtUp.lag} points differed in the last one and were repaired`,
  );
  run.say('not verified, because clients write to the source: `migrate cutover --catch-up` verifies');
  run.result({ ...summary(plan), copied, seconds, resumed, caughtUp, record: place.label });
}

function sayDone(
  run: ConsoleRun,
  { plan, copied, seconds, resumed, verify }: MigrationReport,
  place: StateLocation,
): void {
  run.say(
    `copied ${copied.toLocaleString('en-US')} points${resumed ? ' (continuing an earlier run)' : ''} in ${seconds.toFixed(1)} s`,
  );
  run.say(
    run.paint(
      `verified all ${verify.points.toLocaleString('en-US')} points: ids, payloads, vectors and settings agree`,
      'good',
    ),
  );
  run.result({
    ...summary(plan),
    copied,
    seconds,
    resumed,
    verified: verify.points,
    record: place.label,
  });
}

/** @param measuredRam memory of vectors and index as it was measured; without it, the estimate is printed */
function printPlan(run: ConsoleRun, plan: MigrationPlan, measuredRam: BeforeAndAfter | null = null): void {
  run.say(
    `${plan.sourceCollection} -> ${plan.targetCollection} (${plan.layout}), ${plan.points.toLocaleString('en-US')} points`,
  );
  const reduced = plan.targetSpec.vectors.find(({ name }) => name === plan.compactName);
  run.say(
    `  vector "${plan.vectorName}": ${plan.inputDim} dimensions, ${plan.distance} -> ${plan.outputDim} dimensions, ${reduced?.distance ?? plan.distance}`,
  );
  run.say(
    measuredRam === null
      ? `  estimated memory for vectors and index: ${ramText(plan.before)} -> ${ramText(plan.after)}`
      : `  memory for vectors and index, as measured: ${formatBytes(measuredRam.before)} -> ${formatBytes(measuredRam.after)}`,
  );
  run.say(
    `  encoder ${plan.encoderFingerprint.slice(0, 16)}; target ${plan.targetExists ? 'exists and will be completed' : 'will be created'}`,
  );
}

function summary(plan: MigrationPlan): Record<string, unknown> {
  const { sourceSpec, targetSpec, ...rest } = plan;
  return { ...rest, sourceVectors: sourceSpec.vectors, targetVectors: targetSpec.vectors };
}
