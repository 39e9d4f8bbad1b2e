import { expect, test } from '@jest/globals';
import { plansForBudget, type BudgetFacts } from '../../src/select/training-schedules.js';

const facts: BudgetFacts = {
  aim: 'fidelity',
  rows: 10_000,
  inputDim: 512,
  directions: 256,
  outputDim: 64,
  threads: 2,
  budgetSeconds: 120,
  byClock: false,
  linearOnly: false,
  refitRows: null,
  compactDistance: 'cosine',
  pcaRecall: 0.7,
  fitQueries: 0,
};

const namesOf = (changed: Partial<BudgetFacts>): string[] =>
  plansForBudget({ ...facts, ...changed }).plans.map(({ name }) => name);

test('the second fit of the chosen candidate has its part of the budget', () => {
  const stepsOf = (refitRows: number | null): number[] =>
    plansForBudget({ ...facts, refitRows }).plans.map(({ settings }) => settings.steps ?? 0);
  const [alone, reserved] = [stepsOf(null), stepsOf(facts.rows)];
  // The longest training has four fifths of the steps, and the second fit a third as many again.
  const longest = alone.indexOf(Math.max(...alone));
  expect(reserved[longest]! * (4 / 3)).toBeLessThanOrEqual(alone[longest]! * 1.07);
  expect(reserved[longest]!).toBeGreaterThan(alone[longest]! * 0.7);
});

test('the second fit of a blend, which trains both of its parts, has its part of the budget', () => {
  const stepsOf = (refitRows: number | null): number =>
    plansForBudget({ ...facts, aim: 'relevance', refitRows }).plans.find(({ name }) => name === 'tldr-mlp')!
      .settings.steps!;
  // Both parts have 15 and 45 hundredths of the time: a third of that is a fifth as much again.
  expect(stepsOf(1) * 1.2).toBeLessThanOrEqual(stepsOf(null) * 1.01);
  expect(stepsOf(1) * 1.2).toBeGreaterThan(stepsOf(null) * 0.95);
});

test("the default budget has room for TLDR's three encoders", () => {
  const { plans, leftOut } = plansForBudget(facts);
  expect(leftOut).toEqual([]);
  expect(plans.map(({ name, init, settings }) => [name, init, settings.encoder ?? 'linear'])).toEqual([
    ['neighbourhood-kl', 'pca', 'linear'],
    ['neighbourhood-kl-residual', 'neighbourhood-kl', 'residual-1024'],
    ['tldr', 'pca', 'linear'],
    ['tldr-flinear', 'random', 'flinear-1-512'],
    ['tldr-mlp', 'random', 'mlp-1-512'],
  ]);
});

test('queries to fit to get half of the time; without them, no candidate needs them', () => {
  const [without, queried] = [0, 300].map(
    (fitQueries) => plansForBudget({ ...facts, fitQueries, budgetSeconds: 170 }).plans,
  );
  const steps = (plans: typeof without, name: string): number =>
    plans!.find((plan) => plan.name === name)!.settings.steps!;
  expect(without!.some(({ queries }) => queries)).toBe(false);
  expect(queried!.slice(0, without!.length).map(({ name }) => name)).toEqual(
    without!.map(({ name }) => name),
  );
  expect(queried!.slice(without!.length).map(({ name, init, queries }) => [name, init, queries])).toEqual([
    ['neighbourhood-kl-queries', 'neighbourhood-kl', true],
    ['neighbourhood-kl-residual-queries', 'neighbourhood-kl-queries', true],
  ]);
  const residual = 'neighbourhood-kl-residual';
  expect(steps(queried, residual) / steps(without, residual)).toBeCloseTo(0.5, 2);
  expect(steps(queried, `${residual}-queries`)).toBeGreaterThan(steps(queried, residual));
});

test('for the dot product, only the linear map is fitted to queries, at the rate for dot products', () => {
  const dot = { ...facts, linearOnly: true, compactDistance: 'dot' as const, fitQueries: 300 };
  const { plans } = plansForBudget(dot);
  expect(plans.map(({ name }) => name)).toEqual(['neighbourhood-kl', 'tldr', 'neighbourhood-kl-queries']);
  expect(plans[2]!.settings.learningRate).toBe(plans[0]!.settings.learningRate);
  expect(plans[0]!.settings.learningRate).toBe(0.003);
});

test('for relevance, TLDR gets the time that neighbourhood-KL gets for fidelity', () => {
  const stepsOf = (aim: BudgetFacts['aim']): Map<string, number> =>
    new Map(plansForBudget({ ...facts, aim }).plans.map(({ name, settings }) => [name, settings.steps ?? 0]));
  const [fidelity, relevance] = [stepsOf('fidelity'), stepsOf('relevance')];
  expect([...relevance.keys()]).toEqual([...fidelity.keys()]);
  expect(relevance.get('tldr-mlp')).toBeGreaterThanOrEqual(200);
  expect(relevance.get('tldr')).toBeGreaterThanOrEqual(200);
  expect(relevance.get('neighbourhood-kl-residual')).toBeLessThan(fidelity.get('neighbourhood-kl-residual')!);
});

test('a budget too small for the hidden encoders of TLDR leaves them out and says so', () => {
  const { plans, leftOut } = plansForBudget({ ...facts, budgetSeconds: 10 });
  expect(leftOut).toEqual(['tldr-flinear', 'tldr-mlp']);
  expect(plans.map(({ name }) => name)).toEqual(['neighbourhood-kl', 'neighbourhood-kl-residual', 'tldr']);
});

test('dot products of unequal vectors get linear maps alone', () => {
  expect(namesOf({ linearOnly: true, compactDistance: 'dot' })).toEqual(['neighbourhood-kl', 'tldr']);
});

test('more budget never means fewer steps of a candidate', () => {
  const stepsAt = (budgetSeconds: number): Map<string, number> =>
    new Map(
      plansForBudget({ ...facts, budgetSeconds }).plans.map(({ name, settings }) => [
        name,
        settings.steps ?? 0,
      ]),
    );
  const [small, large] = [stepsAt(60), stepsAt(240)];
  expect(small.size).toBeGreaterThan(2);
  for (const [name, steps] of small) expect(large.get(name)).toBeGreaterThanOrEqual(steps);
});

test('candidates whose weights take too much memory are left out by name', () => {
  const widest = { ...facts, inputDim: 65_536, budgetSeconds: 1e6 };
  expect(plansForBudget(widest).tooWide).toEqual(['neighbourhood-kl-residual']);
  expect(plansForBudget({ ...facts, inputDim: 4096, outputDim: 4095, budgetSeconds: 1e6 }).tooWide).toEqual(
    [],
  );
});
