import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { overallLine, progressLine } from '../../../../src/cli/console/progress/line.js';

const copying = { step: 'copying', done: 45_000, total: 100_000, unit: 'points' };
const pace = { perSecond: 1234, secondsLeft: 125 };

test.each([
  [59, 'copying  [=======---------]   45 %  1,234/s  2 min 5 s left'],
  [79, 'copying  [=====--------]   45 %  1,234/s  2 min 5 s left  45,000/100,000 points'],
  [
    119,
    'copying  [=======================------------------------------]   45 %  1,234/s  2 min 5 s left  45,000/100,000 points',
  ],
])('a line of %i columns is full', (columns, line) => {
  expect(progressLine(copying, pace, columns)).toBe(line);
  expect(line).toHaveLength(columns);
});

test('percentage, rate and remaining time stand whole in 59 columns or more', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 59, max: 240 }),
      fc.record({
        step: fc.string({ minLength: 1, maxLength: 80, unit: 'grapheme-ascii' }),
        done: fc.integer({ min: 0, max: 1e9 }),
        total: fc.integer({ min: 1, max: 1e9 }),
        unit: fc.constant('points'),
      }),
      fc.record({
        perSecond: fc.double({ min: 0, max: 1e7, noNaN: true }),
        secondsLeft: fc.option(fc.integer({ min: 0, max: 1e6 })),
      }),
      (columns, progress, paceOf) => {
        const line = progressLine(progress, paceOf, columns);
        expect(line.length).toBeLessThanOrEqual(columns);
        expect(line).toMatch(/\[[=-]{6,}\] +\d+ % {2}[\d,.]+\/s {2}(-|\d+ (s|min \d+ s|h \d+ min)) left/);
      },
    ),
  );
});

test('a step of unknown length has no bar', () => {
  const line = progressLine({ ...copying, total: Number.POSITIVE_INFINITY }, pace, 79);
  expect(line).toBe('copying  45,000 points  1,234/s');
});

test.each([
  [{ stage: 3, of: 5, secondsLeft: 118 }, 'step 3 of 5, about 2 min left'],
  [{ stage: 3, of: 5, secondsLeft: 0.2 }, 'step 3 of 5, about 5 s left'],
  [{ stage: 3, of: 5, secondsLeft: 54 }, 'step 3 of 5, about 55 s left'],
  [{ stage: 3, of: 5, secondsLeft: 57 }, 'step 3 of 5, about 1 min left'],
  [{ stage: 3, of: 5, secondsLeft: 3 * 3600 }, 'step 3 of 5, about 3 h left'],
  [{ stage: 3, of: 5, secondsLeft: null }, 'step 3 of 5'],
  [{ stage: 1, of: 1, secondsLeft: 118 }, null],
  [null, null],
])('%j', (state, line) => {
  expect(overallLine(state)).toBe(line);
});
