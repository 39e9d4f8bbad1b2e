import type { Distance } from '../core/distance.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { expectDefined, TldrError } from '../core/errors.js';
import { row, type Matrix } from '../core/matrix.js';
import type { Log, Progress } from '../core/run-options.js';
import { neighborhoodBatch, pairBatches, rngFor, type Neighbors } from './batches.js';
import { barlowTwins, neighbourhoodKl } from './losses.js';
import {
  createModel,
  forward,
  foldEncoder,
  initialParameters,
  parseArchitecture,
  projectHead,
  type Model,
} from './model.js';
import type { EngineReport } from './engine/engine-report.js';
import { checkLoss, checkWeights } from './divergence.js';
import { createOnnxExecutor } from './engine/onnx-executor.js';
import { adam, lars, type RateSchedule } from './optimizers.js';
import type { Executor, Ops, Optimizer, StepDefinition } from './engine/ops.js';
import { calibrateTemperature } from './temperature.js';
import { TrainingPace } from './pace.js';
import { checkEarlierState, runFingerprint } from './run-fingerprint.js';
import type { TimeLimit, TrainState } from './state.js';
import type { PreparedSample } from './prepare-sample.js';
import { checkSettings, defaultSettings, type TldrOptions, type TrainSettings } from './options.js';

const INITIAL_STREAM = 0;
/** Time between two states that are saved while a training runs. */
const STATE_SECONDS = 20;

/** What the caller gives the training loop: a log, callbacks, and a state to resume from. */
export interface TrainControl {
  readonly log?: Log;
  readonly onProgress?: (progress: Progress, loss: number) => void;
  /** Called between steps. If it returns true, the run ends early and returns its state. */
  readonly shouldStop?: () => boolean | Promise<boolean>;
  /** Asked within steps by an engine that can leave a step undone. */
  readonly isStopped?: () => boolean;
  readonly resume?: TrainState | undefined;
  /** Ends the run when its time is used up, if the steps are not done before. */
  readonly limit?: TimeLimit | undefined;
  /** Part of the schedule after which a run with a limit pauses. */
  readonly pauseAt?: number | undefined;
  /** Milliseconds of the clock that the limit and the saved states go by. */
  readonly nowMs?: () => number;
  /** Called every `stateEverySeconds` with the state to save, so that a killed run can go on. */
  readonly onState?: (state: TrainState) => void;
  readonly stateEverySeconds?: number;
}

/** The result of a training run. */
export interface TrainOutcome {
  /**
   * Has no layers unless `finished` or `paused`: a partial run is no encoder, and folding takes a pass over the sample.
   */
  readonly network: EncoderNetwork;
  readonly state: TrainState;
  /** False if `shouldStop` ended the run before the last step, or before its time was used up. */
  readonly finished: boolean;
  /** Whether the run ended at `pauseAt`, before its last step. It goes on from its state. */
  readonly paused: boolean;
  /** Steps of the whole run; if its time ran out, those that were done. */
  readonly totalSteps: number;
  readonly secondsPerStep: number;
  readonly engine: EngineReport;
  /** The temperature of neighbourhood-kl; null for other losses. */
  readonly tau: number | null;
}

/** Everything about a run that is fixed before its first step. */
interface RunPlan {
  readonly settings: TrainSettings;
  readonly model: Model;
  readonly definition: StepDefinition;
  readonly optimizer: Optimizer;
  readonly totalSteps: number;
  /** The matrices from which a batch's rows are gathered, in the order of the definition's widths. */
  readonly views: readonly Matrix[];
  readonly batchAt: (step: number) => Int32Array;
  readonly tau: number | null;
}

/**
 * Trains an encoder in this thread, from the start or from a saved state. For neighbourhood-kl, the sample
 * must have been prepared with the directions of the options.
 * @throws INVALID_ARGUMENT for settings out of range
 * @throws MISMATCH when the state belongs to another run
 * @throws INVALID_DATA when the loss or a weight stops being finite
 */
export async function runTraining(
  prepared: PreparedSample,
  graph: Neighbors,
  options: TldrOptions,
  control: TrainControl = {},
): Promise<TrainOutcome> {
  const settings = resolveSettings(options);
  checkArchitectures(settings, {
    distance: options.distance,
    fromWeights: options.initialWeight !== undefined,
  });
  checkAgainstSample(prepared.sample, options);
  const plan = planRun(prepared, graph, { options, settings });
  const described = { options, settings, prepared, graph };
  const fingerprint = runFingerprint(described, 'digest');
  const { resume } = control;
  if (resume !== undefined && resume.fingerprint !== fingerprint) checkEarlierState(resume, described);
  const pace = new TrainingPace(scheduleOf(plan), resume?.limit ?? control.limit, control.nowMs);
  const executor = await openExecutor(plan, { options, rowNorm: prepared.rowNorm, control });
  try {
    const lossHistory = [...(resume?.lossHistory ?? [])];
    const first = resume?.step ?? 0;
    const { nowMs = () => performance.now() } = control;
    const startedAtMs = nowMs();
    const steps = { first, lossHistory, control, fingerprint, pace, nowMs };
    const { step, finished, paused = false } = await runSteps(executor, plan, steps);
    const secondsPerStep = (nowMs() - startedAtMs) / 1000 / Math.max(1, step - first);
    const state = await stateAfter(step, executor, steps);
    checkWeights(state.parameters, settings);
    const { tau } = plan;
    const totalSteps = finished ? step : plan.totalSteps;
    const { sample, shift } = prepared;
    const directions = settings.loss === 'neighbourhood-kl' ? options.directions : undefined;
    const layers =
      finished || paused ? foldEncoder(plan.model, state.parameters, { sample, shift, directions }) : [];
    checkWeights(
      layers.flatMap(({ weight, bias }) => (bias === null ? [weight.data] : [weight.data, bias])),
      settings,
    );
    const cosine = options.distance === 'cosine';
    const unit = cosine && (options.compactDistance ?? 'cosine') === 'cosine';
    return {
      network: { normalizeInput: cosine, layers, normalizeOutput: unit },
      state,
      finished,
      paused,
      totalSteps,
      secondsPerStep,
      engine: executor.engine,
      tau,
    };
  } finally {
    await executor.close();
  }
}

/** The loss's default settings, overridden by the options. @throws INVALID_ARGUMENT when a setting is out of range */
export function resolveSettings(options: Partial<TrainSettings>): TrainSettings {
  const defaults = defaultSettings(options.loss ?? 'neighbourhood-kl');
  const given = Object.fromEntries(
    Object.keys(defaults).flatMap((name) => {
      const value: unknown = Reflect.get(options, name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const settings: TrainSettings = { ...defaults, ...given };
  if (options.steps !== undefined && options.epochs === undefined && options.steps !== null) {
    return checked({ ...settings, epochs: null });
  }
  if (options.epochs !== undefined && options.steps === undefined && options.epochs !== null) {
    return checked({ ...settings, steps: null });
  }
  return checked(settings);
}

function checked(settings: TrainSettings): TrainSettings {
  checkSettings(settings);
  return settings;
}

function planRun(
  prepared: PreparedSample,
  graph: Neighbors,
  { options, settings }: { options: TldrOptions; settings: TrainSettings },
): RunPlan {
  const { sample } = prepared;
  const encoder = parseArchitecture(settings.encoder, ['linear', 'flinear', 'mlp', 'residual']);
  const projector = parseArchitecture(settings.projector, ['none', 'mlp']);
  const model = createModel({ inputDim: sample.cols, outputDim: options.outputDim }, encoder, projector);
  const optimizer = settings.optimizer === 'adam' ? adam() : lars();
  if (settings.loss === 'neighbourhood-kl') {
    return neighbourhoodPlan(prepared, graph, { options, settings, model, optimizer });
  }
  const batchSize = Math.min(settings.batchSize, sample.rows);
  const batches = pairBatches(graph, batchSize, options.seed);
  const totalSteps =
    settings.steps ??
    Math.round(expectDefined(settings.epochs, 'the number of epochs') * batches.stepsPerEpoch);
  const definition: StepDefinition = {
    parameters: model.parameters,
    batchRows: 2 * batchSize,
    widths: [sample.cols],
    loss: <T>(ops: Ops<T>, parameters: readonly T[], [batch]: readonly T[]) => {
      if (batch === undefined) throw noView();
      const z = forward(ops, model, parameters, { x: batch, groups: 2 });
      const p = projectHead(ops, model, parameters, { x: z, groups: 2 });
      return barlowTwins(ops, p, { lambda: settings.lambda, scale: settings.lossScale });
    },
  };
  const fixed = { settings, model, definition, optimizer, totalSteps };
  return { ...fixed, views: [sample], batchAt: batches.at, tau: null };
}

function noView(): TldrError {
  return new TldrError('INTERNAL', 'a batch came without its rows');
}

function neighbourhoodPlan(
  { sample, coordinates }: PreparedSample,
  graph: Neighbors,
  run: {
    options: TldrOptions;
    settings: TrainSettings;
    model: Model;
    optimizer: Optimizer;
  },
): RunPlan {
  const { options, settings, optimizer } = run;
  if ((options.directions === undefined) !== (coordinates === undefined))
    throw new TldrError('INTERNAL', 'the sample was prepared with other directions');
  // This loss does not use the projector, so the model has none.
  const dims = {
    inputDim: sample.cols,
    outputDim: options.outputDim,
    hiddenInputDim: coordinates?.cols ?? sample.cols,
  };
  const model = createModel(dims, run.model.encoder, { kind: 'none', hiddenLayers: 0, hiddenWidth: 0 });
  const batchSize = Math.min(settings.batchSize, sample.rows);
  const distance = options.distance === 'manhattan' ? 'euclid' : options.distance;
  const { compactDistance = distance } = options;
  const views = coordinates === undefined ? [sample] : [sample, coordinates];
  // For unit rows, cosine is the inner product, which coordinates along directions keep.
  const teacherDistance = coordinates !== undefined && distance === 'cosine' ? 'dot' : distance;
  const tau = calibrateTemperature(coordinates ?? sample, teacherDistance, {
    perplexity: settings.perplexity,
    seed: options.seed,
  });
  const definition: StepDefinition = {
    parameters: model.parameters,
    batchRows: batchSize,
    widths: views.map(({ cols }) => cols),
    loss: <T>(ops: Ops<T>, parameters: readonly T[], [batch, along]: readonly T[]) => {
      if (batch === undefined) throw noView();
      const z = forward(ops, model, parameters, {
        x: batch,
        ...(along === undefined ? {} : { coordinates: along }),
        groups: 1,
      });
      const y = along ?? batch;
      return neighbourhoodKl(ops, { y, z }, { tau, distance: teacherDistance, compactDistance });
    },
  };
  const { neighborsPerAnchor } = settings;
  const stepsPerEpoch = Math.max(1, Math.floor(sample.rows / batchSize));
  const totalSteps =
    settings.steps ?? Math.round(expectDefined(settings.epochs, 'the number of epochs') * stepsPerEpoch);
  const batchAt = (step: number): Int32Array =>
    neighborhoodBatch(graph, { batchSize, neighborsPerAnchor, seed: options.seed }, step);
  return { settings, model, definition, optimizer, totalSteps, views, batchAt, tau };
}

/**
 * Checks encoder and projector as far as that is possible without data.
 * @throws INVALID_ARGUMENT when one is unknown, or does not suit the distance or given weights
 */
export function checkArchitectures(
  settings: TrainSettings,
  { distance, fromWeights }: { readonly distance: Distance; readonly fromWeights: boolean },
): void {
  const { kind } = parseArchitecture(settings.encoder, ['linear', 'flinear', 'mlp', 'residual']);
  parseArchitecture(settings.projector, ['none', 'mlp']);
  if (fromWeights && kind !== 'linear' && kind !== 'residual') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'initial weights were given, which only a linear or residual encoder can use',
    );
  }
  if (distance === 'dot' && kind !== 'linear') {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'dot products depend on norms, which only an uncentred linear map keeps: use the linear encoder',
    );
  }
}

function checkAgainstSample(sample: Matrix, options: TldrOptions): void {
  const { outputDim, initialWeight } = options;
  if (!Number.isSafeInteger(outputDim) || outputDim < 1 || outputDim >= sample.cols) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot reduce ${sample.cols}-d vectors to ${outputDim}: expected a whole number from 1 to ${sample.cols - 1}`,
    );
  }
  if (
    initialWeight !== undefined &&
    (initialWeight.rows !== sample.cols || initialWeight.cols !== outputDim)
  ) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `initial weights of ${initialWeight.rows} x ${initialWeight.cols}: expected ${sample.cols} x ${outputDim}`,
    );
  }
}

async function openExecutor(
  plan: RunPlan,
  run: { readonly options: TldrOptions; readonly rowNorm: number; readonly control: TrainControl },
): Promise<Executor> {
  const { options, rowNorm, control } = run;
  const { definition, optimizer, model } = plan;
  const { resume } = control;
  const parameters =
    resume?.parameters ??
    initialParameters(model, rngFor(options.seed, INITIAL_STREAM, 0), { ...options, rowNorm });
  const slots =
    resume?.slots ??
    parameters.map(({ length }) =>
      Array.from({ length: optimizer.slotsPerParameter }, () => new Float32Array(length)),
    );
  const { threads = 2 } = options;
  const { isStopped } = control;
  const initial = { parameters, slots };
  const executorOptions = { definition, optimizer, initial, threads, choice: options, isStopped };
  if (options.engine === 'tfjs') {
    const { createTfjsExecutor } = await import('./engine/tfjs-executor.js');
    return createTfjsExecutor(executorOptions, control.log);
  }
  return createOnnxExecutor(executorOptions);
}

/** How a run goes through its steps. */
interface Steps {
  readonly first: number;
  readonly lossHistory: number[];
  readonly control: TrainControl;
  readonly fingerprint: string;
  readonly pace: TrainingPace;
  readonly nowMs: () => number;
}

async function runSteps(
  executor: Executor,
  plan: RunPlan,
  run: Steps,
): Promise<{ readonly step: number; readonly finished: boolean; readonly paused?: boolean }> {
  const { settings, totalSteps, definition, views } = plan;
  const { control, lossHistory, pace, nowMs } = run;
  const batch = views.map(({ cols }) => new Float32Array(definition.batchRows * cols));
  const { pauseAt = 1 } = control;
  let savedAtMs = nowMs();
  let step = run.first;
  for (let at = pace.at(step); at < totalSteps; at = pace.at(step)) {
    if (at >= pauseAt * totalSteps) return { step, finished: false, paused: true };
    if ((await control.shouldStop?.()) === true) return { step, finished: false };
    const rows = plan.batchAt(step);
    views.forEach((view, v) => rows.forEach((index, i) => batch[v]?.set(row(view, index), i * view.cols)));
    const loss = await executor.step(batch, pace.rateAt(at), step + 1);
    if (loss === null) return { step, finished: false };
    checkLoss(loss, step, settings);
    lossHistory.push(loss);
    step++;
    control.onProgress?.({ step: 'training', done: step, total: pace.total(step), unit: 'steps' }, loss);
    if (nowMs() - savedAtMs < 1000 * (control.stateEverySeconds ?? STATE_SECONDS)) continue;
    control.onState?.(await stateAfter(step, executor, run));
    savedAtMs = nowMs();
  }
  return { step, finished: true };
}

function scheduleOf({ settings, totalSteps }: RunPlan): RateSchedule {
  const { learningRate: peak, warmUpShare, learningRateFloor: floor } = settings;
  return { peak, warmUpSteps: Math.round(warmUpShare * totalSteps), totalSteps, floor };
}

async function stateAfter(
  step: number,
  executor: Executor,
  { fingerprint, lossHistory, pace }: Steps,
): Promise<TrainState> {
  const { limit } = pace;
  const timed = limit === undefined ? {} : { limit };
  return { ...(await executor.values()), step, fingerprint, lossHistory: [...lossHistory], ...timed };
}
