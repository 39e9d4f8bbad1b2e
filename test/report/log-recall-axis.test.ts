import { describe, expect, test } from '@jest/globals';
import { logRecallAxis, type LogRecallAxis } from '../../src/report/log-recall-axis.js';

const PIXELS = 380;

function axisOf(
  recalls: readonly number[],
  intervals: readonly (readonly [number, number])[] = [],
): LogRecallAxis {
  return logRecallAxis(recalls, intervals, PIXELS);
}

function tickLabels({ ticks, format }: LogRecallAxis): string[] {
  return ticks.map(format);
}

describe('logRecallAxis', () => {
  test('gives the recalls near 1 more room than those below', () => {
    const { height, domain } = axisOf([0.6, 0.9, 0.99, 0.999]);
    expect(height(0.999) - height(0.99)).toBeCloseTo(height(0.99) - height(0.9), 6);
    expect(height(0.99) - height(0.9)).toBeGreaterThan(2 * (height(0.9) - height(0.8)));
    expect(domain[0]).toBeLessThanOrEqual(height(0.6));
    expect(domain[1]).toBeGreaterThanOrEqual(height(0.999));
  });

  test('draws a recall of 1 at the top, and says so', () => {
    const axis = axisOf([0.9, 0.99, 1]);
    expect(axis.height(1)).toBe(axis.domain[1]);
    expect(tickLabels(axis).at(-1)).toBe('1');
  });

  test('labels its top by its recall if no recall lies above', () => {
    expect(tickLabels(axisOf([0.9, 0.985])).at(-1)).toBe('0.99');
    expect(tickLabels(axisOf([0.9, 0.99])).at(-1)).toBe('0.99');
  });

  test('covers the lower ends of the intervals', () => {
    const axis = axisOf([0.92], [[0.74, 0.99]]);
    expect(axis.height(0.74)).toBeGreaterThan(axis.domain[0]);
    expect(axis.height(0.74)).toBeLessThan(axis.height(0.92));
  });

  test.each([
    ['all are found', [1, 1]],
    ['nothing is found', [0]],
    ['nothing and everything', [0, 1]],
    ['there are none', []],
    ['a recall is not finite', [0.9, Number.NaN]],
  ])('has a range and ticks where %s', (_what, recalls) => {
    const axis = axisOf(recalls);
    expect(axis.domain[1]).toBeGreaterThan(axis.domain[0]);
    expect(axis.ticks.length).toBeGreaterThan(0);
    for (const recall of recalls.filter((one) => Number.isFinite(one)))
      expect(Number.isFinite(axis.height(recall))).toBe(true);
  });

  test('keeps the labels of its ticks apart', () => {
    const axis = logRecallAxis([0.2, 0.9997], [], 200);
    const perUnit = 200 / (axis.domain[1] - axis.domain[0]);
    const gaps = axis.ticks.slice(1).map((tick, i) => (tick - axis.ticks[i]!) * perUnit);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(22);
  });
});
