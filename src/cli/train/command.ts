import { Command, Option } from 'commander';
import { DISTANCES, type Distance } from '../../core/distance.js';
import { checkWritable, writeWhole } from '../../core/write-file.js';
import { TldrError } from '../../core/errors.js';
import { renderReport } from '../../report/render.js';
import { splitSample } from '../../select/split-sample.js';
import { checkTrainOptions, type TrainEncoderOptions } from '../../select/train-encoder-options.js';
import { checkTrainMemory } from '../../select/train-memory.js';
import { trainEncoder } from '../../select/train-encoder.js';
import {
  referenceSettings,
  REFERENCE,
  type EngineName,
  type LossName,
  type OptimizerName,
} from '../../train/options.js';
import type { Config } from '../../config/load.js';
import type { ConsoleRun } from '../console/run.js';
import {
  decimal,
  seconds,
  seedNumber,
  wholeNumber,
  withConsole,
  withGlobalFlags,
  type GlobalFlags,
} from '../console/options.js';
import { areDifferent, checkOutput, commandLine } from '../console/output-file.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { namingFlags } from './flag-names.js';
import { loadTraining, type TrainInputFlags } from './input.js';
import { printReport } from './output.js';
import { trainingPage } from '../pages/train-page.js';
import { checkRelevanceFlags, withRelevanceFlags, type TrainRelevance } from './relevance.js';
import type { TrainSample } from './sample.js';

interface TrainFlags extends GlobalFlags, TrainInputFlags {
  readonly dim: number;
  readonly out: string;
  readonly auto?: boolean;
  readonly budget?: number;
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
  readonly preset?: 'reference';
  readonly ship: string;
  readonly heldOut?: number;
  readonly checkpoint?: string;
  readonly report?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

const SAMPLE_POINTS = 50_000;

/** `train`: learn an encoder from a collection or a .npy file. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description(
      'Learn a dimension-reducing encoder from a collection (or a .npy file) and save the best candidate.',
    )
    .argument('[collection]', 'collection to learn from; left out with --input')
    .requiredOption('--dim <n>', 'dimensions of the compact space', wholeNumber)
    .requiredOption('--out <file>', 'encoder file to write, for example enc.onnx')
    .option('--input <file>', 'learn from a .npy file (float32 or float16, N x D) instead of a collection')
    .addOption(new Option('--distance <name>', 'distance of the --input vectors').choices([...DISTANCES]))
    .option('--vector <name>', 'vector to reduce, where the collection has several')
    .option('--sample <n>', 'points to learn from', wholeNumber, SAMPLE_POINTS)
    .option('--seed <n>', 'seed of everything random', seedNumber, 0)
    .option('--auto', 'fit every candidate within --budget and ship the best: the default')
    .option('--budget <time>', 'time to plan for, such as 90s, 2m or 1h (default: 2m)', seconds)
    .option('--ship <name>', 'candidate to save: best, or a name of the table', 'best')
    .option(
      '--queries <file>',
      'real query vectors to judge with, instead of held-out rows; from 90 on adds leanvec-sphering',
    )
    .option('--held-out <n>', 'rows kept apart to judge with (default: 15 %, at most 1,500)', wholeNumber)
    .addOption(
      new Option('--compact-distance <name>', 'distance of the compact space').choices([
        'auto',
        'cosine',
        'dot',
        'euclid',
      ]),
    )
    .option('--report <file>', 'write a self-contained HTML report')
    .option('--checkpoint <file>', 'save the training state there, and go on from it')
    .option('--force', 'replace an existing --out file')
    .option('--dry-run', 'check everything and write nothing')
    .option('--threads <n>', 'threads', wholeNumber);
  withRelevanceFlags(command, {
    labels: 'one per row of --input, or lines id<TAB>label',
    documents: 'point ids, or rows of --input,',
  });
  addTrainingFlags(command).action((collection: string | undefined, flags: TrainFlags) =>
    withConsole(flags, (run, config) =>
      train(collection, flags, { run, config }).catch((error: unknown) => {
        throw namingFlags(error);
      }),
    ),
  );
  command.addHelpText(
    'after',
    `
Examples:
  qdrant-tldr train docs --dim 96 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --budget 10m
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --queries real-queries.npy --report report.html
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx --objective relevance --labels labels.npy
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --labels-field topic
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --queries q.npy --qrels clicks.tsv
  qdrant-tldr train docs --dim 96 --out enc.onnx --preset reference --ship tldr

The table compares all candidates with PCA on held-out rows: recall@10 is the share of the true ten nearest found in
the first ten, R10@30 and R10@100 in the first 30 and 100 (what rescoring recovers). "confirmed" is the same on rows
that took no part in choosing. The best is saved unless --ship says otherwise; a tie goes to the cheaper one.
With 90 or more --queries of a cosine or dot-product space, a third of them is kept from judging and fits the candidates
leanvec-sphering and leanvec-sphering-0.1 (that trusts the queries more): one map for points, another for queries.
With any of the training flags below one encoder of your own settings takes the place of the planned ones.`,
  );
  return withGlobalFlags(command);
}

/** Flags that ask for one training of one's own. */
function addTrainingFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--loss <name>', 'fidelity loss, or TLDR as published').choices([
        'neighbourhood-kl',
        'barlow-twins',
      ]),
    )
    .addOption(
      new Option('--preset <name>', 'reference: the published settings of TLDR').choices(['reference']),
    )
    .option('--encoder <form>', 'linear, residual-WIDTH, flinear-LAYERS-WIDTH or mlp-LAYERS-WIDTH')
    .option('--projector <form>', 'none or mlp-LAYERS-WIDTH (barlow-twins)')
    .addOption(new Option('--optimizer <name>').choices(['adam', 'lars']))
    .option('--lr <rate>', 'peak learning rate', decimal)
    .addOption(new Option('--epochs <n>', 'passes over the sample').argParser(decimal).conflicts('steps'))
    .option('--steps <n>', 'training steps, instead of epochs', wholeNumber)
    .option('--batch <n>', 'pairs (barlow-twins) or rows (neighbourhood-kl) per step', wholeNumber)
    .option('--k <n>', 'neighbours a positive is drawn from', wholeNumber)
    .option('--lambda <x>', 'weight of the off-diagonal terms (barlow-twins)', decimal)
    .option('--perplexity <x>', 'effective neighbours that set the temperature (neighbourhood-kl)', decimal)
    .addOption(new Option('--init <how>', 'start of a linear or residual encoder').choices(['pca', 'random']))
    .addOption(new Option('--engine <name>', 'onnx: native; tfjs: TensorFlow.js').choices(['onnx', 'tfjs']));
}

interface Surroundings {
  readonly run: ConsoleRun;
  readonly config: Config;
}

async function train(
  collection: string | undefined,
  flags: TrainFlags,
  { run, config }: Surroundings,
): Promise<void> {
  if ((collection === undefined) === (flags.input === undefined)) {
    throw new TldrError('INVALID_ARGUMENT', 'give either a collection or --input with a .npy file');
  }
  checkRelevanceFlags(flags);
  const settings = settingsOf(flags);
  if (flags.auto === true && Object.keys(settings).length > 0) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--auto plans the trainings itself: leave out the training flags',
    );
  }
  const files = [flags.out, flags.report, flags.checkpoint].filter((path) => path !== undefined);
  if (!(await areDifferent(files))) {
    throw new TldrError('INVALID_ARGUMENT', '--out, --report and --checkpoint must be different files');
  }
  if (flags.checkpoint !== undefined && flags.dryRun !== true) await checkWritable(flags.checkpoint);
  for (const path of [flags.out, flags.report]) {
    if (path !== undefined)
      await checkOutput(path, { force: flags.force === true, dryRun: flags.dryRun === true });
  }
  const checkpoint = flags.checkpoint === undefined ? null : await readCheckpoint(flags.checkpoint);
  const options: TrainEncoderOptions = {
    ...settings,
    ...given({ budgetSeconds: flags.budget, compactDistance: flags.compactDistance, engine: flags.engine }),
    ...given({ heldOut: flags.heldOut }),
    dim: flags.dim,
    seed: flags.seed,
    ship: flags.ship,
    threads: config.threads,
    resume: checkpoint?.states,
    signal: run.signal,
    log: run.log,
    onProgress: run.onProgress,
  };
  const { sample, relevance } = await loadTraining(collection, flags, {
    run,
    config,
    ids: checkpoint?.sampleIds ?? null,
    check: (dim, distance) => checkTrainOptions({ ...options, distance }, dim),
    checkRows: (rows, inputDim) => checkTrainMemory({ rows, inputDim, outputDim: flags.dim }),
  });
  run.say(
    `${sample.x.rows.toLocaleString('en-US')} vectors of ${sample.x.cols} dimensions (${sample.distance}) from ${sample.source}`,
  );
  if (flags.dryRun === true) {
    // As training does it first: too few rows, rows that are not finite, numbers of held-out rows that do not fit.
    splitSample(sample.x, { ...options, ...relevance, distance: sample.distance });
    sayDryRun(sample, flags, run);
  } else await trainAndSave(sample, { flags, options, relevance, run });
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

async function trainAndSave(
  { x, distance, source, ids }: TrainSample,
  {
    flags,
    options,
    relevance: { labelNames, ...relevance },
    run,
  }: { flags: TrainFlags; options: TrainEncoderOptions; relevance: TrainRelevance; run: ConsoleRun },
): Promise<void> {
  const { checkpoint } = flags;
  const { encoder, report, details, candidates } = await trainEncoder(x, {
    ...options,
    ...relevance,
    distance,
    source,
    onState: async (states) => {
      if (checkpoint !== undefined) await writeCheckpoint(checkpoint, { sampleIds: ids, states });
    },
  });
  if (encoder === null || report === null || details === null) {
    const how =
      checkpoint === undefined
        ? 'give --checkpoint <file> to be able to go on next time'
        : 'run the same command again to go on';
    throw new TldrError('ABORTED', `stopped while training; ${how}`);
  }
  await encoder.save(flags.out);
  printReport(run, report);
  if (flags.report !== undefined) {
    const html = await renderReport(
      trainingPage({
        report,
        details,
        encoder,
        candidates,
        x,
        labels: relevance.labels === undefined ? undefined : namesOf(relevance.labels, labelNames),
        source,
        command: commandLine(),
      }),
    );
    await writeWhole(flags.report, (file) => file.writeFile(html));
    run.say(`wrote the report to ${flags.report}`);
  }
  run.say(`saved ${report.shipped} as ${flags.out}, fingerprint ${encoder.fingerprint.slice(0, 16)}`);
  run.result({ out: flags.out, fingerprint: encoder.fingerprint, ...report });
}

function namesOf(labels: Int32Array, names: readonly string[] = []): string[] {
  return Array.from(labels, (label) => (label < 0 ? '(none)' : (names[label] ?? String(label))));
}

/** Training settings that were given as flags. */
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
            epochs: flags.epochs ?? epochs ?? 0,
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

/** Only the values that were given. */
function given<T extends Readonly<Record<string, unknown>>>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
