import { expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { OverallProgress } from '../../../../src/cli/console/progress/overall.js';
import {
  COMPARISON_STAGES,
  COPY_STAGES,
  planStages,
  trainStages,
} from '../../../../src/cli/console/progress/stages.js';

const two = (seconds: number | null): OverallProgress =>
  new OverallProgress({
    stages: [
      { steps: /^copying$/, weight: 3 },
      { steps: /^verifying$/, weight: 1 },
    ],
    seconds,
  });

test('the following stages take as long as their weight says, at the pace of this run', () => {
  const overall = two(null);
  expect(overall.see('copying', null, 0)).toEqual({ stage: 1, of: 2, secondsLeft: null });
  // A third is copied in 10 seconds: 20 are left, and the verification takes a third of the 30.
  expect(overall.see('copying', 20, 10_000)?.secondsLeft).toBeCloseTo(30);
  expect(overall.see('verifying', 4, 36_000)).toEqual({ stage: 2, of: 2, secondsLeft: 4 });
});

test('a stage that has just begun says nothing about the rest', () => {
  const overall = two(null);
  overall.see('copying', null, 0);
  expect(overall.see('copying', 99, 1_000)?.secondsLeft).toBeNull();
});

test('a time that was planned tells from the start', () => {
  const overall = two(40);
  expect(overall.see('copying', null, 0)?.secondsLeft).toBe(40);
  expect(overall.see('copying', 2, 10_000)?.secondsLeft).toBe(30);
  // Longer than planned: the step's own pace counts.
  expect(overall.see('copying', 25, 31_000)?.secondsLeft).toBe(35);
});

test('as a step of another command, it counts that one’s steps and the time after it', () => {
  const part = (secondsAfter: number | null): OverallProgress =>
    new OverallProgress({
      stages: [{ steps: /^copying$/, weight: 1 }],
      seconds: null,
      within: { step: 5, of: 7, secondsAfter },
    });
  expect(part(60).see('copying', 20, 0)).toEqual({ stage: 5, of: 7, secondsLeft: 80 });
  expect(part(null).see('copying', 20, 0)).toEqual({ stage: 5, of: 7, secondsLeft: null });
  expect(part(60).see('copying', null, 0)).toEqual({ stage: 5, of: 7, secondsLeft: null });
});

test('a command never goes back to an earlier stage', () => {
  const overall = two(null);
  overall.see('verifying', 10, 0);
  expect(overall.see('copying', 10, 1_000)?.stage).toBe(2);
  expect(overall.see('unheard of', 10, 1_000)?.stage).toBe(2);
});

test('before the first known step there is nothing to say', () => {
  expect(two(null).see('unheard of', 1, 0)).toBeNull();
});

/** Steps of commands with a single stage, which need no line for the whole. */
const ALONE: readonly string[] = ['loading'];

test('every step that the product reports belongs to a stage of some command', () => {
  const stages = [trainStages(120), planStages(), COPY_STAGES, COMPARISON_STAGES].flatMap(
    (command) => command.stages,
  );
  const reported = ['src', 'adapters'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) =>
        [...readFileSync(`${folder}/${file}`, 'utf8').matchAll(/\bstep: (['`])([a-z][^A-Z]*?)\1[,} ]/g)].map(
          ([, , step = '']) => step.replaceAll(/\$\{.*?\}/g, 'x'),
        ),
      ),
  );
  expect(reported.length).toBeGreaterThan(15);
  const unknown = reported.filter((step) => !stages.some(({ steps }) => steps.test(step)));
  expect(unknown.filter((step) => !ALONE.includes(step))).toEqual([]);
});
