import { THREADS } from '../../core/run-options.js';
import { Command, Option } from 'commander';
import { SAMPLE_POINTS } from '../../hyper-parameters/fit-of-candidates.js';
import { DISTANCES, type Distance } from '../../core/distance.js';
import { checkWritable } from '../../core/write-file.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { splitSample } from '../../select/split-sample.js';
import {
  checkTrainOptions,
  NEIGHBOUR_SEARCHES,
  STORED_FORMS,
  type NeighbourSearch,
  type TrainEncoderOptions,
} from '../../select/train-encoder-options.js';
import { checkTrainMemory } from '../../select/train-memory.js';
import type { RelevanceReport } from '../../select/measure-relevance.js';
import { Encoder } from '../../encoder/model.js';
import { trainEncoder } from '../../select/train-encoder.js';
import {
  referenceSettings,
  REFERENCE,
  type EngineName,
  type LossName,
  type OptimizerName,
} from '../../train/options.js';
import type { StorageKind } from '../../store/collection.js';
import type { Config } from '../../config/load.js';
import { writePage } from '../console/show-results.js';
import type { ConsoleRun } from '../console/command-output.js';
import { trainStages } from '../console/progress/stages.js';
import {
  decimal,
  seconds,
  seedNumber,
  wholeNumber,
  withConsole,
  withGlobalFlags,
  type GlobalFlags,
} from '../console/options.js';
import { areDifferent, checkOutput, commandLine } from '../console/check-output.js';
import { checkCheckpointSize, readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { namingFlags } from './flags-in-errors.js';
import { given } from './given.js';
import { labelFieldChoice } from './label-fields.js';
import { relevanceCommandWords } from './relevance-output.js';
import { loadTraining, type TrainInputFlags } from './input.js';
import { printReport } from './output.js';
import { trainingPage } from './page.js';
import { checkRelevanceFlags, withRelevanceFlags, type TrainRelevance } from './relevance-flags.js';
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
  readonly neighbours?: NeighbourSearch;
  readonly for?: StorageKind;
  readonly refit: boolean;
  readonly preset?: 'reference';
  readonly ship: string;
  readonly from?: string;
  readonly heldOut?: number;
  readonly checkpoint?: string;
  readonly report?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

const HELP = `
Reads   a random sample of the collection (--sample), or a .npy file (--input); it changes neither
Writes  the encoder file (--out), and if you ask for them a page of results (--report) and a --checkpoint

Examples:
  qdrant-tldr train docs --dim 96 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --budget 10m
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --queries real-queries.npy --report report.html
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx --objective relevance --labels labels.npy
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --labels-field topic
  qdrant-tldr train docs --dim 96 --out enc.onnx --objective relevance --queries q.npy --qrels clicks.tsv
  qdrant-tldr train docs --dim 96 --out enc.onnx --labels-field topic,author
  qdrant-tldr train docs --dim 192 --out enc.onnx --for scalar
  qdrant-tldr train docs --dim 96 --out enc.onnx --preset reference --ship tldr
  qdrant-tldr train docs --dim 96 --out new.onnx --from enc.onnx

A candidate is an encoder that competes, PCA among them. The table compares all candidates on held-out rows:
  recall@10        share of the true ten nearest neighbours that are among the first ten results
  R10@30, R10@100  share that is among the first 30 and 100 results, where rescoring can find it
  confirmed        the same figure on rows that took no part in the choice
  unseen groups    recall@10 of groups of vectors that nothing was fitted to
The best candidate is saved, unless --ship names another one. If two candidates tie, the cheaper one is saved.

Payload fields that look like labels (or those of --labels-field) are measured beside the choice, which does not
see them. A second table shows what every candidate and the full vectors reach by them.

With --for, recall is that of the stored codes, and the compact space is rotated so that these find more.

With 90 or more --queries of a cosine or dot-product space, a third of them trains two more candidates,
leanvec-sphering and leanvec-sphering-0.1 (which trusts the queries more): one map for points, another for
queries.

--loss, --preset and the other training settings replace the planned trainings by a single one of your own.

Documentation: docs/train.md (how it chooses), docs/quality.md (candidates), docs/evaluate.md (labels, qrels,
queries), docs/encoder-file.md`;

/** `train`: learn an encoder from a collection or a .npy file. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description(
      'Learn a dimension-reducing encoder from a collection (or a .npy file) and save the best candidate.',
    )
    .argument('[collection]', 'collection to learn from; omit it with --input')
    .requiredOption('--dim <n>', 'dimensions of the compact space', wholeNumber)
    .requiredOption('--out <file>', 'encoder file to write, for example enc.onnx')
    .option('--input <file>', 'learn from a .npy file (float32 or float16, N x D) instead of a collection')
    .addOption(new Option('--distance <name>', 'distance of the --input vectors').choices([...DISTANCES]))
    .option('--vector <name>', 'vector to reduce, if the collection has several')
    .option('--sample <n>', 'points to learn from', wholeNumber, SAMPLE_POINTS)
    .option('--seed <n>', 'seed of everything random', seedNumber, 0)
    .option('--auto', 'train every candidate within --budget and save the best (the default)')
    .option('--budget <time>', 'planned time of all trainings, such as 90s, 2m or 1h (default: 2m)', seconds)
    .option('--from <file>', 'go on from this encoder file, in a part of the time, and compare both')
    .option('--ship <name>', 'candidate to save: best, or a name from the table', 'best')
    .option(
      '--queries <file>',
      'real query vectors that measure recall, instead of held-out rows: .npy, or one JSON array per line',
    )
    .option(
      '--held-out <n>',
      'rows kept out of training, to measure recall (default: 15 %, at most 1,500)',
      wholeNumber,
    )
    .addOption(
      new Option('--compact-distance <name>', 'distance of the compact space').choices([
        'auto',
        'cosine',
        'dot',
        'euclid',
      ]),
    )
    .addOption(
      new Option(
        '--neighbours <how>',
        'how nearest neighbours for training are found: exact compares all pairs, hnsw builds a graph (its recall stands in the report)',
      ).choices([...NEIGHBOUR_SEARCHES]),
    )
    .addOption(
      new Option(
        '--for <storage>',
        'how the compact vectors will be stored (migrate --datatype, --quantization): candidates are scored in that form',
      ).choices([...STORED_FORMS]),
    )
    .option('--no-refit', 'save the encoder as it was measured, without a second fit to all rows')
    .option('--report <file>', 'write a self-contained HTML report')
    .option('--checkpoint <file>', 'file for the training state; if it exists, training continues from it')
    .option('--force', 'replace existing --out and --report files')
    .option('--dry-run', 'check everything and write nothing')
    .option('--threads <n>', `threads (default: ${THREADS})`, wholeNumber);
  withRelevanceFlags(command, {
    labels: 'one label per row of --input, or lines id<TAB>label for a collection',
    fields: ', or several with commas; for fidelity, which only measures them, also auto (default) or none',
    documents: 'point ids, or by rows of --input',
  });
  addTrainingFlags(command).action((collection: string | undefined, flags: TrainFlags) =>
    withConsole(flags, (run, config) =>
      train(collection, flags, { run, config }).catch((error: unknown) => {
        throw namingFlags(error);
      }),
    ),
  );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
}

/** Adds the training settings; any of them replaces the planned trainings by a single one. */
function addTrainingFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--loss <name>',
        'neighbourhood-kl: the fidelity loss; barlow-twins: the loss of TLDR',
      ).choices(['neighbourhood-kl', 'barlow-twins']),
    )
    .addOption(
      new Option('--preset <name>', 'reference: the published settings of TLDR').choices(['reference']),
    )
    .option('--encoder <form>', 'linear, residual-WIDTH, flinear-LAYERS-WIDTH or mlp-LAYERS-WIDTH')
    .option('--projector <form>', 'network that only the loss uses: none or mlp-LAYERS-WIDTH (barlow-twins)')
    .addOption(new Option('--optimizer <name>', 'how the weights are updated').choices(['adam', 'lars']))
    .option('--lr <rate>', 'peak learning rate', decimal)
    .addOption(new Option('--epochs <n>', 'passes over the sample').argParser(decimal).conflicts('steps'))
    .option('--steps <n>', 'training steps, instead of epochs', wholeNumber)
    .option('--batch <n>', 'pairs (barlow-twins) or rows (neighbourhood-kl) per step', wholeNumber)
    .option('--k <n>', 'nearest neighbours of each row that training uses', wholeNumber)
    .option('--lambda <x>', 'weight of the off-diagonal terms (barlow-twins)', decimal)
    .option(
      '--perplexity <x>',
      'effective number of neighbours; sets the temperature (neighbourhood-kl)',
      decimal,
    )
    .addOption(
      new Option('--init <how>', 'weights that a linear or residual encoder starts from').choices([
        'pca',
        'random',
      ]),
    )
    .addOption(
      new Option('--engine <name>', 'what runs the training; onnx: native, tfjs: TensorFlow.js').choices([
        'onnx',
        'tfjs',
      ]),
    );
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
  checkRelevanceFlags(flags, true);
  labelFieldChoice(flags);
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
  const checkpoint =
    flags.checkpoint === undefined ? null : await readCheckpoint(flags.checkpoint, undefined, run.signal);
  run.expectStages(trainStages(flags, Object.keys(settings).length === 0));
  const options: TrainEncoderOptions = {
    ...settings,
    ...given({ budgetSeconds: flags.budget, compactDistance: flags.compactDistance, engine: flags.engine }),
    ...given({ neighbours: flags.neighbours, storedAs: flags.for, heldOut: flags.heldOut }),
    dim: flags.dim,
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
  const { sample, relevance } = await loadTraining(collection, flags, {
    run,
    config,
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
  if (flags.dryRun === true) {
    // Training begins with this split. It finds too few rows, rows that are not finite, a wrong --held-out.
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
  { x, distance, source, ids, keys }: TrainSample,
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
      if (checkpoint === undefined) return;
      const sampleIds = ids === null || keys === null ? null : ids.map((id) => keys.format(id));
      await writeCheckpoint(checkpoint, { sampleIds, states });
    },
  });
  if (encoder === null || report === null || details === null) {
    const how =
      checkpoint === undefined
        ? 'next time, give --checkpoint <file> to be able to continue'
        : 'run the same command again to continue';
    throw new TldrError('ABORTED', `stopped while training; ${how}`);
  }
  await encoder.save(flags.out);
  const commandFor = (set: RelevanceReport): string =>
    commandLine(relevanceCommandWords(process.argv.slice(2), set));
  printReport(run, report, { commandFor, lookedFor: labelFieldChoice(flags) === 'auto' });
  if (flags.report !== undefined) {
    await writePage(
      run,
      flags.report,
      trainingPage({
        report,
        details,
        encoder,
        candidates,
        x,
        labels: relevance.labels === undefined ? undefined : namesOf(relevance.labels, labelNames),
        source,
        command: commandLine(),
        commandFor,
      }),
    );
  }
  run.say(`saved ${report.shipped} as ${flags.out}, fingerprint ${encoder.fingerprint.slice(0, 16)}`);
  run.result({ out: flags.out, fingerprint: encoder.fingerprint, ...report });
}

function namesOf(labels: Int32Array, names: readonly string[] = []): string[] {
  return Array.from(labels, (label) => (label < 0 ? '(none)' : (names[label] ?? String(label))));
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
