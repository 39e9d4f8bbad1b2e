import { beforeAll, describe, expect, test } from '@jest/globals';
import { cleanSample } from '../../src/core/clean-and-split-sample.js';
import { matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { createBenchmark } from '../../src/evaluate/neighbor-recall.js';
import { geometryOf, type Candidate } from '../../src/select/candidate.js';
import { fitClosedForms } from '../../src/select/fit-closed-forms.js';
import { scoreCandidates, type Judgement } from '../../src/select/score-candidates.js';
import { splitSample } from '../../src/select/split-sample.js';
import { keepTime, scoreInTime, type ScoredInTime } from '../../src/select/time-budget.js';
import { Deadline } from '../../src/train/deadline.js';

const options = { dim: 4, seed: 3, threads: 1 };
const rng = new Rng(8);
const x = matrix(
  300,
  16,
  Float32Array.from({ length: 300 * 16 }, () => rng.normal()),
);
const split = splitSample(cleanSample(x), options);
const { train, queries, objective, selectionQueries } = split;

describe('the choice by the clock', () => {
  let candidates: readonly Candidate[];
  let score: (some: readonly Candidate[]) => Promise<Judgement>;
  let whole: Judgement;

  beforeAll(async () => {
    const geometry = geometryOf(train, 'cosine');
    const closed = await fitClosedForms(train, { ...options, geometry, fitQueries: null });
    const [pca] = closed.candidates;
    const learned = ['tldr', 'neighbourhood-kl-residual'].map((name) => ({ ...pca!, name }));
    candidates = [...closed.candidates, ...learned];
    const benchmark = await createBenchmark({ base: train, queries, distance: 'cosine' }, { threads: 1 });
    const scoring = { ...options, objective, selectionQueries };
    score = (some) => scoreCandidates({ benchmark, unseen: null }, some, scoring);
    whole = await score(candidates);
  });

  /** Scores where the first score took so long, each later one so long, and so much is left of a budget of 100 seconds. */
  async function scoredWith(seconds: {
    readonly first: number;
    readonly each: number;
    readonly left: number;
  }): Promise<ScoredInTime & { readonly rounds: readonly number[] }> {
    let ms = 0;
    const deadline = new Deadline(100, 0, () => ms);
    await deadline.measure('scores', () => Promise.resolve((ms += 1000 * seconds.first)));
    keepTime(deadline, split, { ...options, candidates: candidates.length });
    ms = 1000 * (100 - seconds.left);
    const rounds: number[] = [];
    const timed = (some: readonly Candidate[]): Promise<Judgement> => {
      ms += 1000 * seconds.each * some.length;
      rounds.push(some.length);
      return score(some);
    };
    const scored = await scoreInTime(candidates, { score: timed, ship: 'prefix', deadline });
    expect(deadline.leftSeconds).toBeGreaterThanOrEqual(0);
    return { ...scored, rounds };
  }

  test('scores all candidates together if there is time for them', async () => {
    const { judgement, unscored, rounds } = await scoredWith({ first: 1, each: 1, left: 40 });
    expect({ judgement, unscored, rounds }).toEqual({
      judgement: whole,
      unscored: [],
      rounds: [candidates.length],
    });
  });

  test('scores all of them, to the same figures, if only the first score was slow', async () => {
    const { judgement, unscored, rounds } = await scoredWith({ first: 10, each: 1, left: 40 });
    expect({ judgement, unscored }).toEqual({ judgement: whole, unscored: [] });
    expect(rounds).toEqual([3, candidates.length - 3]);
  });

  test('scores what may have to be shipped, then learned candidates, if all scores are slow', async () => {
    const { judgement, unscored } = await scoredWith({ first: 10, each: 5, left: 30 });
    const kept = ['pca-uncentred', 'pca', 'prefix', 'tldr', 'neighbourhood-kl-residual'];
    const isKept = ({ candidate: { name } }: Judgement['selection'][number]): boolean => kept.includes(name);
    expect(judgement).toEqual({
      selection: whole.selection.filter(isKept),
      confirmation: whole.confirmation.filter(isKept),
    });
    expect(unscored).toEqual(candidates.map(({ name }) => name).filter((name) => !kept.includes(name)));
  });
});
