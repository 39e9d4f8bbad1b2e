import { describe, expect, test } from '@jest/globals';
import {
  DEFAULT_TERMS,
  depthsOf,
  judgeTerms,
  needsLatency,
  needsRelevance,
  parseTerms,
} from '../../src/evaluate/acceptance.js';
import type { FormReport } from '../../src/evaluate/fidelity.js';

const form: FormReport = {
  name: 'compact',
  dim: 8,
  recall: [{ k: 10, mean: 0.9, interval: [0.8, 1], median: 0.95, min: 0.4, p5: 0.7 }],
  topOne: 0.8,
  rankCorrelation: null,
  scoreShift: null,
  latencyMs: { p50: 1, p95: 2, p99: 3 },
  quality: { mapAt100: 0.3, ndcgAt10: 0.4, mrrAt10: Number.NaN, judgedQueries: 5 },
};
const passedBy = (text: string): boolean[] => judgeTerms(parseTerms(text), form).map(({ passed }) => passed);

test('the default terms are the published terms', () => {
  expect(
    parseTerms(DEFAULT_TERMS).map(({ metric, comparison, bound }) => [metric, comparison, bound]),
  ).toEqual([
    ['top1', '>=', 0.8],
    ['recall@10', '>=', 0.7],
    ['recall@10', '>=', 0.85],
    ['median@10', '>=', 0.9],
    ['min@10', '>=', 0.5],
    ['p5@10', '>=', 0.6],
  ]);
  expect(passedBy(DEFAULT_TERMS)).toEqual([true, true, true, true, false, true]);
});

test('terms are compared as written: percent, any spelling, all four comparisons', () => {
  expect(passedBy('recall@10>=90%, Recall@10 > 0.9, min<.5, p5@10 <= 0.7')).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(passedBy('latency-p95<=2, latency-p99<3, map@100>=0.3, ndcg@10>0.5')).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

test('what was not measured fails', () => {
  expect(judgeTerms(parseTerms('tau>=0, recall@50>=0, mrr@10>=0'), form)).toMatchObject([
    { value: null, passed: false },
    { value: null, passed: false },
    { value: null, passed: false },
  ]);
});

test('what the terms speak about is known beforehand', () => {
  const terms = parseTerms('top1>=0.5, recall@3>=0.5, median>=0.5, map@100>=0');
  expect(depthsOf(terms)).toEqual([3, 10]);
  expect([needsRelevance(terms), needsLatency(terms)]).toEqual([true, false]);
  expect(needsLatency(parseTerms('latency-p50<=9'))).toBe(true);
});

describe('refuses', () => {
  test.each([
    ['', '"" is no acceptance term'],
    ['recall@10', '"recall@10" is no acceptance term'],
    ['recall@10>=x', 'for example recall@10>=0.9'],
    ['recal@10>=0.9', 'recal@10 is no measure: expected one of top1, top10, recall@K'],
    ['recall@0>=0.9', 'recall@0 is no measure'],
    ['map@10>=0.9', 'map@10 is no measure'],
    ['min>=0.4,', '"" is no acceptance term'],
    ['docs', '"docs" is no acceptance term'],
  ])('%j', (text, message) => {
    expect(() => parseTerms(text)).toThrow(message);
  });
});
