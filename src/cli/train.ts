import { Command, Option } from 'commander';
import { access, readFile } from 'node:fs/promises';
import { DISTANCES, type Distance } from '../core/distance.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import {
  SHIP_CHOICES,
  trainEncoder,
  type ShipChoice,
  type TrainEncoderOptions,
  type TrainReport,
} from '../select/train-encoder.js';
import { REFERENCE, type EngineName, type LossName, type OptimizerName } from '../train/train-options.js';
import { parseTrainState, serializeTrainState, type TrainState } from '../train/train-state.js';
import { table, type ConsoleRun } from './console-run.js';
import { readNpy } from './npy.js';
import {
  decimal,
  wholeNumber,
  withConsole,
  withGlobalFlags,
  withStore,
  type GlobalFlags,
} from './options.js';
import { saveWhole } from './save-whole.js';
import type { Config } from '../config/config.js';

interface TrainFlags extends GlobalFlags {
  readonly dim: number;
  readonly out: string;
  readonly input?: string;
  readonly distance?: Distance;
  readonly vector?: string;
  readonly sample: number;
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
  readonly seed: number;
  readonly engine?: EngineName;
  readonly preset?: 'reference';
  readonly ship: ShipChoice;
  readonly heldOut?: number;
  readonly checkpoint?: string;
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
    .addOption(
      new Option('--loss <name>', 'fidelity loss, or TLDR as published').choices([
        'neighbourhood-kl',
        'barlow-twins',
      ]),
    )
    .addOption(
      new Option('--preset <name>', 'reference: the published settings of TLDR').choices(['reference']),
    )
    .option('--encoder <form>', 'linear, flinear-LAYERS-WIDTH or mlp-LAYERS-WIDTH')
    .option('--projector <form>', 'none or mlp-LAYERS-WIDTH (barlow-twins)')
    .addOption(new Option('--optimizer <name>').choices(['adam', 'lars']))
    .option('--lr <rate>', 'peak learning rate', decimal)
    .option('--epochs <n>', 'passes over the sample', decimal)
    .option('--steps <n>', 'training steps, instead of epochs', wholeNumber)
    .option('--batch <n>', 'pairs (barlow-twins) or rows (neighbourhood-kl) per step', wholeNumber)
    .option('--k <n>', 'neighbours a positive is drawn from', wholeNumber)
    .option('--lambda <x>', 'weight of the off-diagonal terms (barlow-twins)', decimal)
    .option('--perplexity <x>', 'effective neighbours that set the temperature (neighbourhood-kl)', decimal)
    .addOption(new Option('--init <how>', 'start of a linear encoder').choices(['pca', 'random']))
    .option('--seed <n>', 'seed of everything random', wholeNumber, 0)
    .addOption(new Option('--engine <name>', 'onnx: native; tfjs: TensorFlow.js').choices(['onnx', 'tfjs']))
    .option('--threads <n>', 'threads', wholeNumber)
    .addOption(
      new Option('--ship <name>', 'which candidate to save').choices([...SHIP_CHOICES]).default('best'),
    )
    .option('--held-out <n>', 'rows kept apart to judge with (default: a tenth, at most 1,000)', wholeNumber)
    .option('--checkpoint <file>', 'save the training state there when stopped, and go on from it')
    .option('--force', 'replace an existing --out file')
    .option('--dry-run', 'check everything and write nothing')
    .action((collection: string | undefined, flags: TrainFlags) =>
      withConsole(flags, (run, config) => train(collection, flags, { run, config })),
    );
  command.addHelpText(
    'after',
    `
Examples:
  qdrant-tldr train docs --dim 96 --out enc.onnx
  qdrant-tldr train --input base.npy --dim 64 --out enc.onnx
  qdrant-tldr train docs --dim 96 --out enc.onnx --preset reference --ship tldr

The report compares the encoder with PCA (centred and uncentred) and a random projection on held-out rows:
recall@10 is the share of the true ten nearest found in the first ten, R10@30 and R10@100 in the first 30 and 100
(what rescoring recovers). The best one is saved unless --ship says otherwise.`,
  );
  return withGlobalFlags(command);
}

async function train(
  collection: string | undefined,
  flags: TrainFlags,
  { run, config }: { run: ConsoleRun; config: Config },
): Promise<void> {
  if ((collection === undefined) === (flags.input === undefined)) {
    throw new TldrError('INVALID_ARGUMENT', 'give either a collection or --input with a .npy file');
  }
  await checkOutput(flags.out, flags.force === true);
  const resume = flags.checkpoint === undefined ? undefined : await readCheckpoint(flags.checkpoint);
  const sample = await loadSample(collection, flags, { run, config });
  const { x, distance } = sample;
  if (flags.dim < 1 || flags.dim >= x.cols) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `--dim: got ${flags.dim}, expected 1 to ${x.cols - 1} for ${x.cols}-d vectors`,
    );
  }
  run.say(
    `${x.rows.toLocaleString('en-US')} vectors of ${x.cols} dimensions (${distance}) from ${sample.source}`,
  );
  if (flags.dryRun === true) {
    run.say(`dry run: would train ${x.cols} -> ${flags.dim} and write ${flags.out}`);
    run.result({
      dryRun: true,
      rows: x.rows,
      inputDim: x.cols,
      outputDim: flags.dim,
      distance,
      out: flags.out,
    });
    return;
  }
  const { encoder, report, state } = await trainEncoder(x, {
    ...settingsOf(flags),
    dim: flags.dim,
    distance,
    seed: flags.seed,
    ship: flags.ship,
    threads: config.threads,
    source: sample.source,
    resume,
    signal: run.signal,
    log: run.log,
    onProgress: run.onProgress,
  });
  if (encoder === null || report === null) {
    if (flags.checkpoint !== undefined) await saveWhole(flags.checkpoint, serializeTrainState(state));
    const how =
      flags.checkpoint === undefined
        ? 'give --checkpoint <file> to be able to go on next time'
        : 'run the same command again to go on';
    throw new TldrError('ABORTED', `stopped after step ${state.step}; ${how}`);
  }
  await encoder.save(flags.out);
  printReport(run, report);
  run.say(`saved ${report.shipped} as ${flags.out}, fingerprint ${encoder.fingerprint.slice(0, 16)}`);
  run.result({ out: flags.out, fingerprint: encoder.fingerprint, ...report });
}

/** Training settings that were given as flags. */
function settingsOf(flags: TrainFlags): Partial<TrainEncoderOptions> {
  return {
    ...(flags.preset === 'reference' ? { ...REFERENCE, init: 'random' as const } : {}),
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
      engine: flags.engine,
      heldOut: flags.heldOut,
    }),
    ...(flags.epochs === undefined ? {} : { epochs: flags.epochs, steps: null }),
    ...(flags.steps === undefined ? {} : { steps: flags.steps, epochs: null }),
  };
}

/** The table of candidates, best choice marked. */
export function printReport(run: ConsoleRun, report: TrainReport): void {
  const percent = (value: number): string => value.toFixed(3);
  run.say('');
  run.say(
    `held-out recall of the full space's top 10, ${report.inputDim} -> ${report.outputDim}, ${report.heldOutQueries} queries:`,
  );
  run.say(
    table([
      ['candidate', 'recall@10', '95 % interval', 'R10@30', 'R10@100', 'seconds'],
      ...report.candidates.map((candidate) => [
        `${candidate.name === report.shipped ? '* ' : '  '}${candidate.name}`,
        percent(candidate.recallAt10),
        candidate.interval.map(percent).join(' - '),
        percent(candidate.r10At30),
        percent(candidate.r10At100),
        candidate.seconds.toFixed(1),
      ]),
    ]),
  );
  const { graph, sample } = report;
  run.say(
    `neighbours: ${graph.method}, k ${graph.k}, recall ${graph.recall.toFixed(3)}; seed ${report.seed}; ${report.hardware}`,
  );
  const dropped = sample.zeroRows + sample.duplicateRows;
  if (dropped > 0)
    run.say(
      `left out of the sample: ${sample.zeroRows} zero vectors, ${sample.duplicateRows} exact duplicates`,
    );
}

async function loadSample(
  collection: string | undefined,
  flags: TrainFlags,
  { run, config }: { run: ConsoleRun; config: Config },
): Promise<{ x: Matrix; distance: Distance; source: string }> {
  if (flags.input !== undefined) {
    const x = await readNpy(flags.input);
    return { x, distance: flags.distance ?? 'cosine', source: flags.input };
  }
  const name = collection ?? '';
  return withStore(config, run, async (store) => {
    const spec = await store.describe(name);
    const vector =
      flags.vector === undefined && spec.vectors.length === 1
        ? spec.vectors[0]
        : spec.vectors.find((one) => one.name === (flags.vector ?? ''));
    if (vector === undefined) {
      const names = spec.vectors.map((one) => `"${one.name}"`).join(', ');
      throw new TldrError(
        'NOT_FOUND',
        `say which vector of ${name} to reduce with --vector: it has ${names}`,
      );
    }
    const { signal, onProgress } = run;
    const { vectors } = await store.sample(name, {
      vectorName: vector.name,
      size: flags.sample,
      signal,
      onProgress,
    });
    return { x: vectors, distance: vector.distance, source: name };
  });
}

async function checkOutput(path: string, force: boolean): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists && !force)
    throw new TldrError('ALREADY_EXISTS', `${path} exists: choose another --out, or --force to replace it`);
}

async function readCheckpoint(path: string): Promise<TrainState | undefined> {
  const bytes = await readFile(path).catch(() => undefined);
  return bytes === undefined ? undefined : parseTrainState(bytes);
}

/** Only the values that were given. */
function given<T extends Readonly<Record<string, unknown>>>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
