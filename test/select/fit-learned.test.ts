import { expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { matrix } from '../../src/core/matrix.js';
import { Deadline } from '../../src/train/deadline.js';
import { Rng } from '../../src/core/rng.js';
import { geometryOf } from '../../src/select/candidate.js';
import { fitClosedForms } from '../../src/select/fit-closed-forms.js';
import { fitLearned, type LearnedFits } from '../../src/select/fit-learned.js';
import type { TrainingSchedule, Start } from '../../src/select/training-schedules.js';
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
    deadline: new Deadline(Number.POSITIVE_INFINITY),
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
