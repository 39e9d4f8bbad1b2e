import type { Distance } from '../core/distance.js';
import { expectDefined, TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { EngineChoice } from './engine/engine-report.js';
import type { HiddenWeights } from './model.js';
import {
  NEIGHBORHOOD_KL,
  PAIRS_PER_RATE,
  PUBLISHED_RATE,
  PUBLISHED_TLDR,
  PUBLISHED_WARM_UP_EPOCHS,
} from '../hyper-parameters/fit-of-candidates.js';

/** What training minimises: TLDR's loss, or the one for fidelity. */
export type LossName = 'barlow-twins' | 'neighbourhood-kl';
/** The optimiser: Adam, or LARS as TLDR uses it. */
export type OptimizerName = 'adam' | 'lars';

/** The settings that decide what a training run computes. */
export interface TrainSettings {
  readonly loss: LossName;
  /** `linear`, `flinear-L-H`, `mlp-L-H` or `residual-H` (`Architecture`). */
  readonly encoder: string;
  /** `none` or `mlp-L-H`; only barlow-twins uses it. */
  readonly projector: string;
  readonly optimizer: OptimizerName;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Share of all steps over which the learning rate rises. */
  readonly warmUpShare: number;
  /** Last learning rate as a share of the peak. */
  readonly learningRateFloor: number;
  /** Passes over the sample, or null if `steps` decides. */
  readonly epochs: number | null;
  /** Number of steps, or null if `epochs` decides. */
  readonly steps: number | null;
  /** Pairs per step (barlow-twins) or rows per step (neighbourhood-kl); shrinks to the sample. */
  readonly batchSize: number;
  /** Nearest neighbours of a row from which its partners are drawn; shrinks to the sample. */
  readonly nNeighbors: number;
  /** Neighbours drawn for each anchor in a step (neighbourhood-kl). */
  readonly neighborsPerAnchor: number;
  /** Weight of the off-diagonal terms (barlow-twins). */
  readonly lambda: number;
  /** Factor s on the whole loss (barlow-twins). */
  readonly lossScale: number;
  /** Effective number of neighbours that sets the temperature (neighbourhood-kl). */
  readonly perplexity: number;
}

/**
 * The reference settings of TLDR (Kalantidis et al. 2022 and its public implementation).
 * @example
 * ```ts
 * import { matrix, REFERENCE, trainTldr } from 'qdrant-tldr';
 *
 * const x = matrix(300, 16, Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i * i)));
 * const shorter = { ...REFERENCE, projector: 'mlp-1-32', batchSize: 128, epochs: 2 };
 * const { network } = await trainTldr(x, { ...shorter, outputDim: 4, distance: 'cosine', seed: 1 });
 * ```
 */
export const REFERENCE: TrainSettings = PUBLISHED_TLDR;

/** The reference settings for another batch size and length, with rate and warm-up by the published rules. */
export function referenceSettings(given: {
  readonly batchSize: number;
  readonly epochs: number;
}): TrainSettings {
  const { batchSize, epochs } = given;
  return {
    ...REFERENCE,
    batchSize,
    epochs,
    learningRate: (PUBLISHED_RATE * batchSize) / PAIRS_PER_RATE,
    warmUpShare: Math.min(1, PUBLISHED_WARM_UP_EPOCHS / Math.max(1, epochs)),
  };
}

/** The default settings of a loss. */
export function defaultSettings(loss: LossName): TrainSettings {
  return loss === 'barlow-twins' ? REFERENCE : { ...REFERENCE, ...NEIGHBORHOOD_KL };
}

/** Options of a training run: settings that differ from the loss's defaults, and the start. */
export interface TldrOptions extends Partial<TrainSettings>, EngineChoice {
  readonly outputDim: number;
  readonly distance: Distance;
  /** Distance by which neighbourhood-kl compares encoded rows; by default the same as `distance`. */
  readonly compactDistance?: Distance;
  readonly seed: number;
  /** Threads of the native engine. */
  readonly threads?: number;
  /** Initial weight, D x d, of a linear encoder or of a residual encoder's linear part; by default random. */
  readonly initialWeight?: Matrix;
  /** Initial hidden layer of a residual encoder, as its coordinates along `directions` are read; by default random. */
  readonly initialHidden?: HiddenWeights;
  /**
   * All initial weights, in place of `initialWeight` and `initialHidden`: `state.parameters` of an earlier training with
   * the same encoder, projector and directions.
   */
  readonly initialParameters?: readonly Float32Array[];
  /**
   * D x r: directions that hold nearly all of the rows' inner products, such as principal axes.
   * neighbourhood-kl then compares rows along these directions, and the hidden layer of a residual encoder
   * reads coordinates along them. With r far below D, a step costs a fraction.
   */
  readonly directions?: Matrix;
}

/** @throws INVALID_ARGUMENT naming the first setting that is out of range */
export function checkSettings(settings: TrainSettings): void {
  const positive: (keyof TrainSettings)[] = [
    'learningRate',
    'batchSize',
    'nNeighbors',
    'neighborsPerAnchor',
    'perplexity',
  ];
  const whole: (keyof TrainSettings)[] = ['batchSize', 'nNeighbors', 'neighborsPerAnchor', 'steps'];
  for (const name of positive) {
    const value = settings[name];
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
      fail(name, value, 'a positive number');
  }
  for (const name of whole) {
    const value = settings[name];
    if (value !== null && !Number.isSafeInteger(value)) fail(name, value, 'a whole number');
  }
  for (const name of ['lambda', 'lossScale'] as const) {
    if (!Number.isFinite(settings[name]) || settings[name] < 0) fail(name, settings[name], 'a number from 0');
  }
  if ((settings.epochs === null) === (settings.steps === null)) {
    throw new TldrError('INVALID_ARGUMENT', 'give either epochs or steps, the other null');
  }
  const length = expectDefined(settings.epochs ?? settings.steps, 'the length of the training');
  if (!Number.isFinite(length) || length < 0) fail('epochs', length, 'a number from 0');
  if (settings.batchSize < 2) fail('batchSize', settings.batchSize, 'at least 2');
}

function fail(name: string, value: unknown, expected: string): never {
  throw new TldrError('INVALID_ARGUMENT', `${name}: got ${String(value)}, expected ${expected}`);
}
