import { cpus } from 'node:os';
import { fitMoments, pcaFromMoments, randomProjection } from '../baselines/pca.js';
import { compactDistance, type Distance } from '../core/distance.js';
import { Encoder, type EncoderNetwork } from '../core/encoder.js';
import { TldrError } from '../core/errors.js';
import type { Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run.js';
import { cleanSample, dataFingerprint, splitHeldOut, type SampleFacts } from '../core/sample.js';
import { createBenchmark, neighborRecall, type NeighborRecall } from '../evaluate/neighbor-recall.js';
import { resolveSettings } from '../train/run-training.js';
import { trainTldr, type TldrResult } from '../train/train-tldr.js';
import type { EngineName, LossName, TrainSettings } from '../train/train-options.js';
import type { TrainState } from '../train/train-state.js';
import { CREATED_BY } from './version.js';

const HELD_OUT_MAX = 1000;
const HELD_OUT_SHARE = 0.1;
const SAMPLE_ROWS_MIN = 100;

/** Names of what can be shipped; `best` lets the held-out recall decide. */
export const SHIP_CHOICES = ['best', 'tldr', 'pca', 'pca-uncentred', 'random-projection'] as const;
export type ShipChoice = (typeof SHIP_CHOICES)[number];

export interface TrainEncoderOptions extends RunOptions, Partial<TrainSettings> {
  readonly dim: number;
  readonly distance?: Distance;
  readonly seed?: number;
  readonly engine?: EngineName;
  readonly threads?: number;
  /** Start a linear encoder from PCA (default for neighbourhood-kl) or from random weights. */
  readonly init?: 'pca' | 'random';
  readonly ship?: ShipChoice;
  /** Rows kept apart to judge with. */
  readonly heldOut?: number;
  /** Name of the collection or file, for the record. */
  readonly source?: string;
  readonly resume?: TrainState | undefined;
}

/** One candidate and how it did on the held-out queries. */
export interface CandidateReport {
  readonly name: string;
  readonly recallAt10: number;
  readonly interval: readonly [number, number];
  readonly r10At30: number;
  readonly r10At100: number;
  readonly seconds: number;
}

export interface TrainReport {
  readonly shipped: string;
  readonly candidates: readonly CandidateReport[];
  readonly inputDim: number;
  readonly outputDim: number;
  readonly trainRows: number;
  readonly heldOutQueries: number;
  readonly sample: SampleFacts;
  readonly graph: { readonly method: string; readonly k: number; readonly recall: number };
  readonly training: {
    readonly loss: LossName;
    readonly engine: string;
    readonly steps: number;
    readonly secondsPerStep: number;
    readonly lastLoss: number | null;
    readonly tau: number | null;
  };
  readonly seed: number;
  readonly dataFingerprint: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly hardware: string;
}

/** A finished training, or one that was stopped: then `encoder` is null and `state` resumes it. */
export interface TrainEncoderResult {
  readonly encoder: Encoder | null;
  readonly report: TrainReport | null;
  readonly state: TrainState;
  /** Every candidate by name, the shipped one included. */
  readonly candidates: ReadonlyMap<string, Encoder>;
}

interface Candidate {
  readonly name: string;
  readonly network: EncoderNetwork;
  readonly seconds: number;
  /** Lower is simpler; ties in recall go to the simpler one. */
  readonly rank: number;
}

/**
 * Learns an encoder from x (n x D), judges it on held-out rows beside PCA (centred and uncentred) and a random
 * projection, and ships the best.
 * @throws INVALID_DATA for too few rows or rows that are not finite, INVALID_ARGUMENT for settings out of range
 */
export async function trainEncoder(x: Matrix, options: TrainEncoderOptions): Promise<TrainEncoderResult> {
  const { distance = 'cosine', seed = 0, dim, ship = 'best' } = options;
  checkDims(x, dim);
  const settings = resolveSettings({ ...options, outputDim: dim, distance, seed });
  const clean = cleanSample(x);
  if (clean.x.rows < SAMPLE_ROWS_MIN) {
    throw new TldrError(
      'INVALID_DATA',
      `only ${clean.x.rows} distinct vectors that are not zero: expected at least ${SAMPLE_ROWS_MIN} to learn from`,
    );
  }
  const held = options.heldOut ?? Math.min(HELD_OUT_MAX, Math.floor(clean.x.rows * HELD_OUT_SHARE));
  if (!Number.isSafeInteger(held) || held < 10 || held > clean.x.rows / 2) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `heldOut: got ${held}, expected 10 to ${Math.floor(clean.x.rows / 2)}`,
    );
  }
  const { train, heldOut } = splitHeldOut(clean.x, held, seed);
  const fitted = await fitCandidates(train, { ...options, distance, seed }, settings);
  const { training } = fitted;
  if (!training.finished)
    return { encoder: null, report: null, state: training.state, candidates: new Map() };

  const benchmark = await createBenchmark({ base: train, queries: heldOut, distance }, options);
  const judged: Judged[] = [];
  for (const candidate of fitted.candidates) {
    const target = { network: candidate.network, compactDistance: compactDistance(distance), seed };
    judged.push({
      candidate,
      recall: await neighborRecall(benchmark, target, { ...options, onProgress: undefined }),
    });
  }
  const winner = choose(judged, ship, settings.loss);
  const fingerprint = dataFingerprint(train);
  const candidates = new Map(
    judged.map(({ candidate, recall }) => [
      candidate.name,
      new Encoder(candidate.network, {
        method: candidate.name,
        distance,
        compactDistance: compactDistance(distance),
        source: options.source ?? '',
        seed,
        dataFingerprint: fingerprint,
        hyperParameters: candidate.name === settings.loss ? hyperParameters(settings) : {},
        metrics: metricsOf(recall),
        createdBy: CREATED_BY,
      }),
    ]),
  );
  const report = reportOf(x, {
    judged,
    winner,
    fitted,
    train,
    facts: clean.facts,
    fingerprint,
    seed,
    settings,
  });
  return {
    encoder: candidates.get(winner.candidate.name) ?? null,
    report,
    state: training.state,
    candidates,
  };
}

interface Judged {
  readonly candidate: Candidate;
  readonly recall: NeighborRecall;
}

function reportOf(
  x: Matrix,
  run: {
    readonly judged: readonly Judged[];
    readonly winner: Judged;
    readonly fitted: { readonly training: TldrResult };
    readonly train: Matrix;
    readonly facts: SampleFacts;
    readonly fingerprint: string;
    readonly seed: number;
    readonly settings: TrainSettings;
  },
): TrainReport {
  const { judged, winner, train, facts, fingerprint, seed, settings } = run;
  const { training } = run.fitted;
  return {
    shipped: winner.candidate.name,
    candidates: judged.map(({ candidate: { name, seconds }, recall }) => ({
      name,
      recallAt10: recall.recallAt10,
      interval: recall.interval,
      r10At30: recall.r10At30,
      r10At100: recall.r10At100,
      seconds,
    })),
    inputDim: x.cols,
    outputDim: winner.candidate.network.layers.at(-1)?.weight.cols ?? 0,
    trainRows: train.rows,
    heldOutQueries: winner.recall.perQuery.length,
    sample: facts,
    graph: { method: training.graph.method, k: training.graph.k, recall: training.graph.recall },
    training: {
      loss: settings.loss,
      engine: training.engine,
      steps: training.totalSteps,
      secondsPerStep: training.secondsPerStep,
      lastLoss: training.state.lossHistory.at(-1) ?? null,
      tau: training.tau,
    },
    seed,
    dataFingerprint: fingerprint,
    versions: { node: process.versions.node, 'qdrant-tldr': CREATED_BY },
    hardware: `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores`,
  };
}

function checkDims(x: Matrix, dim: number): void {
  if (!Number.isSafeInteger(dim) || dim < 1 || dim >= x.cols) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `cannot reduce ${x.cols}-d vectors to ${dim}: expected a whole number from 1 to ${x.cols - 1}`,
    );
  }
}

async function fitCandidates(
  train: Matrix,
  options: TrainEncoderOptions & { distance: Distance; seed: number },
  settings: TrainSettings,
): Promise<{ candidates: Candidate[]; training: TldrResult }> {
  const { dim, distance, seed } = options;
  const candidates: Candidate[] = [];
  const startedAt = performance.now();
  const moments = await fitMoments(train, options);
  const addPca = (name: string, centred: boolean): EncoderNetwork => {
    const from = candidates.length === 0 ? startedAt : performance.now();
    const network = pcaFromMoments(moments, { dim, centred, distance });
    candidates.push({ name, network, seconds: (performance.now() - from) / 1000, rank: centred ? 1 : 0 });
    return network;
  };
  const uncentred = addPca('pca-uncentred', false);
  if (distance !== 'dot') addPca('pca', true);
  candidates.push({
    name: 'random-projection',
    network: randomProjection(train.cols, { dim, distance, seed }),
    seconds: 0,
    rank: 2,
  });
  const init =
    options.init ??
    (settings.loss === 'neighbourhood-kl' && settings.encoder === 'linear' ? 'pca' : 'random');
  const initialWeight = init === 'pca' ? uncentred.layers[0]?.weight : undefined;
  const trainedAt = performance.now();
  const training = await trainTldr(
    train,
    { ...options, outputDim: dim, ...(initialWeight === undefined ? {} : { initialWeight }) },
    options,
  );
  const seconds = (performance.now() - trainedAt) / 1000;
  candidates.unshift({ name: settings.loss, network: training.network, seconds, rank: 3 });
  return { candidates, training };
}

function choose<J extends { candidate: Candidate; recall: NeighborRecall }>(
  judged: readonly J[],
  ship: ShipChoice,
  loss: LossName,
): J {
  const wanted = ship === 'tldr' ? loss : ship;
  const pool = ship === 'best' ? judged : judged.filter(({ candidate }) => candidate.name === wanted);
  const [best] = [...pool].sort(
    (a, b) => b.recall.recallAt10 - a.recall.recallAt10 || a.candidate.rank - b.candidate.rank,
  );
  if (best === undefined) {
    throw new TldrError('INVALID_ARGUMENT', `${ship} is not among the candidates for this distance`);
  }
  return best;
}

function metricsOf(recall: NeighborRecall): Record<string, number> {
  return { 'recall@10': recall.recallAt10, 'R10@30': recall.r10At30, 'R10@100': recall.r10At100 };
}

function hyperParameters(settings: TrainSettings): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      typeof value === 'string' || typeof value === 'number' ? [[name, value] as const] : [],
    ),
  );
}
