import { describe, expect, test } from '@jest/globals';
import { recommendedWithin } from '../../src/plan/memory-budgets.js';
import { choosePlan, type SizingRow } from '../../src/plan/sizing-row.js';

function row(
  kind: SizingRow['kind'],
  {
    recall,
    ram,
    rescored = 1,
  }: { readonly recall: number; readonly ram: number; readonly rescored?: number },
): SizingRow {
  return {
    label: `${kind} ${recall}`,
    kind,
    dim: 8,
    datatype: kind === 'current' ? 'as configured' : 'binary-2bit',
    hnswM: 16,
    oversampling: rescored,
    layout: null,
    sampleRecallAt10: recall,
    sampleInterval: [recall, recall],
    recallAt10: recall,
    interval: [recall, recall],
    ndcgAt10: recall,
    latencyMsP50: 1,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    ramBytes: ram,
    diskBytes: 1,
    ramBytesPerMillion: ram,
    diskBytesPerMillion: 1,
    deployable: true,
    evidence: {
      recall: new Float64Array(20).fill(recall),
      perDoubling: new Float64Array(20),
      doublings: 0,
      fitGap: null,
    },
  };
}

const own = row('full', { recall: 0.95, ram: 100 });
const target = { metric: 'recall@10', atLeast: 0.9 } as const;

describe('a compact configuration is recommended', () => {
  test.each([
    ['if it needs half the memory', { recall: 0.95, ram: 50 }],
    ['if it needs half the memory for the target, though full vectors find more', { recall: 0.91, ram: 50 }],
  ])('for a target %s', (_name, values) => {
    const compact = row('compact', values);
    expect(choosePlan([own, compact], target, 0)).toMatchObject({ row: compact, passedOver: null });
  });

  test('for a target if another one finds two points more in the same memory', () => {
    const compact = row('compact', { recall: 0.92, ram: 80 });
    const better = row('compact', { recall: 0.97, ram: 100 });
    expect(choosePlan([own, compact, better], target, 0)).toMatchObject({ row: compact, passedOver: null });
  });

  test('for an amount of memory if it finds two points more, or if as good a one needs half', () => {
    const more = row('compact', { recall: 0.97, ram: 110 });
    expect(recommendedWithin([own, more], 120)).toEqual({ row: more, passedOver: null });
    const little = row('compact', { recall: 0.955, ram: 110 });
    const half = row('compact', { recall: 0.95, ram: 50 });
    expect(recommendedWithin([own, little, half], 120)).toEqual({ row: little, passedOver: null });
  });

  test('if full vectors only reach it with more oversampling', () => {
    const rescored = { ...own, oversampling: 10 };
    const compact = row('compact', { recall: 0.92, ram: 90, rescored: 4 });
    expect(choosePlan([rescored, compact], target, 0)).toMatchObject({ row: compact, passedOver: null });
  });
});

describe("the database's own storage of full vectors is recommended", () => {
  const compact = row('compact', { recall: 0.965, ram: 51 });

  test('for a target if a compact space gains less', () => {
    expect(choosePlan([own, compact], target, 0)).toMatchObject({
      row: own,
      certainty: 1,
      passedOver: compact,
    });
  });

  test('for an amount of memory if a compact space gains less', () => {
    expect(recommendedWithin([own, compact], 120)).toEqual({ row: own, passedOver: compact });
  });

  test('whether it changes something or is the collection as it is', () => {
    const current = row('current', { recall: 1, ram: 101 });
    expect(choosePlan([current, compact], target, 0)?.row).toBe(current);
  });

  test('although a configuration that cannot be made, or that rescores more, gains enough', () => {
    const unmade = { ...row('compact', { recall: 0.99, ram: 40 }), deployable: false };
    const rescored = row('compact', { recall: 0.99, ram: 90, rescored: 10 });
    expect(choosePlan([own, compact, unmade, rescored], target, 0)?.row).toBe(own);
  });

  test('without a note if it is best anyway', () => {
    const weak = row('compact', { recall: 0.8, ram: 40 });
    expect(recommendedWithin([own, weak], 100)).toEqual({ row: own, passedOver: null });
    expect(recommendedWithin([own], 100)).toEqual({ row: own, passedOver: null });
    expect(recommendedWithin([own, compact], 10)).toBeNull();
  });
});
