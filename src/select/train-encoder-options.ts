import { DISTANCES, type Distance } from '../core/distance.js';
import { ENCODER_BYTES_MAX } from '../encoder/file.js';
import type { Encoder } from '../encoder/model.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import { SEED_MAX } from '../core/rng.js';
import type { RunOptions } from '../core/run-options.js';
import { SPLIT } from '../hyper-parameters/choice-of-candidate.js';
import { bytesText } from '../report/format.js';
import { BUDGET_SECONDS } from '../hyper-parameters/fit-of-candidates.js';
import { STORED_FORMS, type StorageKind } from '../store/collection.js';
import { checkArchitectures, resolveSettings } from '../train/run-training.js';
import type { EngineChoice } from '../train/engine/engine-report.js';
import { checkTfjsMemory } from '../train/engine/tfjs-backend.js';
import { checkSettings, type TrainSettings } from '../train/options.js';
import type { TrainState } from '../train/state.js';
import { checkPrevious, PREVIOUS } from './warm-start.js';
import { CLOSED_FORMS } from './fit-closed-forms.js';
import { BLENDS } from './blend-candidates.js';
import type { LabelField } from './measure-relevance.js';
import { firstLayerBytes, LEARNED } from './training-schedules.js';
import { NEIGHBOUR_SEARCHES, type NeighbourSearch } from '../knn/neighbour-searches.js';

export type { NeighbourSearch };

/**
 * Options of `trainEncoder`. A training setting that is given replaces the planned trainings (`EXPLICIT`).
 */
export interface TrainEncoderOptions extends RunOptions, EngineChoice, Partial<TrainSettings> {
  readonly dim: number;
  readonly distance?: Distance;
  readonly seed?: number;
  readonly threads?: number;
  /**
   * How the nearest neighbours of the sample's rows are found: by comparing all pairs, by an HNSW graph, or whichever is
   * faster for this sample.
   */
  readonly neighbours?: NeighbourSearch;
  /** Start of a linear or residual encoder: PCA (default for neighbourhood-kl) or random weights. */
  readonly init?: 'pca' | 'random';
  /** `best`, or the name of the candidate to ship regardless of its scores. */
  readonly ship?: string;
  /**
   * Goes on from this encoder with a part of the usual steps, in place of the planned trainings. It is a candidate
   * itself, and nothing that finds less is shipped.
   */
  readonly from?: Encoder | undefined;
  /** Plans no candidate with a layer that is not linear. Settings that are given are trained all the same. */
  readonly linearOnly?: boolean;
  /** Number of held-out rows for scoring; a third of them only confirms the choice. */
  readonly heldOut?: number;
  /** Time budget in seconds. Explicit training settings replace the planned trainings, and it, by a single training. */
  readonly budgetSeconds?: number;
  /**
   * Whether the seed alone decides the result (default). A cost model then turns the budget into steps. If false, the
   * budget is a deadline: the clock ends each training, and the fit of all candidates ends with it on any machine.
   */
  readonly deterministic?: boolean;
  /**
   * The objective of the selection: agreement with the full vectors' neighbours, or with labels or
   * judgements.
   */
  readonly objective?: 'fidelity' | 'relevance';
  /**
   * A label for each row of x, below 0 for none. Rows with a held-out row's label are relevant to it. For the fidelity
   * objective they are only measured, as judgements (`gains`) are.
   */
  readonly labels?: Int32Array | undefined;
  /**
   * Labels that are only measured: the report compares the candidates and the full vectors by them, and the choice does
   * not see them. With real queries, no row is held out, and they are not measured.
   */
  readonly labelFields?: readonly LabelField[] | undefined;
  /** Real queries for scoring instead of held-out rows: m x D. */
  readonly queries?: Matrix | undefined;
  /** For each real query, the gain of rows of x. */
  readonly gains?: readonly ReadonlyMap<number, number>[] | undefined;
  /** Distance of the compact space; `auto` tries those that keep the direction of scores. */
  readonly compactDistance?: Distance | 'auto';
  /**
   * Form in which the compact vectors will be stored: a datatype or a quantisation. Candidates are scored in that form,
   * and the shipped one is rotated for it. Default: float32, without a rotation.
   */
  readonly storedAs?: StorageKind | undefined;
  /** Whether the chosen encoder is fitted again, to nearly all rows (default); if not, it stays as it was measured. */
  readonly refit?: boolean;
  /** Name of the collection or file, for the encoder's metadata. */
  readonly source?: string;
  /** States of finished or started trainings of an earlier run, by candidate. */
  readonly resume?: ReadonlyMap<string, TrainState> | undefined;
  /** Called with the states to save: every twenty seconds, after each training, and when a training is stopped. */
  readonly onState?: ((states: ReadonlyMap<string, TrainState>) => void | Promise<void>) | undefined;
}

/** Settings that replace the planned trainings by a single one with these settings. */
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

/** Whether explicit settings ask for a single training instead of those that the budget allows. */
export function isExplicit(options: TrainEncoderOptions): boolean {
  return options.init !== undefined || EXPLICIT.some((name) => options[name] !== undefined);
}

/** Distances of the compact space that can approximate a source distance. */
const COMPACT: Readonly<Record<Distance, readonly Distance[]>> = {
  cosine: ['cosine', 'dot', 'euclid'],
  dot: ['dot'],
  euclid: ['euclid'],
  manhattan: ['euclid'],
};

/**
 * Checks everything about the options that can be checked before data is read.
 * @throws INVALID_ARGUMENT when an option is out of range; the message names the first one
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
  if (heldOut !== undefined && (!Number.isSafeInteger(heldOut) || heldOut < SPLIT.heldOutMin)) {
    throw new TldrError('INVALID_ARGUMENT', `heldOut: got ${heldOut}, expected at least ${SPLIT.heldOutMin}`);
  }
  const { neighbours = 'auto' } = options;
  if (!NEIGHBOUR_SEARCHES.includes(neighbours)) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `neighbours: got ${neighbours}, expected ${NEIGHBOUR_SEARCHES.join(', ')}`,
    );
  }
  const { storedAs } = options;
  if (storedAs !== undefined && !STORED_FORMS.includes(storedAs)) {
    throw new TldrError('INVALID_ARGUMENT', `storedAs: got ${storedAs}, expected ${STORED_FORMS.join(', ')}`);
  }
  // Some of these candidates depend on the data: `trainEncoder` checks again.
  const { from } = options;
  checkShip(options.ship ?? 'best', [
    ...LEARNED,
    ...BLENDS,
    ...CLOSED_FORMS,
    ...(from === undefined ? [] : [PREVIOUS]),
  ]);
  checkFrom(options, { inputDim, dim, distance });
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
      'objective relevance needs labels, or queries with judgements of what is relevant',
    );
  }
  if (labels !== undefined && queries !== undefined)
    throw new TldrError('INVALID_ARGUMENT', 'labels and queries exclude each other: give one of them');
  const settings = resolveSettings(options);
  checkSettings(settings);
  checkFileSize(options, { encoder: settings.encoder, inputDim });
  // A residual encoder may read few directions, but it has a linear part as well.
  const widest = settings.encoder.startsWith('residual') ? 'linear' : settings.encoder;
  if (options.engine === 'tfjs')
    checkTfjsMemory(firstLayerBytes(widest, { inputDim, outputDim: dim }), options);
  // Dot products of unit vectors can use every encoder. Training checks this again, when it knows the
  // vectors.
  const form = distance === 'dot' ? 'cosine' : distance;
  checkArchitectures(settings, { distance: form, fromWeights: options.init === 'pca' });
}

/** @throws MISMATCH, INVALID_ARGUMENT when training cannot go on from the encoder that was given */
function checkFrom(options: TrainEncoderOptions, wanted: Parameters<typeof checkPrevious>[1]): void {
  if (options.from === undefined) return;
  checkPrevious(options.from, wanted);
  const { compactDistance = 'auto', from } = options;
  const searched = from.metadata.compactDistance;
  if (compactDistance !== 'auto' && compactDistance !== searched)
    throw new TldrError(
      'MISMATCH',
      `cannot go on from this encoder: its compact space is searched by ${searched}, ${compactDistance} was asked for`,
    );
  if (isExplicit(options))
    throw new TldrError(
      'INVALID_ARGUMENT',
      'training settings and a start cannot be given beside an encoder to go on from: it decides them',
    );
}

/** @throws INVALID_ARGUMENT when the weights would be too large for an encoder file */
function checkFileSize(
  { dim, queries }: TrainEncoderOptions,
  { encoder, inputDim }: { readonly encoder: string; readonly inputDim: number },
): void {
  const linear = firstLayerBytes('linear', { inputDim, outputDim: dim });
  const largest = Math.max(
    // Real queries may get their own network.
    queries === undefined ? linear : 2 * linear,
    firstLayerBytes(encoder, { inputDim, outputDim: dim }),
  );
  if (largest < ENCODER_BYTES_MAX) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `an encoder of ${inputDim} to ${dim} dimensions would take ${bytesText(largest)}, expected less than ${bytesText(ENCODER_BYTES_MAX)}: give fewer dimensions${encoder === 'linear' ? '' : ' or a narrower encoder'}`,
  );
}

/** @throws INVALID_ARGUMENT when no candidate has that name */
export function checkShip(ship: string, candidates: readonly string[]): void {
  const names = ['best', ...candidates];
  if (names.includes(ship)) return;
  throw new TldrError(
    'INVALID_ARGUMENT',
    `ship: ${ship} is not among the candidates here: expected ${names.join(', ')}`,
  );
}
