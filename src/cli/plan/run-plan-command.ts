import { nextCommand, sameCommandWithout } from '../console/next-commands.js';
import { durationText } from '../console/progress/line.js';
import { planStages } from '../console/progress/stages.js';
import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { adapterFor } from '../adapters.js';
import { PLAN_DEADLINE } from '../../hyper-parameters/plan-deadline.js';
import type { Config } from '../../config/load.js';
import { codeOf, TldrError } from '../../core/errors.js';
import type { StorageKind } from '../../store/collection.js';
import { isCopyTarget } from '../../store/copy-target.js';
import { withScratchOf, type ScratchStore } from '../../store/beside/scratch-store.js';
import type { VectorSource } from '../../store/vector-source.js';
import { choosePlan, type PlanTarget, type SizingRow } from '../../plan/sizing-row.js';
import { memoryBudgets, recommendedWithin } from '../../plan/memory-budgets.js';
import { runPlan, type PlanResult } from '../../plan/run-plan.js';
import { preparePlan, type PlanOptions, type PlanSetup } from '../../plan/prepare-plan.js';
import { SCRATCH_METADATA, SCRATCH_PREFIX } from '../../plan/scratch-names.js';
import { formatBytes, formatNumber } from '../../report/format.js';
import { writePage } from '../console/show-results.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { GlobalFlags } from '../console/options.js';
import { withConsole, openStore, withSource } from '../console/command-body.js';
import { checkOutput, commandLine } from '../console/check-output.js';
import { budgetTable, printRamChoice } from './budgets.js';
import { kindsToTry } from './default-kinds.js';
import { planPage } from './page.js';
import { planJudgements, trainFlagsOf } from './judgements.js';
import { printChoice, printPlan, resultOf, sayFullStorageAsGood, sizingTable } from './print.js';
import { planCommands } from './commands.js';
import { shellCommand } from '../console/shell-command.js';
import { checkRelevanceFlags, type RelevanceFlags } from '../train/relevance-flags.js';
import { measurableStorage } from '../../store/facets.js';

export interface PlanFlags extends GlobalFlags, RelevanceFlags {
  readonly vector?: string;
  readonly dims?: number[];
  readonly datatypes?: StorageKind[];
  readonly oversampling: number[];
  readonly hnswM?: number[];
  readonly target?: PlanTarget;
  readonly ram?: number;
  readonly queriesCount: number;
  readonly budget?: number;
  readonly deterministic?: boolean;
  readonly scratch: 'server' | 'embedded';
  readonly seed: number;
  readonly all?: boolean;
  readonly report?: string;
  readonly force?: boolean;
  readonly clean?: boolean;
  readonly dryRun?: boolean;
}

interface PlanContext {
  readonly store: VectorSource;
  /** Where temporary collections of the server are. */
  readonly scratch: ScratchStore;
  readonly run: ConsoleRun;
  readonly config: Config;
}

/** Runs `plan`. */
export function runPlanCommand(collection: string, flags: PlanFlags): Promise<void> {
  return withConsole(flags, (run, config) =>
    withSource(config, run, (store) =>
      withScratchOf(store, (scratch) =>
        flags.clean === true
          ? cleanLeftovers(scratch, run, flags)
          : plan(collection, flags, { store, scratch, run, config }),
      ),
    ),
  );
}

async function plan(collection: string, flags: PlanFlags, context: PlanContext): Promise<void> {
  const { store, scratch, run, config } = context;
  const dryRun = flags.dryRun === true;
  checkRelevanceFlags(flags);
  if (flags.report !== undefined) await checkOutput(flags.report, { force: flags.force === true, dryRun });
  await lookForLeftovers(collection, flags, context);
  const options = await planOptionsOf(collection, flags, context);
  const setup = await preparePlan(options);
  const where = flags.scratch === 'embedded' ? 'a packaged server started for it' : store.endpoint;
  sayWhat(run, { options, setup, where });
  if (dryRun) {
    run.say('dry run: nothing was written');
    run.next([sameCommandWithout('--dry-run')]);
    const { dims, rows, samplePoints, scratchBytes, points, notes } = setup;
    run.result({ dryRun: true, collection, points, dims, rows, samplePoints, scratchBytes, notes });
    return;
  }
  if (flags.scratch === 'server')
    await run.confirm(
      `Write ${formatBytes(setup.scratchBytes)} of vectors to ${where} and remove them again?`,
    );
  run.expectStages(planStages());
  const result = await withScratchStore(flags, { scratch, run, config }, (scratchStore) =>
    runPlan({ ...options, scratchStore }, setup),
  );
  await showPlan(flags, { options, setup, result }, { run, config });
}

/** Returns the options of a plan from the command's flags, with a new name for its scratch collection. */
export async function planOptionsOf(
  collection: string,
  flags: PlanFlags,
  { store, scratch, run, config }: PlanContext,
): Promise<PlanOptions> {
  const { signal, log, onProgress } = run;
  const started = {
    startedAt: new Date().toISOString(),
    host: hostname(),
    pid: process.pid,
    pids: pidNamespace(),
  };
  return {
    store,
    scratchStore: scratch,
    collection,
    vectorName: flags.vector,
    dims: flags.dims,
    kinds: await kindsToTry(flags.datatypes, {
      store: scratch,
      scratch: flags.scratch,
      local: adapterFor(config.url).local,
    }),
    oversamplings: flags.oversampling,
    hnswM: flags.hnswM,
    // As `train` does it, since the database has to compute the encoder.
    linearOnly: adapterFor(config.url).encoderScript !== undefined,
    sampleSize: flags.sample,
    queriesCount: flags.queriesCount,
    ...(await planJudgements(collection, flags, { store, run })),
    scratchName: `${SCRATCH_PREFIX}${randomBytes(6).toString('hex')}`,
    scratchMetadata: { [SCRATCH_METADATA]: JSON.stringify(started) },
    seed: flags.seed,
    threads: config.threads,
    budgetSeconds: flags.budget,
    deterministic: flags.deterministic === true,
    signal,
    log,
    onProgress,
  };
}

/** Chooses a configuration if a target or an amount of memory was given, and shows everything that was measured. */
async function showPlan(
  flags: PlanFlags,
  { options, setup, result }: { options: PlanOptions; setup: PlanSetup; result: PlanResult },
  { run, config }: Pick<PlanContext, 'run' | 'config'>,
): Promise<void> {
  const { target, ram } = flags;
  const { rows } = result;
  const choice = target === undefined ? null : choosePlan(rows, target, flags.seed);
  const recommendation = ram === undefined ? choice : recommendedWithin(rows, ram);
  const { row: chosen, passedOver } = recommendation ?? { row: null, passedOver: null };
  const budgets = memoryBudgets(rows, { points: setup.points, dim: setup.vector.dim });
  const tables = [sizingTable(result, chosen), budgetTable(budgets, result)];
  printPlan(run, {
    options,
    setup,
    result,
    all: flags.all === true || flags.verbose === true,
    verbose: flags.verbose,
    tables,
  });
  const trainFlags = trainFlagsOf(flags, setup);
  const commands =
    chosen === null ? [] : await planCommands(chosen, { options, setup, url: config.url, flags, trainFlags });
  const later = commands.slice(FIRST_COMMANDS);
  if (target === undefined && ram === undefined) sayFullStorageAsGood(run, rows);
  if (target !== undefined) printChoice(run, { choice, target, commands: later, rows });
  if (ram !== undefined)
    printRamChoice(run, { choice: recommendation, ramBytes: ram, commands: later, rows });
  run.next(
    chosen === null ? [planAgain(options.collection, flags, rows)] : commands.slice(0, FIRST_COMMANDS),
  );
  const { collection } = options;
  if (flags.report !== undefined) {
    const parts = {
      collection,
      setup,
      result,
      target,
      chosen,
      passedOver,
      tables,
      command: commandLine(),
      commands,
      commandWithTarget: planAgain(collection, flags, rows),
    };
    await writePage(run, flags.report, planPage(parts));
  }
  run.result(resultOf({ collection, setup, result, choice, recommendation, budgets, commands, target, ram }));
}

/** Commands of a choice that are shown as the next ones: training and migration. */
const FIRST_COMMANDS = 2;

/** The command that chooses, for a recall that one of the configurations reaches. */
function planAgain(collection: string, flags: PlanFlags, rows: readonly SizingRow[]): string {
  const best = Math.max(
    0,
    ...rows.filter(({ deployable }) => deployable).map(({ recallAt10 }) => recallAt10),
  );
  const reached = Math.floor(100 * Math.min(best, RECALL_ADVISED)) / 100;
  return nextCommand(flags, {
    command: ['plan'],
    names: [collection],
    flags: [
      ...(flags.vector === undefined ? [] : [['--vector', flags.vector] as const]),
      ['--target', `recall@10>=${reached}`],
    ],
  });
}

/** The recall that `plan` is advised to aim at where the user named none. */
const RECALL_ADVISED = 0.97;

function sayWhat(
  run: ConsoleRun,
  { options, setup, where }: { options: PlanOptions; setup: PlanSetup; where: string },
): void {
  const { vector, points, dims, samplePoints, scratchBytes, rows, givenQueries } = setup;
  run.say(
    `${options.collection}: ${formatNumber(points)} points, "${vector.name}" ${vector.dim} dimensions, ${vector.distance}`,
  );
  run.say(
    `to measure: ${rows} configurations (dimensions ${dims.join(', ')} and ${vector.dim}) on ${formatNumber(samplePoints)} points`,
  );
  if (options.deterministic === false)
    run.say(
      `  all of it ends within about ${durationText(options.budgetSeconds ?? PLAN_DEADLINE.seconds)} (--budget)`,
    );
  if (givenQueries !== null)
    run.say(
      `  ${formatNumber(givenQueries.measuring)} of the queries measure, ${formatNumber(givenQueries.training)} train and choose encoders`,
    );
  run.say(
    `  in scratch collection ${options.scratchName} on ${where}: about ${formatBytes(scratchBytes)} of vectors, removed at the end`,
  );
}

/** Runs `body` with the store to measure in: the given one, or a local server that ends with the call. */
async function withScratchStore<T>(
  flags: PlanFlags,
  { scratch, run, config }: Omit<PlanContext, 'store'>,
  body: (scratchStore: ScratchStore) => Promise<T>,
): Promise<T> {
  if (flags.scratch === 'server') return body(scratch);
  const { local } = adapterFor(config.url);
  if (local === undefined)
    throw new TldrError(
      'UNSUPPORTED',
      `a ${scratch.kind} database cannot be started for one run: give --scratch server`,
    );
  const server = await local.start();
  try {
    const own = await openStore(
      { ...config, apiKey: undefined, url: server.url, ofDatabase: server.settings },
      run.log,
    );
    try {
      return await body(own);
    } finally {
      await own.close();
    }
  } finally {
    await server.stop();
  }
}

/** Returns the scratch collections of runs that have ended, as far as this can be known. */
async function leftoversOf(store: ScratchStore): Promise<string[]> {
  const found: string[] = [];
  for (const name of await store.listCollections()) {
    if (!name.startsWith(SCRATCH_PREFIX)) continue;
    const text = (await store.describe(name)).metadata[SCRATCH_METADATA];
    // A collection without the mark belongs to a user, whatever its name.
    if (text !== undefined && !isRunning(text)) found.push(name);
  }
  return found;
}

/** If a run's process cannot be looked up, the run counts as ended after this time. */
const UNSEEN_RUN_MS_MAX = 24 * 3600 * 1000;

/**
 * Whether the run that wrote this metadata may still be running. A process id says something only within the
 * namespace that gave it out: containers with one host name have process ids of their own.
 */
function isRunning(metadata: string): boolean {
  const value: unknown = JSON.parse(metadata);
  const fields = new Map<string, unknown>(
    Object.entries(typeof value === 'object' && value !== null ? value : {}),
  );
  const [pid, startedAt] = [fields.get('pid'), fields.get('startedAt')];
  const isVisible =
    typeof pid === 'number' && fields.get('host') === hostname() && fields.get('pids') === pidNamespace();
  if (!isVisible) {
    const ageMs = Date.now() - Date.parse(typeof startedAt === 'string' ? startedAt : '');
    return ageMs <= UNSEEN_RUN_MS_MAX;
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** The boot and the namespace in which this process has its id; '' if the system does not say (proc(5)). */
function pidNamespace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

/** Removes what killed runs left behind where only plans write, and names it elsewhere. */
async function lookForLeftovers(
  collection: string,
  { dryRun }: PlanFlags,
  { store, scratch, run }: PlanContext,
): Promise<void> {
  const leftovers = await leftoversOf(scratch);
  if (leftovers.length === 0) return;
  if (!isCopyTarget(store) && dryRun !== true) {
    for (const name of leftovers) await measurableStorage(scratch).dropScratch(name);
    run.say(`removed ${leftovers.join(', ')}, which runs that were killed had left behind`);
    return;
  }
  run.say(`left behind by earlier runs: ${leftovers.join(', ')}`);
  run.say(
    `  remove with: ${shellCommand({ command: ['plan'], names: [collection], flags: [['--clean', null]] })}`,
  );
}

async function cleanLeftovers(store: ScratchStore, run: ConsoleRun, flags: PlanFlags): Promise<void> {
  const leftovers = await leftoversOf(store);
  if (leftovers.length === 0) run.say('nothing was left behind');
  else if (flags.dryRun === true) run.say(`dry run: would remove ${leftovers.join(', ')}`);
  else {
    await run.confirm(
      `Remove ${leftovers.join(', ')} from ${store.endpoint}? Runs on other machines may use them.`,
    );
    for (const name of leftovers) await measurableStorage(store).dropScratch(name);
    run.say(`removed ${leftovers.join(', ')}`);
  }
  run.next(leftovers.length > 0 && flags.dryRun === true ? [sameCommandWithout('--dry-run')] : []);
  run.result({ leftovers, removed: flags.dryRun !== true });
}
