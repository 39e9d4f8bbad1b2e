import { expect, test } from '@jest/globals';
import { fullStorageAsGood, proposalsOf } from '../../src/plan/proposals.js';
import type { SizingRow } from '../../src/plan/sizing-row.js';

function row(label: string, ramBytes: number, recallAt10: number, more: Partial<SizingRow> = {}): SizingRow {
  return {
    label,
    kind: 'compact',
    dim: 8,
    datatype: 'scalar',
    hnswM: 16,
    oversampling: 4,
    layout: 'two-stage',
    sampleRecallAt10: recallAt10,
    sampleInterval: [recallAt10, recallAt10],
    recallAt10,
    interval: [recallAt10 - 0.005, recallAt10 + 0.005],
    ndcgAt10: 1,
    latencyMsP50: 1,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    deployable: true,
    evidence: {
      recall: Float64Array.of(recallAt10),
      perDoubling: Float64Array.of(0),
      doublings: 0,
      fitGap: null,
    },
    ramBytes,
    diskBytes: 100,
    ramBytesPerMillion: ramBytes,
    diskBytesPerMillion: 100,
    ...more,
  };
}

const shown = (rows: readonly SizingRow[], layout: 'compact' | 'two-stage' = 'two-stage'): unknown[] =>
  proposalsOf(rows, layout).map(({ name, row: { label }, reached }) => [name, label, reached]);

test('each proposal is the least RAM that reaches its recall', () => {
  const rows = [
    row('large', 40, 0.999),
    row('sure', 30, 0.996),
    row('not sure', 20, 0.992),
    row('enough', 15, 0.97),
    row('hardly', 10, 0.969),
    row('small', 5, 0.9),
    row('too small', 1, 0.899),
  ];
  expect(shown(rows)).toEqual([
    ['safe', 'sure', true],
    ['balanced', 'enough', true],
    ['smallest', 'small', true],
  ]);
});

test('of the same RAM, the one that finds most is proposed', () => {
  expect(shown([row('4x', 10, 0.975), row('10x', 10, 0.99)])[1]).toEqual(['balanced', '10x', true]);
});

test('where no configuration reaches the recall, the one that finds most is proposed, and says so', () => {
  expect(shown([row('a', 10, 0.8), row('b', 20, 0.95)])).toEqual([
    ['safe', 'b', false],
    ['balanced', 'b', false],
    ['smallest', 'b', true],
  ]);
});

test('only configurations that commands can make in this layout are proposed', () => {
  const rows = [
    row('compact', 1, 1, { layout: 'compact', oversampling: 1 }),
    row('bytes', 1, 1, { deployable: false }),
    row('full', 1, 1, { kind: 'full', layout: null }),
    row('two-stage', 50, 0.999),
  ];
  expect(shown(rows)).toEqual(['safe', 'balanced', 'smallest'].map((name) => [name, 'two-stage', true]));
  expect(shown(rows, 'compact')).toEqual(
    ['safe', 'balanced', 'smallest'].map((name) => [name, 'compact', true]),
  );
  expect(shown([row('full', 1, 1, { kind: 'full', layout: null })])).toEqual([]);
});

test('full vectors in the storage of the database are named if they do as well as balanced', () => {
  const full = (label: string, ram: number, recall: number): SizingRow =>
    row(label, ram, recall, { kind: 'full', layout: null });
  const compact = [row('a', 30, 0.996), row('b', 15, 0.975)];
  const named = (...fulls: SizingRow[]): string | undefined =>
    fullStorageAsGood(proposalsOf(compact, 'two-stage'), [...compact, ...fulls])?.label;
  expect(named(full('as good', 15, 0.975), full('better', 14, 0.98), full('dear', 16, 1))).toBe('better');
  expect(named(full('less', 15, 0.974), full('dear', 15.1, 0.99))).toBeUndefined();
  expect(named()).toBeUndefined();
});
