import { expect, test } from '@jest/globals';
import { candidateLabel } from '../../../src/cli/train/candidate-names.js';
import { BLENDS } from '../../../src/select/blend-candidates.js';
import { CLOSED_FORMS } from '../../../src/select/fit-closed-forms.js';
import { LEARNED } from '../../../src/select/training-schedules.js';
import { PREVIOUS } from '../../../src/select/warm-start.js';

const NAMES = [...CLOSED_FORMS, ...LEARNED, ...BLENDS, PREVIOUS];

test('every candidate has a plain name of its own', () => {
  const labels = NAMES.map((name) => candidateLabel(name));
  expect(new Set(labels).size).toBe(NAMES.length);
  for (const [i, label] of labels.entries()) {
    expect(label).not.toBe(NAMES[i]);
    expect(label).not.toMatch(/-/);
  }
});

test('the technical name is shown if asked for', () => {
  expect(NAMES.map((name) => candidateLabel(name, true))).toEqual(NAMES);
});
