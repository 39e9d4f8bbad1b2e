import { adapterFor } from '../adapters.js';
import { projectStep, sameCommandWithout } from '../console/next-commands.js';
import { shellCommand } from '../console/shell-command.js';
import { durationText } from '../console/progress/line.js';
import { trainStages } from '../console/progress/stages.js';
import { checkWritable } from '../../core/write-file.js';
import { expectDefined, isTldrError, messageOf, TldrError } from '../../core/errors.js';
import { cleanForTraining, splitSample } from '../../select/split-sample.js';
import {
  checkTrainOptions,
  type NeighbourSearch,
  type TrainEncoderOptions,
} from '../../select/train-encoder-options.js';
import { checkTrainMemory } from '../../select/train-memory.js';
import type { RelevanceReport } from '../../select/measure-relevance.js';
import type { TrainReport } from '../../select/train-report.js';
import { Encoder } from '../../encoder/model.js';
import { trainEncoder } from '../../select/train-encoder.js';
import { referenceSettings, REFERENCE, type LossName, type OptimizerName } from '../../train/options.js';
import { checkEngine } from '../../train/engine/check-engine.js';
import {
  engineChoice,
  engineText,
  type DeviceName,
  type EngineName,
} from '../../train/engine/engine-report.js';
import { hideTensorflowLog } from '../../config/hide-tensorflow-log.js';
import { DEADLINE } from '../../hyper-parameters/deadline.js';
import { BUDGET_SECONDS } from '../../hyper-parameters/fit-of-candidates.js';
import type { StorageKind } from '../../store/collection.js';
import type { Config } from '../../config/load.js';
import { writePage } from '../console/show-results.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { GlobalFlags } from '../console/options.js';
import { withConsole } from '../console/command-body.js';
import { areDifferent, checkOutput, commandLine } from '../console/check-output.js';
import type { MemoryBeforeAndAfter } from '../console/compact-memory.js';
import { candidateLabel } from './candidate-names.js';
import { checkCheckpointSize, readCheckpoint, writeCheckpoint, type TrainCheckpoint } from './checkpoint.js';
import { namingFlags } from './flags-in-errors.js';
import { given } from './given.js';
import { keptPath, KeptState } from './kept-state.js';
import { labelFieldChoice } from './label-fields.js';
import { relevanceCommandWords } from './relevance-output.js';
import { loadTraining, type TrainInputFlags } from './input.js';
import { printReport, sayGain } from './output.js';
import { trainingPage } from './page.js';
import { besideStep, copyStep, stepsAfterTraining } from './next-steps.js';
import { rowsOfMap, sampleMap, type MapColours } from '../page-parts/sample-map.js';
import { gatherRows } from '../../core/matrix.js';
import { checkRelevanceFlags } from './relevance-flags.js';
import type { TrainRelevance } from './relevance-of-rows.js';
import type { TrainSample } from './sample.js';
import type { Distance } from '../../core/distance.js';

export interface TrainFlags extends GlobalFlags, TrainInputFlags {
  readonly dim: number;
  readonly out: string;
  readonly auto?: boolean;
  readonly budget?: number;
  readonly deterministic?: boolean;
  readonly compactDistance?: Distance | 'auto';
  readonly loss?: LossName;
  readonly encoder?: string;
  readonly projector?: string;
  readonly optimizer?: OptimizerName;
  readonly lr?: number;
  readonly epochs?: number;
  readonly steps?: number;
  readonly batch?: number;
  readonly k?: number;
  readonly lambda?: number;
  readonly perplexity?: number;
  readonly init?: 'pca' | 'random';
  readonly engine?: EngineName;
  readonly device?: DeviceName;
  readonly engineFallback?: boolean;
  readonly neighbours?: NeighbourSearch;
  readonly for?: StorageKind;
  readonly refit: boolean;
  readonly preset?: 'reference';
  readonly ship: string;
  readonly from?: string;
  readonly heldOut?: number;
  readonly checkpoint?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

interface Surroundings {
  readonly run: ConsoleRun;
  readonly config: Config;
}

/** Runs `train`. */
export function runTrain(collection: string | undefined, flags: TrainFlags): Promise<void> {
  return withConsole(flags, async (run, config) => {
    await train(collection, flags, { run, config }).catch((error: unknown) => {
      throw namingFlags(error);
    });
  });
}

/**
 * Trains and saves an encoder.
 * @returns what was measured; null after a dry run
 */
export async function train(
  collection: string | undefined,
  flags: TrainFlags,
  { run, config }: Surroundings,
): Promise<TrainReport | null> {
  if ((collection === undefined) === (flags.input === undefined)) {
    throw new TldrError('INVALID_ARGUMENT', 'give either a collection or --input with a file of vectors');
  }
  checkRelevanceFlags(flags, true);
  checkColorBy(flags);
  labelFieldChoice(flags);
  const settings = settingsOf(flags);
  if (flags.auto === true && Object.keys(settings).length > 0) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--auto plans the trainings itself: leave out the training flags',
    );
  }
  await checkFiles(flags);
  await sayEngine(flags, run);
  const { checkpoint } = flags;
  const isOn = checkpoint === undefined && flags.dryRun !== true;
  const kept = await KeptState.open(collection, { ...flags }, { run, isOn });
  const named = checkpoint === undefined ? null : await readCheckpoint(checkpoint, undefined, run.signal);
  const linearOnly = isForSql(collection, flags, { config, settings });
  if (linearOnly)
    run.say(
      'only linear encoders compete, since the database can compute them itself; --ship <candidate> or a training flag lets others compete',
    );
  run.expectStages(trainStages(Object.keys(settings).length === 0 ? budgetOf(flags) : null));
  const job = { collection, flags, settings, kept, linearOnly, run, config };
  if (kept.checkpoint === null) return trainFrom(named, job);
  try {
    return await trainFrom(kept.checkpoint, job);
  } catch (error) {
    if (!isTldrError(error, 'MISMATCH')) throw error;
    await kept.setAside(`is of no use (${messageOf(error)})`);
    return trainFrom(null, job);
  }
}

/** Tries the engine that the flags name, and says what runs the training. */
async function sayEngine(flags: TrainFlags, run: ConsoleRun): Promise<void> {
  hideTensorflowLog();
  const engine = await checkEngine(flags, run);
  if (engine !== null) run.say(`engine: ${engineText(engine)}`);
}

/** What a training is made of. */
interface TrainJob extends Surroundings {
  readonly collection: string | undefined;
  readonly flags: TrainFlags;
  readonly settings: Partial<TrainEncoderOptions>;
  readonly kept: KeptState;
  readonly linearOnly: boolean;
}

/** Trains from the begin, or goes on from a checkpoint. */
async function trainFrom(checkpoint: TrainCheckpoint | null, job: TrainJob): Promise<TrainReport | null> {
  const { collection, flags, settings, kept, linearOnly, run, config } = job;
  const options: TrainEncoderOptions = {
    ...settings,
    ...given({ budgetSeconds: flags.budget, compactDistance: flags.compactDistance }),
    ...engineChoice(flags),
    ...given({ neighbours: flags.neighbours, storedAs: flags.for, heldOut: flags.heldOut }),
    deterministic: flags.deterministic === true,
    dim: flags.dim,
    linearOnly,
    refit: flags.refit,
    seed: flags.seed,
    ship: flags.ship,
    from: flags.from === undefined ? undefined : await Encoder.load(flags.from),
    threads: config.threads,
    resume: checkpoint?.states,
    signal: run.signal,
    log: run.log,
    onProgress: run.onProgress,
  };
  const { sample, ...learned } = await loadTraining(collection, flags, {
    run,
    config,
    outputDim: flags.dim,
    ids: checkpoint?.sampleIds ?? null,
    check: (dim, distance) => {
      checkTrainOptions({ ...options, distance }, dim);
      if (flags.checkpoint !== undefined) checkCheckpointSize(flags.checkpoint, options, dim);
    },
    checkRows: (rows, inputDim) => checkTrainMemory({ rows, inputDim, outputDim: flags.dim }),
  });
  run.say(
    `${sample.x.rows.toLocaleString('en-US')} vectors of ${sample.x.cols} dimensions (${sample.distance}) from ${sample.source}`,
  );
  if (Object.keys(settings).length === 0) run.say(timeToExpect(flags));
  if (flags.dryRun === true) {
    // Training begins with this split. It finds too few rows, rows that are not finite, a wrong --held-out.
    const { x, distance } = sample;
    splitSample(cleanForTraining(x, distance), { ...options, ...learned.relevance, distance });
    run.next([sameCommandWithout('--dry-run')]);
    sayDryRun(sample, flags, run);
    return null;
  }
  return trainAndSave(sample, { ...learned, collection, flags, options, kept, run, url: config.url });
}

/** @throws INVALID_ARGUMENT, ALREADY_EXISTS when a file cannot be written */
async function checkFiles(flags: TrainFlags): Promise<void> {
  const { out, report, checkpoint } = flags;
  const files = [out, report, checkpoint ?? keptPath(out)].filter((path) => path !== undefined);
  if (!(await areDifferent(files))) {
    throw new TldrError('INVALID_ARGUMENT', '--out, --report and --checkpoint must be different files');
  }
  if (checkpoint !== undefined && flags.dryRun !== true) await checkWritable(checkpoint);
  for (const path of [out, report]) {
    if (path !== undefined)
      await checkOutput(path, { force: flags.force === true, dryRun: flags.dryRun === true });
  }
}

/** Whether the encoder should be one that the database of the collection can compute itself. */
function isForSql(
  collection: string | undefined,
  flags: TrainFlags,
  { config, settings }: { readonly config: Config; readonly settings: Partial<TrainEncoderOptions> },
): boolean {
  const isFree = flags.ship === 'best' && flags.from === undefined && Object.keys(settings).length === 0;
  return isFree && collection !== undefined && adapterFor(config.url).encoderScript !== undefined;
}

/** The time budget in seconds: as given, or the default of what decides, the clock or the seed. */
function budgetOf({ budget, deterministic }: TrainFlags): number {
  return budget ?? (deterministic === true ? BUDGET_SECONDS : DEADLINE.seconds);
}

/** Says how long the fit of all candidates will take. */
function timeToExpect(flags: TrainFlags): string {
  const { deterministic } = flags;
  const time = durationText(budgetOf(flags));
  return deterministic === true
    ? `training takes about ${time} on a machine of the speed that it is planned for; a slower one takes longer (--deterministic)`
    : `training ends within about ${time} (--budget)`;
}

function checkColorBy({ colorBy, report, input }: TrainFlags): void {
  if (colorBy === undefined) return;
  if (colorBy === '')
    throw new TldrError('INVALID_ARGUMENT', '--color-by: expected a payload field, auto or none');
  if (report === undefined)
    throw new TldrError('INVALID_ARGUMENT', '--color-by is about the page: give --report, which writes it');
  if (input !== undefined)
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--color-by reads the payload of a collection: with --input, --labels colours the map',
    );
}

function sayDryRun({ x, distance }: TrainSample, flags: TrainFlags, run: ConsoleRun): void {
  run.say(`dry run: would train ${x.cols} -> ${flags.dim} and write ${flags.out}`);
  run.result({
    dryRun: true,
    rows: x.rows,
    inputDim: x.cols,
    outputDim: flags.dim,
    distance,
    out: flags.out,
  });
}

/** What a training works with, beside its sample. */
interface TrainingParts {
  readonly collection: string | undefined;
  readonly flags: TrainFlags;
  readonly options: TrainEncoderOptions;
  readonly kept: KeptState;
  readonly relevance: TrainRelevance;
  readonly memory: MemoryBeforeAndAfter | null;
  readonly colours: MapColours;
  readonly canMigrate: boolean;
  readonly run: ConsoleRun;
  /** The address of the database. */
  readonly url: string;
}

async function trainAndSave(
  { x, distance, source, ids, keys }: TrainSample,
  { collection, flags, options, kept, relevance, memory, colours, canMigrate, run, url }: TrainingParts,
): Promise<TrainReport> {
  const { checkpoint } = flags;
  const { encoder, report, details } = await trainEncoder(x, {
    ...options,
    ...relevance,
    distance,
    source,
    onState: async (states) => {
      const sampleIds = ids === null || keys === null ? null : ids.map((id) => keys.format(id));
      if (checkpoint === undefined) await kept.save({ sampleIds, states });
      else await writeCheckpoint(checkpoint, { sampleIds, states });
    },
  });
  if (encoder === null || report === null || details === null) {
    const how =
      checkpoint === undefined && !kept.isKept
        ? 'next time, give --checkpoint <file> to be able to continue'
        : 'run the same command again to continue';
    throw new TldrError('ABORTED', `stopped while training; ${how}`);
  }
  await encoder.save(flags.out);
  await kept.remove();
  const commandFor = (set: RelevanceReport): string =>
    commandLine(relevanceCommandWords(process.argv.slice(2), set));
  const lookedFor = labelFieldChoice(flags) === 'auto';
  printReport(run, report, { commandFor, lookedFor, verbose: flags.verbose === true });
  if (flags.report !== undefined) {
    const page = trainingPage({
      report,
      details,
      encoder,
      map: await sampleMap(gatherRows(x, rowsOfMap(x.rows, flags.seed)), encoder, { colours, run }),
      next: canMigrate || collection === undefined ? stepsAfterTraining(collection, flags, url) : [],
      source,
      command: commandLine(),
      commandFor,
    });
    await writePage(run, flags.report, page);
  }
  run.say(
    `saved ${candidateLabel(report.shipped, flags.verbose)} as ${flags.out}, fingerprint ${encoder.fingerprint.slice(0, 16)}`,
  );
  sayGain(run, report, memory);
  if (canMigrate || collection === undefined) run.next(commandsAfterTraining(source, flags));
  else if (options.linearOnly === true)
    run.next([
      besideStep(source, flags),
      shellCommand({ command: ['sql'], flags: [['--encoder', flags.out]] }),
    ]);
  run.result({ out: flags.out, fingerprint: encoder.fingerprint, ...report, memory });
  return report;
}

/** The commands that use the encoder: a two-stage copy of the collection, or projection of the file. */
function commandsAfterTraining(collection: string, flags: TrainFlags): string[] {
  const encoder = ['--encoder', flags.out] as const;
  const { input, column, dim } = flags;
  if (input !== undefined) {
    const ofColumn = column === undefined ? [] : [['--column', column] as const];
    return [
      shellCommand({ command: ['evaluate'], flags: [encoder, ['--base', input], ...ofColumn] }),
      projectStep({ input, column, dim, encoder: flags.out }),
    ];
  }
  return [copyStep(collection, flags)];
}

/** The training settings that were given as flags. */
function settingsOf(flags: TrainFlags): Partial<TrainEncoderOptions> {
  const reference = flags.preset === 'reference';
  if (reference && flags.loss === 'neighbourhood-kl') {
    throw new TldrError('INVALID_ARGUMENT', '--preset reference is TLDR as published: leave out --loss');
  }
  const { batchSize, epochs } = REFERENCE;
  return {
    ...(reference
      ? {
          ...referenceSettings({
            batchSize: flags.batch ?? batchSize,
            epochs: flags.epochs ?? expectDefined(epochs, 'the published number of epochs'),
          }),
          init: 'random' as const,
        }
      : {}),
    ...given({
      loss: flags.loss,
      encoder: flags.encoder,
      projector: flags.projector,
      optimizer: flags.optimizer,
      learningRate: flags.lr,
      batchSize: flags.batch,
      nNeighbors: flags.k,
      lambda: flags.lambda,
      perplexity: flags.perplexity,
      init: flags.init,
    }),
    ...(flags.epochs === undefined ? {} : { epochs: flags.epochs, steps: null }),
    ...(flags.steps === undefined ? {} : { steps: flags.steps, epochs: null }),
  };
}
