import { createBenchmark } from '../evaluate/neighbor-recall.js';
import { mean } from '../evaluate/ranking.js';
import { dependsOnRotation } from '../evaluate/stored-codes.js';
import { Encoder } from '../encoder/model.js';
import { rotateOutput } from '../encoder/rotation.js';
import { expectDefined } from '../core/errors.js';
import { gatherRows, type Matrix } from '../core/matrix.js';
import type { RunOptions } from '../core/run-options.js';
import { splitRows } from '../core/clean-and-split-sample.js';
import { sharedFloats } from '../core/worker-task.js';
import { ROTATIONS } from '../hyper-parameters/choice-of-candidate.js';
import type { StorageKind } from '../store/collection.js';
import type { Candidate } from './candidate.js';
import {
  FIDELITY,
  scoreCandidates,
  type Benchmarks,
  type Judgement,
  type Scored,
  type ScoreOptions,
} from './score-candidates.js';

/** How the shipped candidate fares in the form in which the compact vectors will be stored. */
export interface StoredReport {
  readonly storedAs: StorageKind;
  /** Seed of the rotation that is part of the encoder; 0 if the candidate is used as it was fitted. */
  readonly rotation: number;
  /** Recall@10 on the confirmation queries: as shipped, without the rotation, and of float32 vectors. */
  readonly recallAt10: number;
  readonly unrotatedRecallAt10: number;
  readonly float32RecallAt10: number;
}

/**
 * Scores every candidate in the form in which its vectors will be stored. If a rotation changes the codes, each
 * candidate is scored as it is and rotated, and the better one stands for it.
 */
export async function scoreStored(
  benchmarks: Benchmarks,
  candidates: readonly Candidate[],
  options: ScoreOptions,
): Promise<Judgement> {
  const { storedAs } = options;
  if (storedAs === undefined) return scoreCandidates(benchmarks, candidates, options);
  const marked = candidates.map((candidate) => ({
    ...candidate,
    hyperParameters: { ...candidate.hyperParameters, storedAs },
  }));
  if (!dependsOnRotation(storedAs)) return scoreCandidates(benchmarks, marked, options);
  const both = [...marked, ...marked.map((candidate) => rotated(candidate, 1))];
  const { selection, confirmation } = await scoreCandidates(benchmarks, both, options);
  const better = marked.map((_, i) => {
    const turned = i + marked.length;
    return meanOf(selection[turned]) > meanOf(selection[i]) ? turned : i;
  });
  const pick = (scored: readonly Scored[]): Scored[] =>
    better.map((i) => expectDefined(scored[i], 'a scored candidate'));
  return { selection: pick(selection), confirmation: pick(confirmation) };
}

/**
 * Tries more rotations of the chosen candidate. Returns the scores with the best of them in its place, and what the
 * rotation brings; null if the form of storage was not given.
 */
export async function improveRotation(
  benchmarks: Benchmarks,
  chosen: { readonly judgement: Judgement; readonly winner: Scored; readonly fitted: readonly Candidate[] },
  options: ScoreOptions,
): Promise<{ readonly judgement: Judgement; readonly winner: Scored; readonly stored: StoredReport | null }> {
  const { judgement, winner, fitted } = chosen;
  const { storedAs } = options;
  if (storedAs === undefined) return { judgement, winner, stored: null };
  const found = fitted.find(({ name }) => name === winner.candidate.name);
  const asFitted = { ...expectDefined(found, 'the chosen candidate'), distances: [winner.compactDistance] };
  const quiet = { ...options, storedAs, onProgress: undefined };
  const tried = await scoreRotations(benchmarks, asFitted, quiet);
  const best = bestOf(tried.selection);
  const float32 = await scoreCandidates(benchmarks, [asFitted], { ...quiet, storedAs: undefined });
  const improved = expectDefined(tried.selection[best], 'the best rotation');
  const confirmed = expectDefined(tried.confirmation[best], 'the confirmation of the best rotation');
  const at = judgement.selection.indexOf(winner);
  return {
    judgement: {
      selection: judgement.selection.with(at, improved),
      confirmation: judgement.confirmation.with(at, confirmed),
    },
    winner: improved,
    stored: {
      storedAs,
      rotation: best,
      recallAt10: confirmed.recall.recallAt10,
      unrotatedRecallAt10: recallOfFirst(tried),
      float32RecallAt10: recallOfFirst(float32),
    },
  };
}

/**
 * Returns the encoder, rotated if its vectors then find more in this form of storage. Rows of x search among the
 * others.
 */
export async function encoderFor(
  encoder: Encoder,
  x: Matrix,
  options: RunOptions & { readonly storedAs: StorageKind; readonly seed: number; readonly threads: number },
): Promise<Encoder> {
  const { storedAs, seed, threads, signal } = options;
  if (!dependsOnRotation(storedAs)) return encoder;
  const { network, queryNetwork, symmetric, metadata } = encoder;
  const { train, heldOut } = splitRows(x.rows, Math.floor(Math.min(ROTATIONS.queriesMax, x.rows / 5)), seed);
  const part = train.subarray(0, ROTATIONS.rowsMax);
  const { distance } = metadata;
  const data = {
    base: gatherRows(x, part, sharedFloats(part.length * x.cols)),
    queries: gatherRows(x, heldOut),
  };
  const benchmark = await createBenchmark({ ...data, distance }, { threads, signal });
  const candidate: Candidate = {
    name: metadata.method,
    network,
    queryNetwork: symmetric ? undefined : queryNetwork,
    distances: [network.normalizeOutput ? 'cosine' : metadata.compactDistance],
    hyperParameters: {},
    seconds: 0,
  };
  const scored = await scoreRotations({ benchmark, unseen: null }, candidate, {
    objective: FIDELITY,
    selectionQueries: heldOut.length,
    storedAs,
    seed,
    threads,
    signal,
  });
  const best = bestOf(scored.selection);
  if (best === 0) return encoder;
  const turned = rotated(candidate, best);
  return new Encoder(turned.network, metadata, turned.queryNetwork);
}

/** The scores of a candidate as it is, then of its rotations. */
function scoreRotations(
  benchmarks: Benchmarks,
  candidate: Candidate,
  options: ScoreOptions & { readonly storedAs: StorageKind },
): Promise<Judgement> {
  const count = dependsOnRotation(options.storedAs) ? ROTATIONS.tried : 0;
  const asIs = {
    ...candidate,
    hyperParameters: { ...candidate.hyperParameters, storedAs: options.storedAs },
  };
  const others = Array.from({ length: count }, (_, i) => rotated(asIs, i + 1));
  return scoreCandidates(benchmarks, [asIs, ...others], options);
}

function rotated(candidate: Candidate, rotation: number): Candidate {
  const { network, queryNetwork, hyperParameters } = candidate;
  return {
    ...candidate,
    network: rotateOutput(network, rotation),
    queryNetwork: queryNetwork && rotateOutput(queryNetwork, rotation),
    hyperParameters: { ...hyperParameters, rotation },
  };
}

/** The index of the best mean; the first of equals. */
function bestOf(scored: readonly Scored[]): number {
  return scored.reduce((best, one, i) => (meanOf(one) > meanOf(scored[best]) ? i : best), 0);
}

function meanOf(scored: Scored | undefined): number {
  return mean(expectDefined(scored, 'a scored candidate').scores);
}

function recallOfFirst({ confirmation }: Judgement): number {
  return expectDefined(confirmation[0], 'the confirmation').recall.recallAt10;
}
