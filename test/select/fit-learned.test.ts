import { describe, expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { matrix } from '../../src/core/matrix.js';
import { Deadline, type TimedTraining } from '../../src/train/deadline.js';
import { Rng } from '../../src/core/rng.js';
import { geometryOf } from '../../src/select/candidate.js';
import { fitClosedForms } from '../../src/select/fit-closed-forms.js';
import { fitLearned, type LearnedFits } from '../../src/select/fit-learned.js';
import type { TrainingSchedule, Start } from '../../src/select/training-schedules.js';
import { keepTime } from '../../src/select/time-budget.js';
import { splitSample } from '../../src/select/split-sample.js';

const BASE = 'neighbourhood-kl';
const DEPENDENT = 'neighbourhood-kl-residual';
const options = { dim: 4, seed: 3, threads: 1 };

function sample(): ReturnType<typeof matrix> {
  const rng = new Rng(8);
  const x = matrix(300, 16);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
  return x;
}

/** @param learningRate of the linear training; 1e300 lets its first update diverge */
const base = (learningRate: number): TrainingSchedule => ({
  name: BASE,
  init: 'pca',
  settings: { loss: 'neighbourhood-kl', learningRate, steps: 2, nNeighbors: 5 },
});

const dependent = (init: Start): TrainingSchedule => ({
  name: DEPENDENT,
  init,
  settings: { loss: 'neighbourhood-kl', encoder: 'residual-8', steps: 2, nNeighbors: 5 },
});

async function fit(
  plans: readonly TrainingSchedule[],
  asked: string | null = null,
  deadline = new Deadline(Number.POSITIVE_INFINITY),
): Promise<LearnedFits & { readonly warnings: readonly string[] }> {
  const { train } = splitSample(cleanSample(sample()), options);
  const geometry = geometryOf(train, 'cosine');
  const closed = await fitClosedForms(train, { ...options, geometry, fitQueries: null });
  const warnings: string[] = [];
  const fits = await fitLearned(train, {
    plans,
    geometry,
    axes: closed.axes,
    directions: closed.directions,
    compactDistance: 'cosine',
    isAsked: ({ name }) => name === asked,
    deadline,
    options: {
      ...options,
      log: (level, message) => {
        if (level === 'warn') warnings.push(message);
      },
    },
  });
  return { ...fits, warnings };
}

const startsOf = ({ learned }: LearnedFits): unknown => learned.map(({ plan }) => [plan.name, plan.init]);
const weightsOf = ({ learned }: LearnedFits): unknown => learned.at(-1)!.result.network;

test('a training starts from the candidate that it is planned to start from', async () => {
  const fits = await fit([base(0.001), dependent(BASE)]);
  expect(startsOf(fits)).toEqual([
    [BASE, 'pca'],
    [DEPENDENT, BASE],
  ]);
  expect(weightsOf(fits)).not.toEqual(weightsOf(await fit([dependent('pca')])));
  expect(fits.warnings).toEqual([]);
});

test.each([null, DEPENDENT])(
  'if that candidate is left out, the start that was used is recorded and the warning names it; asked for: %s',
  async (asked) => {
    const fits = await fit([base(1e300), dependent(BASE)], asked);
    expect(startsOf(fits)).toEqual([[DEPENDENT, 'pca']]);
    expect(weightsOf(fits)).toEqual(weightsOf(await fit([dependent('pca')])));
    expect(fits.warnings).toEqual([
      expect.stringMatching(
        /^neighbourhood-kl is skipped: .+\. Trained from PCA instead of neighbourhood-kl: neighbourhood-kl-residual$/,
      ),
    ]);
  },
);

test('a warning names no other training if none was to start from the candidate', async () => {
  const { warnings } = await fit([base(1e300), dependent('pca')]);
  expect(warnings).toEqual([expect.not.stringContaining(DEPENDENT)]);
});

describe('by the clock', () => {
  /** A clock that stands still until it is moved: trainings end by their steps. */
  function clockOf(budgetSeconds: number): { deadline: Deadline; pass: (seconds: number) => Promise<void> } {
    let ms = 0;
    const pass = (seconds: number): Promise<void> => {
      ms += 1000 * seconds;
      return Promise.resolve();
    };
    return { deadline: new Deadline(budgetSeconds, 0, () => ms), pass };
  }

  const timed = (plan: TrainingSchedule, timing: Partial<TimedTraining>): TrainingSchedule => ({
    ...plan,
    timed: { share: 0.5, stepSeconds: 0.05, stepsMin: 10, ...timing },
  });
  const namesOf = ({ learned }: LearnedFits): readonly string[] => learned.map(({ plan }) => plan.name);

  test('a slow first score does not take the time of the trainings', async () => {
    const { deadline, pass } = clockOf(120);
    await pass(40);
    await deadline.measure('scores', () => pass(10));
    keepTime(deadline, splitSample(cleanSample(sample()), options), { ...options, candidates: 13 });
    expect(deadline.keptSeconds).toBeLessThan(deadline.leftSeconds / 2);
    const fits = await fit([timed(base(0.001), {}), timed(dependent(BASE), {})], null, deadline);
    expect(namesOf(fits)).toEqual([BASE, DEPENDENT]);
    expect(fits.leftOut).toEqual([]);
  });

  test('a training whose share is too small is tried again with what is left at the end', async () => {
    const { deadline } = clockOf(60);
    const dear = timed(base(0.001), { share: 0.1, stepSeconds: 1 });
    const fits = await fit([dear, timed(dependent('pca'), { share: 0.9 })], null, deadline);
    expect(namesOf(fits)).toEqual([DEPENDENT, BASE]);
    expect(fits.leftOut).toEqual([]);
  });

  test('a training for which all that is left is too little is left out', async () => {
    const { deadline } = clockOf(60);
    const dear = timed(base(0.001), { share: 0.1, stepsMin: 1e9 });
    const fits = await fit([dear, timed(dependent('pca'), { share: 0.9 })], null, deadline);
    expect(namesOf(fits)).toEqual([DEPENDENT]);
    expect(fits.leftOut).toEqual([BASE]);
  });
});
