import { shapeOf, type EncoderNetwork } from '../encoder/network.js';
import type { Encoder } from '../encoder/model.js';
import { projectNatively } from '../encoder/project-natively.js';
import { matrix, row, rowRange, type Matrix } from '../core/matrix.js';
import { expectDefined, TldrError } from '../core/errors.js';
import type { Distance } from '../core/distance.js';
import { mean } from '../evaluate/ranking.js';
import { WARM_START } from '../hyper-parameters/fit-of-candidates.js';
import type { HiddenWeights } from '../train/model.js';
import type { Candidate } from './candidate.js';
import type { Scored } from './score-candidates.js';
import type { TrainingSchedule } from './training-schedules.js';

/** Name of the candidate that is the encoder of `from`, unchanged. */
export const PREVIOUS = 'previous';

/** The weights of an encoder from which training goes on. */
export interface WarmStart {
  /** The learned candidate that the encoder is. */
  readonly name: string;
  readonly encoder: string;
  /** D x d: a linear encoder, or the linear part of a residual one. */
  readonly weight: Matrix;
  /** The hidden layer of a residual encoder. Its weights are for all input dimensions, not for principal directions. */
  readonly hidden: HiddenWeights | null;
  /** Whether queries were among the rows of its training. */
  readonly queries: boolean;
}

/** @throws MISMATCH when an encoder has other dimensions or another distance than the training */
export function checkPrevious(
  from: Encoder,
  wanted: { readonly inputDim: number; readonly dim: number; readonly distance: Distance },
): void {
  const { inputDim, outputDim, metadata } = from;
  const refuse = (problem: string): TldrError =>
    new TldrError('MISMATCH', `cannot go on from this encoder: ${problem}`);
  if (inputDim !== wanted.inputDim)
    throw refuse(`it takes ${inputDim}-d vectors, the sample has ${wanted.inputDim} dimensions`);
  if (outputDim !== wanted.dim)
    throw refuse(`it reduces to ${outputDim} dimensions, ${wanted.dim} were asked for`);
  if (metadata.distance !== wanted.distance)
    throw refuse(`it was trained for ${metadata.distance}, the vectors are compared by ${wanted.distance}`);
}

/** Returns the weights to go on from, or in words why this kind of encoder cannot be trained further. */
export function warmStartOf({ network, metadata, symmetric }: Encoder): WarmStart | string {
  const { loss, queries: fitted } = metadata.hyperParameters;
  const queries = fitted !== undefined;
  const [first, second, ...more] = network.layers;
  if (loss === undefined || !symmetric || first === undefined || more.length > 0)
    return `${metadata.method} is not learned in steps`;
  if (second === undefined) {
    if (first.bias !== null) return `${metadata.method} was folded into one layer with a bias`;
    const name = loss === 'barlow-twins' ? 'tldr' : 'neighbourhood-kl';
    return { name, encoder: 'linear', weight: first.weight, hidden: null, queries };
  }
  const residual = loss === 'neighbourhood-kl' ? unfolded(network, metadata.distance) : null;
  if (residual !== null) return { ...residual, queries };
  return `a shift or a batch norm is part of the weights of ${metadata.method} now`;
}

/**
 * Takes a residual encoder apart: relu(x [A, W, -W] + [a, b, -b]) [V; R; -R], where R is a rotation or the identity.
 * The linear part's b moves all outputs alike, which Euclid and Manhattan distances do not see; it is left out. Returns
 * null for any other network.
 */
function unfolded(network: EncoderNetwork, distance: Distance): Omit<WarmStart, 'queries'> | null {
  const [first, second] = network.layers;
  const { inputDim, outputDim } = shapeOf(network);
  if (first?.bias == null || second === undefined || second.bias !== null) return null;
  const width = first.weight.cols - 2 * outputDim;
  if (width < 1 || !first.relu) return null;
  const moved = first.bias.subarray(width, width + outputDim);
  const mayMove = distance === 'euclid' || distance === 'manhattan';
  if (!mayMove && moved.some((value) => value !== 0)) return null;
  const movedBack = first.bias.subarray(width + outputDim);
  if (movedBack.some((value, i) => value !== -expectDefined(moved[i], 'a bias'))) return null;
  const turn = rowRange(second.weight, width, width + outputDim);
  const turned = rowRange(second.weight, width + outputDim, width + 2 * outputDim);
  if (turn.data.some((value, i) => value !== -expectDefined(turned.data[i], 'a weight'))) return null;
  const hidden = matrix(inputDim, width);
  const weight = matrix(inputDim, outputDim);
  for (let i = 0; i < inputDim; i++) {
    const from = row(first.weight, i);
    const linear = from.subarray(width, width + outputDim);
    row(hidden, i).set(from.subarray(0, width));
    const to = row(weight, i);
    linear.forEach((value, k) => {
      row(turn, k).forEach((factor, j) => (to[j] = expectDefined(to[j], 'a weight') + value * factor));
    });
  }
  const output = rowRange(second.weight, 0, width).data.slice();
  const bias = first.bias.slice(0, width);
  return {
    name: 'neighbourhood-kl-residual',
    encoder: `residual-${width}`,
    weight,
    hidden: { weight: hidden.data, bias, output },
  };
}

/**
 * Returns the hidden weights for rows from which `shift` was subtracted, or for nothing subtracted if it is null, and for
 * coordinates along directions (D x r) in place of all dimensions.
 */
export async function hiddenAlong(
  { hidden: own, weight }: WarmStart,
  { directions, shift }: { readonly directions: Matrix | undefined; readonly shift: Float64Array | null },
): Promise<HiddenWeights | undefined> {
  const hidden = own === null || shift === null ? own : { ...own, bias: shiftedBias(own, shift) };
  if (hidden === null || directions === undefined) return hidden ?? undefined;
  const turned = matrix(directions.cols, directions.rows);
  for (let i = 0; i < directions.rows; i++)
    row(directions, i).forEach((value, j) => (turned.data[j * turned.cols + i] = value));
  const layer = { weight: matrix(weight.rows, hidden.bias.length, hidden.weight), bias: null, relu: false };
  const network = { normalizeInput: false, layers: [layer], normalizeOutput: false };
  const { data } = await projectNatively(network, turned);
  return { ...hidden, weight: Float32Array.from(data) };
}

/** x A + a as (x - shift) A + (a + shift A). */
function shiftedBias({ weight, bias }: HiddenWeights, shift: Float64Array): Float32Array {
  const sums = Float64Array.from(bias);
  shift.forEach((value, i) => {
    const from = weight.subarray(i * sums.length, (i + 1) * sums.length);
    from.forEach((factor, h) => (sums[h] = expectDefined(sums[h], 'a bias') + value * factor));
  });
  return Float32Array.from(sums);
}

/**
 * Returns the one training that goes on from an encoder: a part of the usual steps, at a smaller rate. An encoder that was
 * fitted to queries goes on with queries, if there are some to fit to.
 */
export function warmPlans(plans: readonly TrainingSchedule[], warm: WarmStart): TrainingSchedule[] {
  const same = plans.find(({ name }) => warm.queries && name === `${warm.name}-queries`);
  const usual = same ?? plans.find(({ name }) => name === warm.name);
  const { steps, learningRate, ...settings } = usual?.settings ?? {};
  const loss = warm.name === 'tldr' ? 'barlow-twins' : 'neighbourhood-kl';
  return [
    {
      name: same?.name ?? warm.name,
      init: 'previous',
      ...(same === undefined ? {} : { queries: true }),
      ...(usual?.timed === undefined ? {} : { timed: usual.timed }),
      settings: {
        loss,
        ...settings,
        encoder: warm.encoder,
        epochs: null,
        steps: Math.max(WARM_START.stepsMin, Math.round((steps ?? 0) * WARM_START.stepsShare)),
        ...(learningRate === undefined ? {} : { learningRate: learningRate * WARM_START.rateShare }),
      },
    },
  ];
}

/** The encoder of `from` as a candidate, if there is one: it is judged like the others, and saved if none is better. */
export function previousCandidates(from: Encoder | undefined): readonly Candidate[] {
  if (from === undefined) return [];
  const { network, queryNetwork, symmetric, metadata } = from;
  const plain = Object.entries(metadata.hyperParameters).flatMap(([name, value]) =>
    typeof value === 'boolean' ? [] : [[name, value] as const],
  );
  const previous: Candidate = {
    name: PREVIOUS,
    method: metadata.method,
    network,
    queryNetwork: symmetric ? undefined : queryNetwork,
    distances: [network.normalizeOutput ? 'cosine' : metadata.compactDistance],
    hyperParameters: Object.fromEntries(plain),
    seconds: 0,
  };
  return [previous];
}

/** Leaves out what finds less than the previous encoder, so that going on from it never makes the search worse. */
export function withoutWorse(judged: readonly Scored[], all: readonly Scored[]): readonly Scored[] {
  const previous = all.find(({ candidate }) => candidate.name === PREVIOUS);
  if (previous === undefined) return judged;
  const kept = judged.filter(({ scores }) => mean(scores) >= mean(previous.scores));
  return kept.length === 0 ? [previous] : kept;
}

/** Recall@10 of the previous encoder and of the one trained from it, on a group of held-out queries. */
export interface OldAndNew {
  readonly group: 'all' | 'far' | 'near';
  readonly queries: number;
  readonly previous: number;
  readonly trained: number;
}

/** Compares the previous encoder with the trained one on all held-out queries, and on those far from its sample. */
export function oldAndNew(
  from: Encoder | undefined,
  name: string | undefined,
  parts: {
    readonly queries: Matrix;
    readonly judged: readonly Scored[];
    readonly confirmed: readonly Scored[];
    /** The real queries of the training; undefined if held-out rows are the queries. */
    readonly asked: Matrix | undefined;
  },
): readonly OldAndNew[] | null {
  if (from === undefined || name === undefined) return null;
  const { queries, judged, confirmed, asked } = parts;
  const as = asked === undefined ? 'points' : 'queries';
  const recalls = (wanted: string): number[] =>
    [judged, confirmed].flatMap((part) => [
      ...(part.find(({ candidate }) => candidate.name === wanted)?.recall.perQuery ?? []),
    ]);
  const [previous, trained] = [recalls(PREVIOUS), recalls(name)];
  if (trained.length !== queries.rows) return [];
  const compact = as === 'points' ? from.project(queries) : from.projectQueries(queries);
  const far = from.farFromSample(compact, as);
  const group = (what: OldAndNew['group'], holds: (i: number) => boolean): OldAndNew => {
    const pick = (values: readonly number[]): number[] => values.filter((_, i) => holds(i));
    const own = pick(previous);
    return { group: what, queries: own.length, previous: mean(own), trained: mean(pick(trained)) };
  };
  const all = group('all', () => true);
  if (far === null) return [all];
  return [all, group('far', (i) => far[i] === 1), group('near', (i) => far[i] === 0)];
}
