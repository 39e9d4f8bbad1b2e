import { beforeAll, describe, expect, test } from '@jest/globals';
import { timeWords } from '../../src/cli/train/output.js';
import { matrix, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { mean } from '../../src/evaluate/ranking.js';
import { pairedInterval } from '../../src/select/score-candidates.js';
import { trainEncoder, type TrainEncoderResult } from '../../src/select/train-encoder.js';
import { isWorthMeasuring } from '../../src/select/until-flat.js';
import type { TrainReport } from '../../src/select/train-report.js';
import type { TrainState } from '../../src/train/state.js';

const RESIDUAL = 'neighbourhood-kl-residual';
const rng = new Rng(8);

/** Rows of falling variances: there is little to learn from so few of them. */
function rows(count: number): Matrix {
  const x = matrix(count, 12);
  for (let i = 0; i < count; i++)
    for (let j = 0; j < x.cols; j++) x.data[i * x.cols + j] = rng.normal() * 0.8 ** j;
  return x;
}

const x = rows(150);
/** No training comes near the end of the budget: all of them end by their steps, so that runs can be compared. */
const options = {
  dim: 4,
  seed: 1,
  queries: rows(600),
  distance: 'euclid',
  threads: 1,
  deterministic: false,
  budgetSeconds: 3600,
} as const;

const residualOf = ({ report }: TrainEncoderResult): TrainReport['training'][number] =>
  report!.training.find(({ name }) => name === RESIDUAL)!;
const recallsOf = ({ details }: TrainEncoderResult): Float64Array => details!.perQuery.get(RESIDUAL)!;

describe('a training by the clock whose recall no longer rises', () => {
  const lines: string[] = [];
  /** The states of the training at each moment that could be its last one. */
  const moments: TrainState[] = [];
  let stopped: TrainEncoderResult;
  /** Goes on from another state of this training; the others are done. */
  const goOnFrom = (state: TrainState): Promise<TrainEncoderResult> =>
    trainEncoder(x, { ...options, resume: new Map([...stopped.states, [RESIDUAL, state]]) });

  beforeAll(async () => {
    stopped = await trainEncoder(x, {
      ...options,
      log: (_level, message) => void lines.push(message),
      onState: (states) => {
        const state = states.get(RESIDUAL);
        if (state !== undefined && state !== moments.at(-1)) moments.push(state);
      },
    });
  });

  test('ends early and says so', () => {
    const { steps, stopped: stop } = residualOf(stopped);
    expect(stop).toMatchObject({ plannedSteps: 3000 });
    expect(steps).toBeLessThan(3000);
    // The last stretch may have gained nothing, and has not gained three quarters of a point.
    expect(stop!.gain[0]).toBeLessThanOrEqual(0);
    expect(stop!.gain[1]).toBeLessThanOrEqual(0.0075);
    const where = `stopped at step ${steps.toLocaleString('en-US')} of 3,000`;
    expect(lines).toContain(`${RESIDUAL} ${where}: recall of the held-out queries no longer rises`);
    expect(timeWords(stopped.report!, true)).toContain(`"${RESIDUAL}" ${where}`);
    const others = stopped.report!.training.filter(({ name }) => name !== RESIDUAL);
    expect(others.map((one) => one.stopped)).toEqual([null, null, null, null]);
  });

  test('finds as much as a training that goes on', async () => {
    const { limit, ...first } = moments[0]!;
    // No measurement is left.
    const wentOn = await goOnFrom({ ...first, limit: { ...limit!, steady: { measured: 3 } } });
    expect(residualOf(wentOn)).toMatchObject({ steps: 3000, stopped: null });
    expect(pairedInterval(recallsOf(stopped), recallsOf(wentOn), 1)[1]).toBeGreaterThanOrEqual(0);
    expect(mean(recallsOf(stopped))).toBeGreaterThan(mean(recallsOf(wentOn)) - 0.01);
  });

  test('goes on after an interruption to the very same encoder', async () => {
    const { steps, stopped: stop } = residualOf(stopped);
    const steadyOf = (at: number): unknown => moments[at]!.limit!.steady;
    // Paused for the first measurement; after it; paused for the second one.
    expect([0, 1, 2].map(steadyOf)).toEqual([
      { measured: 0 },
      { measured: 1, scores: expect.any(Array) },
      { measured: 1, scores: expect.any(Array) },
    ]);
    const afterStop = moments.find(({ limit }) => limit?.steady?.stop !== undefined)!;
    expect(afterStop.step).toBeLessThan(steps);
    for (const state of [moments[0]!, moments[1]!, afterStop]) {
      const resumed = await goOnFrom(state);
      expect(residualOf(resumed)).toMatchObject({ steps, stopped: stop });
      const [again, before] = [resumed, stopped].map(({ candidates }) => candidates.get(RESIDUAL)!);
      expect(again!.fingerprint).toBe(before!.fingerprint);
    }
  });
});

test('a training is measured only if it has the steps in which it could stop, and measuring takes little of it', () => {
  const timed = { share: 0.8, stepSeconds: 0.05, stepsMin: 10 };
  const isWorth = (seconds: number, slowness: number, scoreSeconds: number): boolean =>
    isWorthMeasuring(timed, seconds, { slowness, took: () => scoreSeconds });
  expect(isWorth(120, 1, 1)).toBe(true);
  // Less than 600 steps: at half of them it would be too early to stop.
  expect(isWorth(120, 4.1, 1)).toBe(false);
  // Three measurements of 2.1 seconds each are more than a twentieth.
  expect(isWorth(120, 1, 2.1)).toBe(false);
});
