import { describe, expect, test } from '@jest/globals';
import { PlanBudget, secondsPerSize } from '../../src/plan/plan-budget.js';

const DIMS = [16, 32, 64];

/** A budget of 100 seconds, and how its clock is moved. */
function budgetOf(deterministic: boolean): { budget: PlanBudget; pass: (seconds: number) => void } {
  let ms = 0;
  const budget = new PlanBudget({ budgetSeconds: 100, deterministic }, () => ms);
  return { budget, pass: (seconds) => void (ms += 1000 * seconds) };
}

describe('with a deadline', () => {
  test('the sizes share what is left for trainings', () => {
    const { budget, pass } = budgetOf(false);
    expect(budget.secondsForSize(DIMS, { dims: DIMS })).toBeCloseTo(55 / 3);
    pass(15);
    expect(budget.secondsForSize(DIMS.slice(1), { dims: DIMS })).toBeCloseTo(20);
    pass(20);
    expect(budget.secondsForSize(DIMS.slice(2), { dims: DIMS })).toBeCloseTo(20);
    expect(budget.notes).toEqual([]);
  });

  test('larger sizes are left out if the smallest one used up the time, and a note says so', () => {
    const { budget, pass } = budgetOf(false);
    pass(200);
    expect(budget.secondsForSize(DIMS, { dims: DIMS })).toBe(1);
    pass(30);
    expect(budget.secondsForSize(DIMS.slice(1), { dims: DIMS })).toBeNull();
    expect(budget.secondsForSize(DIMS.slice(2), { dims: DIMS })).toBeNull();
    expect(budget.hasTimeToRotate('16 scalar')).toBe(false);
    expect(budget.hasTimeForGaps()).toBe(false);
    const measured = { points: 500, queries: 20, leftOut: ['64 halfvec', '64 vector'] };
    budget.noteMeasured(measured, { points: 4000, queries: 20 });
    const why = 'since no time was left of the budget';
    expect(budget.notes).toEqual([
      `not trained and measured, ${why}: 32, 64 dimensions`,
      `no rotation was tried, ${why}: 16 scalar`,
      `not indexed and measured, ${why}: 64 halfvec; 64 vector`,
      `the loss among points that nothing was fitted to was not measured, ${why}`,
      `measured on 500 of 4,000 sample points, ${why}`,
    ]);
  });
});

test('without a deadline nothing is left out, however long it takes', () => {
  const { budget, pass } = budgetOf(true);
  pass(1e6);
  expect(DIMS.map((_, i) => budget.secondsForSize(DIMS.slice(i), { dims: DIMS }))).toEqual([33, 33, 33]);
  expect([budget.hasTimeToRotate('16 scalar'), budget.hasTimeForGaps()]).toEqual([true, true]);
  expect(budget.notes).toEqual([]);
  expect(secondsPerSize({}, { dims: DIMS })).toBe(80);
  expect(secondsPerSize({ deterministic: false }, { dims: DIMS })).toBe(66);
});
