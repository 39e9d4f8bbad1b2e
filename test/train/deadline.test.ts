import { describe, expect, test } from '@jest/globals';
import { matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import { Deadline, type TimedTraining } from '../../src/train/deadline.js';
import { rowsInTime, withFewerRows } from '../../src/train/fewer-rows.js';
import type { TldrOptions } from '../../src/train/options.js';
import { TrainingPace } from '../../src/train/pace.js';
import { prepareSample } from '../../src/train/prepare-sample.js';
import { runTraining, type TrainControl, type TrainOutcome } from '../../src/train/run-training.js';
import { parseTrainState, serializeTrainState, type TrainState } from '../../src/train/state.js';

const linear: TimedTraining = { share: 0.1, stepSeconds: 0.1, stepsMin: 10 };
const residual: TimedTraining = { share: 0.8, stepSeconds: 0.2, stepsMin: 10 };
const optional: TimedTraining = { share: 0.1, stepSeconds: 0.1, stepsMin: 50 };

/** A clock that stands still until it is moved. */
class Clock {
  ms = 0;
  readonly now = (): number => this.ms;
  pass(seconds: number): void {
    this.ms += 1000 * seconds;
  }
}

function deadlineOf(seconds: number): { deadline: Deadline; clock: Clock } {
  const clock = new Clock();
  return { deadline: new Deadline(seconds, 0, clock.now), clock };
}

describe('the time of a training', () => {
  test('is its share of what is left, less what is kept for the choice and the start', () => {
    const { deadline, clock } = deadlineOf(100);
    clock.pass(40);
    deadline.afterwards = 10;
    expect(deadline.secondsFor(linear, [residual, optional])).toBeCloseTo(0.1 * 50 - 0.5, 6);
  });

  test('grows by what an earlier training did not use', () => {
    const { deadline } = deadlineOf(100);
    expect(deadline.secondsFor(residual, [optional])).toBeCloseTo((100 * 8) / 9 - 0.5, 6);
  });

  test('leaves room for the second fit of the longest one', () => {
    const { deadline, clock } = deadlineOf(120);
    deadline.secondFit = { training: 1 / 3, graph: 1.5 };
    deadline.trained(linear, { steps: 100, secondsPerStep: 0.1, seconds: 30 });
    clock.pass(60);
    // A third of thirty seconds is kept, and half a minute of what is left for a training as long.
    expect(deadline.secondsFor({ ...optional, stepsMin: 1 }, [])).toBeCloseTo(60 / (4 / 3) - 20, 6);
  });

  test('takes that of the second fit, if nothing was trained before', () => {
    const { deadline, clock } = deadlineOf(100);
    deadline.secondFit = { training: 1 / 3, graph: 10 };
    deadline.slowness = 4;
    clock.pass(80);
    expect(deadline.secondsFor(residual, [])).toBeCloseTo(20 / (4 / 3) - 0.5, 6);
    expect(deadline.secondsAgain(residual)).toBeCloseTo(20 - 0.5, 6);
    deadline.slowness = 8;
    clock.pass(3);
    expect(deadline.secondsFor(residual, [])).toBeNull();
    expect(deadline.secondsAgain(residual)).toBeCloseTo(17 - 0.5, 6);
    deadline.trained(undefined, { steps: 10, secondsPerStep: 1, seconds: 12 });
    expect(deadline.secondsAgain(residual)).toBeNull();
  });

  test('is null if the steps of this machine are too slow for it', () => {
    const { deadline } = deadlineOf(100);
    expect(deadline.secondsFor(optional, [residual])).not.toBeNull();
    deadline.trained(residual, { steps: 10, secondsPerStep: 2, seconds: 20 });
    expect(deadline.slowness).toBeCloseTo(10);
    expect(deadline.secondsFor(optional, [residual])).toBeNull();
    expect(deadline.secondsAtLeast(optional, [residual])).toBeCloseTo(100 / 9);
  });

  test('is not null for a speed that was only guessed', () => {
    const { deadline } = deadlineOf(100);
    deadline.slowness = 100;
    expect(deadline.secondsFor(residual, [])).toBeCloseTo(99.5);
    deadline.trained(linear, { steps: 10, secondsPerStep: 10, seconds: 0 });
    expect(deadline.secondsFor(residual, [])).toBeNull();
  });

  test('is null once the time is over, whatever the machine', () => {
    const { deadline, clock } = deadlineOf(10);
    clock.pass(11);
    expect(deadline.leftSeconds).toBe(-1);
    expect(deadline.secondsFor(linear, [])).toBeNull();
    expect(deadline.signalForTrainings()).toBeDefined();
  });

  test('has no end without a deadline', () => {
    const { deadline, clock } = deadlineOf(Number.POSITIVE_INFINITY);
    clock.pass(1e9);
    expect(deadline.isSet).toBe(false);
    expect(deadline.secondsFor(linear, [residual])).toBe(Number.POSITIVE_INFINITY);
    expect(deadline.signalForTrainings()).toBeUndefined();
  });

  test('knows what a part of the work took, and what an interrupted run used', async () => {
    const clock = new Clock();
    const deadline = new Deadline(60, 25, clock.now);
    expect(deadline.took('graph')).toBe(0);
    const work = (): Promise<string> => {
      clock.pass(5);
      return Promise.resolve('done');
    };
    expect(await deadline.measure('graph', work)).toBe('done');
    expect([deadline.took('graph'), deadline.leftSeconds]).toEqual([5, 30]);
  });
});

const SCHEDULE = { peak: 1, warmUpSteps: 5, totalSteps: 100, floor: 0.001 };

describe('the pace of a training that is measured in between', () => {
  const limit = { seconds: 10, spentSeconds: 0, sampleRows: 1, steady: { measured: 0 } };
  const stop = { step: 40, spentSeconds: 2, plannedSteps: 80, gain: [-0.001, 0.001] } as const;

  test('keeps the rate at its peak, and lets it fall in the last third', () => {
    const steady = new TrainingPace(SCHEDULE, limit, new Clock().now);
    const falling = new TrainingPace(SCHEDULE, undefined, new Clock().now);
    const ratesOf = (pace: TrainingPace): number[] =>
      [0, 5, 50, 66, 100 - 100 / 6].map((at) => pace.rateAt(at));
    expect(ratesOf(steady)).toEqual([0.2, 1, 1, 1, expect.closeTo(0.5005, 6)]);
    expect(ratesOf(falling)).toEqual([
      0.2,
      1,
      expect.closeTo(0.541, 2),
      expect.any(Number),
      expect.any(Number),
    ]);
  });

  test('after a stop, goes through that third in half as many steps as before', () => {
    const clock = new Clock();
    const stopped = { ...limit, spentSeconds: 2, steady: { measured: 2, stop } };
    const pace = new TrainingPace(SCHEDULE, stopped, clock.now);
    expect(pace.at(40)).toBeCloseTo(100 - 100 / 3);
    expect(pace.at(50)).toBeCloseTo(100 - 100 / 6);
    expect([pace.at(60), pace.total(41)]).toEqual([100, 60]);
    clock.pass(1);
    // What is left of its time is for others.
    expect(pace.limit?.spentSeconds).toBe(3);
  });

  test('ends with its time even after a stop', () => {
    const clock = new Clock();
    const stopped = { ...limit, spentSeconds: 2, steady: { measured: 2, stop } };
    const pace = new TrainingPace(SCHEDULE, stopped, clock.now);
    clock.pass(4);
    expect(pace.at(41)).toBeCloseTo(100 - 100 / 6);
    clock.pass(4);
    expect(pace.at(42)).toBe(100);
    expect(pace.limit?.spentSeconds).toBe(10);
  });
});

test('the pace follows the time if it runs faster than the steps, and the steps if they do', () => {
  const clock = new Clock();
  const pace = new TrainingPace(SCHEDULE, { seconds: 10, spentSeconds: 0, sampleRows: 1 }, clock.now);
  expect(pace.at(0)).toBe(0);
  clock.pass(1);
  expect([pace.at(40), pace.total(40)]).toEqual([40, 100]);
  clock.pass(4);
  expect([pace.at(41), pace.total(41)]).toEqual([50, 82]);
  clock.pass(4);
  // The next step, as long as the last one, would end two seconds too late.
  expect(pace.at(42)).toBe(100);
  expect(pace.limit).toEqual({ seconds: 10, spentSeconds: 10, sampleRows: 1 });
});

describe('a training with a limit', () => {
  const rng = new Rng(5);
  const x = matrix(
    300,
    16,
    Float32Array.from({ length: 300 * 16 }, () => rng.normal()),
  );
  const options: TldrOptions = {
    loss: 'neighbourhood-kl',
    steps: 60,
    batchSize: 64,
    nNeighbors: 8,
    outputDim: 4,
    distance: 'cosine',
    seed: 3,
    threads: 1,
  };

  async function train(control: TrainControl): Promise<TrainOutcome> {
    const neighbors = await exactTopK(x, x, { k: 8, distance: 'cosine', excludeSelf: true, threads: 1 });
    return runTraining(await prepareSample(x, options), { rows: 300, k: 8, neighbors }, options, control);
  }

  /** A clock that moves on by one step's time with each report of progress. */
  function stepping(secondsAt: (step: number) => number): Pick<TrainControl, 'nowMs' | 'onProgress'> {
    const clock = new Clock();
    return { nowMs: clock.now, onProgress: ({ done }) => clock.pass(secondsAt(done)) };
  }

  const limit = { seconds: 10, spentSeconds: 0, sampleRows: 300 };

  test('has fewer steps on a slower machine, and also if it slows down in between', async () => {
    const fast = await train({ limit, ...stepping(() => 0.01) });
    const slow = await train({ limit, ...stepping(() => 0.5) });
    const slowing = await train({ limit, ...stepping((step) => (step < 10 ? 0.25 : 1.5)) });
    expect([fast.totalSteps, slow.totalSteps, slowing.totalSteps]).toEqual([60, 20, 14]);
    for (const run of [fast, slow, slowing]) {
      expect(run.finished).toBe(true);
      expect(run.network.layers).toHaveLength(1);
    }
    // Time that the steps do not need is for others.
    expect([fast, slow, slowing].map(({ state }) => state.limit?.spentSeconds)).toEqual([
      expect.closeTo(0.6, 6),
      10,
      10,
    ]);
  });

  test('without the clock it has all its steps, whatever they take', async () => {
    const { totalSteps, state } = await train(stepping(() => 100));
    expect([totalSteps, state.limit]).toEqual([60, undefined]);
  });

  test('goes on from a saved state with the rest of its time', async () => {
    const saved: TrainState[] = [];
    const onState = (state: TrainState): void => void saved.push(state);
    await train({ limit, ...stepping(() => 0.5), onState, stateEverySeconds: 3 });
    expect(saved.map(({ step }) => step)).toEqual([6, 12, 18]);
    const state = parseTrainState(serializeTrainState(saved[0]!));
    expect(state.limit).toEqual({ ...limit, spentSeconds: 3 });
    const longer = { ...limit, seconds: 1e6 };
    const resumed = await train({ limit: longer, resume: state, ...stepping(() => 0.5) });
    // Of ten seconds, seven are left for fourteen steps: the limit is that of the interrupted run.
    expect(resumed.totalSteps).toBe(20);
    const again = await train({ limit, resume: resumed.state });
    expect([again.totalSteps, again.finished]).toEqual([20, true]);
  });
});

test('a training that pauses and goes on is the same as one that does not', async () => {
  const rng = new Rng(6);
  const x = matrix(
    200,
    12,
    Float32Array.from({ length: 200 * 12 }, () => rng.normal()),
  );
  const neighbors = await exactTopK(x, x, { k: 8, distance: 'cosine', excludeSelf: true, threads: 1 });
  const options: TldrOptions = {
    loss: 'neighbourhood-kl',
    steps: 40,
    batchSize: 64,
    nNeighbors: 8,
    outputDim: 4,
    distance: 'cosine',
    seed: 3,
    threads: 1,
  };
  const prepared = await prepareSample(x, options);
  const limit = { seconds: 1000, spentSeconds: 0, sampleRows: 200, steady: { measured: 0 } };
  const run = (control: TrainControl): Promise<TrainOutcome> =>
    runTraining(prepared, { rows: 200, k: 8, neighbors }, options, { limit, ...control, nowMs: () => 0 });
  const whole = await run({});
  const first = await run({ pauseAt: 0.25 });
  expect(first).toMatchObject({ paused: true, finished: false, state: { step: 10 } });
  expect(first.network.layers).toHaveLength(1);
  const state = parseTrainState(serializeTrainState(first.state));
  expect(state.limit).toEqual(first.state.limit);
  const second = await run({ resume: state });
  expect(second).toMatchObject({ paused: false, finished: true, totalSteps: 40 });
  expect(second.network).toEqual(whole.network);
});

test('as many rows are used as fit into the time, at least 1,500', () => {
  const secondsFor = (rows: number): number => (rows / 10_000) ** 2;
  expect(rowsInTime(10_000, 1, secondsFor)).toBe(10_000);
  expect(rowsInTime(10_000, 0.5, secondsFor)).toBe(7071);
  expect(rowsInTime(10_000, 0, secondsFor)).toBe(1500);
  expect(rowsInTime(500, 0, secondsFor)).toBe(500);
});

test('a smaller sample holds the rows that are needed, and what belongs to others is gone', () => {
  const x = matrix(6, 1, Float32Array.from([0, 1, 2, 3, 4, 5]));
  const facts = { rows: 7, zeroRows: 0, duplicateRows: 1, constantDims: 0 };
  const clean = { x, rowOf: Int32Array.from([0, 1, 2, 2, 3, 4, 5]), facts };
  const fewer = withFewerRows(clean, 3, { seed: 1, needed: new Set([2, 5]) });
  expect(fewer.x.rows).toBe(3);
  expect([...fewer.x.data]).toEqual(expect.arrayContaining([2, 5]));
  fewer.rowOf.forEach((row, i) => {
    if (row >= 0) expect(fewer.x.data[row]).toBe(x.data[clean.rowOf[i]!]);
  });
  expect(new Set([...fewer.rowOf].filter((row) => row >= 0)).size).toBe(3);
  expect(withFewerRows(clean, 6, { seed: 1, needed: new Set() })).toEqual(clean);
});
