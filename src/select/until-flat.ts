import type { Distance } from '../core/distance.js';
import { expectDefined } from '../core/errors.js';
import type { EncoderNetwork } from '../encoder/network.js';
import { CONVERGENCE } from '../hyper-parameters/deadline.js';
import type { Deadline, TimedTraining } from '../train/deadline.js';
import { positionOf } from '../train/pace.js';
import type { SteadyRun, TimeLimit, TrainState } from '../train/state.js';
import type { TldrResult, TldrRun } from '../train/tldr.js';
import { pairedInterval, scoreCandidates, type Benchmarks, type ScoreOptions } from './score-candidates.js';

/** Measures a network on the queries that choose a candidate: one value for each, larger is better. */
export type Measure = (network: EncoderNetwork) => Promise<Float64Array>;

/**
 * Returns how networks are measured while they are trained: searched by this distance, as float32. The deadline learns
 * from each measurement how long a score takes now.
 */
export function measureBy(
  { benchmark }: Benchmarks,
  options: ScoreOptions & { readonly compactDistance: Distance; readonly deadline: Deadline },
): Measure {
  const { compactDistance, deadline, ...others } = options;
  const scoring = { ...others, storedAs: undefined, onProgress: undefined };
  return async (network) => {
    const candidate = { name: '', network, distances: [compactDistance], hyperParameters: {}, seconds: 0 };
    const { selection } = await deadline.measure('scores', () =>
      scoreCandidates({ benchmark, unseen: null }, [candidate], scoring),
    );
    return expectDefined(selection[0], 'the measured network').scores;
  };
}

/** Whether a training of so many seconds has the steps in which it could be stopped, and measuring takes little of it. */
export function isWorthMeasuring(
  { stepSeconds }: TimedTraining,
  seconds: number,
  deadline: Pick<Deadline, 'slowness' | 'took'>,
): boolean {
  const { measuredAt, measuringShareMax, stepsMin } = CONVERGENCE;
  const steps = seconds / (stepSeconds * deadline.slowness);
  if (steps * Math.max(...measuredAt) < stepsMin) return false;
  return measuredAt.length * deadline.took('scores') <= measuringShareMax * seconds;
}

/** A training in pieces, each of which goes on from the last one's state. */
export interface Pieces {
  readonly train: (piece: Pick<TldrRun, 'resume' | 'pauseAt'>) => Promise<TldrResult>;
  readonly measure: Measure;
  readonly resume: TrainState | undefined;
  /** Steps of the whole schedule. */
  readonly totalSteps: number;
  readonly seed: number;
  readonly save: (state: TrainState) => Promise<void>;
}

/** A training that was measured in between. */
export interface Measured {
  readonly result: TldrResult;
  /** Time of measurements, and of going on after them. */
  readonly apartSeconds: number;
}

/**
 * Trains until the held-out queries show no further gain, or until the time or the steps end the training. It is
 * measured after an eighth, a quarter and half of its schedule. From 300 steps on, it stops if a whole stretch between
 * two of these may have gained nothing (its 95 % interval holds 0), and a gain of three quarters of a point is ruled out.
 */
export async function trainUntilFlat(pieces: Pieces): Promise<Measured> {
  const { train, measure, totalSteps, seed, save } = pieces;
  let state = pieces.resume;
  let [steps, trainingSeconds, apartSeconds] = [0, 0, 0];
  for (let isFirst = true; ; isFirst = false) {
    const { measured, stop } = steadyOf(state);
    const pauseAt = stop === undefined ? CONVERGENCE.measuredAt[measured] : undefined;
    const before = state?.step ?? 0;
    const startedAtMs = performance.now();
    const result = await train({ resume: state, pauseAt });
    const did = result.state.step - before;
    steps += did;
    trainingSeconds += result.secondsPerStep * did;
    // Every training has one start; further ones come from pausing.
    const apartSinceMs = isFirst ? performance.now() : startedAtMs + 1000 * result.secondsPerStep * did;
    if (!result.paused) {
      apartSeconds += isFirst ? 0 : (performance.now() - apartSinceMs) / 1000;
      const secondsPerStep = trainingSeconds / Math.max(1, steps);
      return { result: { ...result, secondsPerStep }, apartSeconds };
    }
    await save(result.state);
    const scores = await measure(result.network);
    const seconds = (performance.now() - apartSinceMs) / 1000;
    apartSeconds += seconds;
    state = judged(result.state, scores, { seconds, totalSteps, seed });
    await save(state);
  }
}

/** The state of a paused training after a measurement, which counts as a part of its time. */
function judged(
  state: TrainState,
  scores: Float64Array,
  {
    seconds,
    totalSteps,
    seed,
  }: { readonly seconds: number; readonly totalSteps: number; readonly seed: number },
): TrainState {
  const { step } = state;
  const paused = expectDefined(state.limit, 'the limit of a training that was paused');
  const limit: TimeLimit = {
    ...paused,
    spentSeconds: Math.min(paused.seconds, paused.spentSeconds + seconds),
  };
  const { measured: times, scores: earlier } = steadyOf(state);
  const part = positionOf({ ...paused, step }, paused, totalSteps) / totalSteps;
  // Where the time runs faster than the steps, a pause may be beyond several of the parts.
  const measured = Math.max(times + 1, CONVERGENCE.measuredAt.filter((at) => at <= part).length);
  const steady: SteadyRun = { measured, scores: [...scores] };
  const gain = earlier === undefined ? null : pairedInterval(scores, Float64Array.from(earlier), seed);
  const isEarly = step < CONVERGENCE.stepsMin;
  if (isEarly || gain === null || gain[0] > 0 || gain[1] > CONVERGENCE.gainMax)
    return { ...state, limit: { ...limit, steady } };
  const { spentSeconds } = limit;
  const stop = { step, spentSeconds, plannedSteps: Math.round(step / part), gain };
  return { ...state, limit: { ...limit, steady: { ...steady, stop } } };
}

function steadyOf(state: TrainState | undefined): SteadyRun {
  return state?.limit?.steady ?? { measured: 0 };
}
