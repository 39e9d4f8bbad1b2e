import { DISTANCES, type Distance } from '../core/distance.js';
import { ENCODER_BYTES_MAX } from '../encoder/file.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { SEED_MAX } from '../core/rng.js';
import type { RunOptions } from '../core/run.js';
import { checkArchitectures, resolveSettings } from '../train/run-training.js';
import { checkSettings, type EngineName, type TrainSettings } from '../train/options.js';
import type { TrainState } from '../train/state.js';
import { CLOSED_FORMS } from './fit-closed-forms.js';
import { firstLayerBytes, LEARNED } from './training-schedules.js';

/** Time to plan learned candidates for where nothing else is said. */
export const BUDGET_SECONDS = 120;
export const HELD_OUT_MIN = 15;

export interface TrainEncoderOptions extends RunOptions, Partial<TrainSettings> {
  readonly dim: number;
  readonly distance?: Distance;
  readonly seed?: number;
  readonly engine?: EngineName;
  readonly threads?: number;
  /** Start of a linear or residual encoder: from PCA (default for neighbourhood-kl) or from random weights. */
  readonly init?: 'pca' | 'random';
  /** `best`, or the name of the candidate to ship whatever the figures say. */
  readonly ship?: string;
  /** Rows kept apart to judge with; a third of them is never seen by selection. */
  readonly heldOut?: number;
  /** Time to plan the learned candidates for, in seconds; explicit training settings replace them by one. */
  readonly budgetSeconds?: number;
  /** What selection maximises: neighbours of the full space found again, or what labels or judgements call right. */
  readonly objective?: 'fidelity' | 'relevance';
  /** A label per row of x, below 0 for none: rows of a held-out row's label are relevant to it. */
  readonly labels?: Int32Array | undefined;
  /** Real queries to judge with, instead of held-out rows: m x D. */
  readonly queries?: Matrix | undefined;
  /** Per real query the gain of rows of x. */
  readonly gains?: readonly ReadonlyMap<number, number>[] | undefined;
  /** Distance of the compact space; `auto` tries those that keep the direction of scores. */
  readonly compactDistance?: Distance | 'auto';
  /** Name of the collection or file, for the record. */
  readonly source?: string;
  /** States of trainings that an earlier run finished or began, by candidate. */
  readonly resume?: ReadonlyMap<string, TrainState> | undefined;
  /** Called with every state worth keeping: after each training and when one is stopped. */
  readonly onState?: ((states: ReadonlyMap<string, TrainState>) => void | Promise<void>) | undefined;
}

/** Settings that ask for one training of one's own instead of the planned ones. */
export const EXPLICIT: readonly (keyof TrainSettings)[] = [
  'loss',
  'encoder',
  'projector',
  'optimizer',
  'learningRate',
  'warmUpShare',
  'learningRateFloor',
  'epochs',
  'steps',
  'batchSize',
  'nNeighbors',
  'neighborsPerAnchor',
  'lambda',
  'lossScale',
  'perplexity',
];

/** Distances of the compact space that a source distance can be approximated by. */
const COMPACT: Readonly<Record<Distance, readonly Distance[]>> = {
  cosine: ['cosine', 'dot', 'euclid'],
  dot: ['dot'],
  euclid: ['euclid'],
  manhattan: ['euclid'],
};

/**
 * Everything about the options that can be known before any data is read.
 * @throws INVALID_ARGUMENT naming the first option that is out of range
 */
export function checkTrainOptions(options: TrainEncoderOptions, inputDim: number): void {
  const { dim, distance = 'cosine', budgetSeconds = BUDGET_SECONDS, seed = 0, heldOut } = options;
  if (!Number.isSafeInteger(dim) || dim < 1 || dim >= inputDim) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot reduce ${inputDim}-d vectors to ${dim}: expected a whole number from 1 to ${inputDim - 1}`,
    );
  }
  if (!DISTANCES.includes(distance)) {
    throw new TldrError('INVALID_ARGUMENT', `distance: got ${distance}, expected ${DISTANCES.join(', ')}`);
  }
  if (!Number.isFinite(budgetSeconds) || budgetSeconds <= 0) {
    throw new TldrError('INVALID_ARGUMENT', `budget: got ${budgetSeconds} seconds, expected more than 0`);
  }
  if (!Number.isSafeInteger(seed) || seed < 0 || seed > SEED_MAX) {
    throw new TldrError('INVALID_ARGUMENT', `seed: got ${seed}, expected a whole number up to ${SEED_MAX}`);
  }
  if (heldOut !== undefined && (!Number.isSafeInteger(heldOut) || heldOut < HELD_OUT_MIN)) {
    throw new TldrError('INVALID_ARGUMENT', `heldOut: got ${heldOut}, expected at least ${HELD_OUT_MIN}`);
  }
  // Which of them there are is seen with the data.
  checkShip(options.ship ?? 'best', [...LEARNED, ...CLOSED_FORMS]);
  const { objective = 'fidelity', labels, queries, gains, compactDistance = 'auto' } = options;
  const possible = COMPACT[distance];
  if (compactDistance !== 'auto' && !possible.includes(compactDistance)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `compactDistance: ${compactDistance} does not fit ${distance} vectors: expected auto or ${possible.join(', ')}`,
    );
  }
  if (objective === 'relevance' && labels === undefined && (queries === undefined || gains === undefined)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      'objective relevance needs labels, or queries with what is relevant to them',
    );
  }
  if (labels !== undefined && queries !== undefined)
    throw new TldrError('INVALID_ARGUMENT', 'give labels of the rows or queries of your own, not both');
  const settings = resolveSettings(options);
  checkSettings(settings);
  checkFileSize(options, { encoder: settings.encoder, inputDim });
  // Dot products of unit vectors may use every encoder: that is seen with the data.
  const form = distance === 'dot' ? 'cosine' : distance;
  checkArchitectures(settings, { distance: form, fromWeights: options.init === 'pca' });
}

/** @throws INVALID_ARGUMENT where no file could hold the weights */
function checkFileSize(
  { dim, queries }: TrainEncoderOptions,
  { encoder, inputDim }: { readonly encoder: string; readonly inputDim: number },
): void {
  const linear = firstLayerBytes('linear', { inputDim, outputDim: dim });
  const largest = Math.max(
    // Real queries may get a map of their own.
    queries === undefined ? linear : 2 * linear,
    firstLayerBytes(encoder, { inputDim, outputDim: dim }),
  );
  if (largest < ENCODER_BYTES_MAX) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `an encoder of ${inputDim} to ${dim} dimensions would take ${megabytes(largest)}, expected less than ${megabytes(ENCODER_BYTES_MAX)}: give fewer dimensions${encoder === 'linear' ? '' : ' or a narrower encoder'}`,
  );
}

/** @throws INVALID_ARGUMENT where nothing of that name can ship */
export function checkShip(ship: string, candidates: readonly string[]): void {
  const names = ['best', ...candidates];
  if (names.includes(ship)) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `ship: ${ship} is not among the candidates here: expected ${names.join(', ')}`,
  );
}
