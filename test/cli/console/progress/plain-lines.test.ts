import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { openConsole } from '../../../../src/cli/console/command-output.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

test('a step that begins again is told at the rate of this time, not of all times', async () => {
  const lines: string[] = [];
  jest.spyOn(console, 'error').mockImplementation((line) => void lines.push(String(line)));
  const run = await openConsole({}, { logLevel: 'silent' });
  const at = (seconds: number, done: number): void => {
    jest.advanceTimersByTime(seconds * 1000);
    run.onProgress({ step: 'repairing', unit: 'points', done, total: 1000 });
  };
  at(0, 0);
  at(1, 300);
  at(1, 600);
  at(4, 900);
  // The next pass, faster.
  at(10, 0);
  at(1, 500);
  at(6, 980);
  run.close();
  expect(lines).toEqual([
    'repairing: 600/1000 points, 300.0/s, 2 s left',
    'repairing: 0/1000 points, 0.0/s',
    'repairing: 980/1000 points, 140.0/s, 1 s left',
  ]);
});
