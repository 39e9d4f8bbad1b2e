import { describe, expect, test } from '@jest/globals';
import {
  bytesAt,
  choosePlan,
  frontierOf,
  parseTarget,
  planReportRows,
  storageOf,
  type SizingRow,
  type PointBytes,
} from '../../src/plan/sizing-row.js';
import { ndcgOf, randomHalves, recallAtTen, recallPerDoubling } from '../../src/plan/recall-and-ndcg.js';

function rowOf(label: string, recall: number, changes: Partial<SizingRow> = {}): SizingRow {
  return {
    label,
    kind: 'compact',
    dim: 32,
    datatype: 'float32',
    hnswM: 16,
    oversampling: 1,
    layout: 'compact',
    sampleRecallAt10: recall,
    sampleInterval: [recall, recall],
    ndcgAt10: recall,
    recallAt10: recall,
    interval: [recall, recall],
    latencyMsP50: 1,
    latencyMsP95: 2,
    serverMsP50: null,
    prefix: null,
    ramBytes: 100,
    diskBytes: 100,
    ramBytesPerMillion: 100,
    diskBytesPerMillion: 100,
    deployable: true,
    evidence: {
      recall: new Float64Array(20).fill(recall),
      perDoubling: new Float64Array(20),
      doublings: 0,
      fitGap: null,
    },
    ...changes,
  };
}

describe('a target', () => {
  test.each([
    ['recall@10>=0.97', 0.97],
    [' recall@10 >= .9 ', 0.9],
    ['Recall@10>=97%', 0.97],
    ['recall@10>=1', 1],
  ])('%s', (text, atLeast) => {
    expect(parseTarget(text)).toEqual({ metric: 'recall@10', atLeast });
  });

  test.each(['', 'recall@10', 'recall@10>0.9', 'recall@5>=0.9', 'recall@10>=97', 'recall@10>=0', '>=0.9'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    },
  );
});

test('a storage kind is a datatype, or codes made from one', () => {
  expect(storageOf('float16')).toEqual({ datatype: 'float16', quantization: 'none' });
  expect(storageOf('scalar')).toEqual({ datatype: 'float32', quantization: 'scalar' });
  expect(storageOf('binary', 'float16')).toEqual({ datatype: 'float16', quantization: 'binary' });
});

describe('the frontier', () => {
  const cheap = rowOf('cheap', 0.8, { ramBytes: 10 });
  const good = rowOf('good', 0.9);
  const same = rowOf('same, more disk', 0.9, { diskBytes: 200 });
  const worse = rowOf('worse', 0.85, { ramBytes: 120 });
  const bytes = rowOf('cannot be made', 0.99, { ramBytes: 5, deployable: false });
  const best = rowOf('best', 1, { ramBytes: 1000, kind: 'current' });
  const rows = [best, worse, same, good, bytes, cheap];

  test('holds what nothing that can be made beats', () => {
    expect([...frontierOf(rows)]).toEqual([best, good, cheap]);
  });

  test('is marked in the rows of the report, with the chosen one', () => {
    const report = planReportRows(rows, good);
    expect(report[3]).toEqual({
      label: 'good',
      dim: 32,
      datatype: 'float32',
      oversampling: 1,
      recallAt10: 0.9,
      interval: [0.9, 0.9],
      ramBytes: 100,
      diskBytes: 100,
      latencyMs: 1,
      kind: 'compact',
      chosen: true,
      onFrontier: true,
    });
    expect(report.filter(({ chosen }) => chosen)).toHaveLength(1);
    expect(report.filter(({ onFrontier }) => onFrontier)).toHaveLength(3);
  });

  test('gives the cheapest that reaches a target, of RAM, then disk, then latency', () => {
    const target = { metric: 'recall@10', atLeast: 0.85 } as const;
    expect(choosePlan(rows, target, 0)).toMatchObject({ row: { label: 'good' }, certainty: 1, surer: null });
    const faster = rowOf('faster', 0.88, { latencyMsP50: 0.5 });
    expect(choosePlan([...rows, faster], target, 0)?.row).toBe(faster);
    expect(choosePlan(rows.slice(1), { ...target, atLeast: 0.95 }, 0)).toBeNull();
  });

  test('names a surer one where the cheapest may miss the target', () => {
    const recall = Float64Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 1 : 0.81));
    const evidence = { recall, perDoubling: new Float64Array(100), doublings: 0, fitGap: null };
    const unsure = rowOf('unsure', 0.905, { ramBytes: 20, evidence });
    const choice = choosePlan([unsure, best], { metric: 'recall@10', atLeast: 0.9 }, 0);
    expect(choice?.row).toBe(unsure);
    expect(choice!.certainty).toBeGreaterThan(0.5);
    expect(choice!.certainty).toBeLessThan(0.95);
    expect(choice!.surer).toEqual({ row: best, certainty: 1 });
  });
});

test('bytes: vectors and codes grow with the points, the index a little more, the code book not at all', () => {
  const part: PointBytes = {
    vectorBytes: 256,
    vectorInMemory: false,
    codeBytes: 68,
    codesInMemory: true,
    codeBookBytes: 1000,
    indexBytes: 40,
    indexGrowthBytes: 4,
    indexInMemory: true,
  };
  const bytes = bytesAt([part], { measuredAt: 1000, points: 4000 });
  expect(bytes.ramBytes).toBe(4000 * (68 + 40 + 2 * 4) + 1000);
  expect(bytes.diskBytes).toBe(4000 * (256 + 68 + 40 + 2 * 4) + 1000);
  expect(bytes.ramBytesPerMillion).toBeCloseTo(1e6 * (68 + 40 + 4 * Math.log2(1000)) + 1000);
  const full = { ...part, codeBytes: 0, codeBookBytes: 0, indexBytes: 4, indexGrowthBytes: 0 };
  const both = bytesAt([part, full], { measuredAt: 1000, points: 4000 });
  expect(both.ramBytes - bytes.ramBytes).toBe(4000 * 4);
  expect(both.diskBytes - bytes.diskBytes).toBe(4000 * 260);
});

describe('rankings', () => {
  const truth = Array.from({ length: 40 }, (_, i) => i);

  test('recall and order against the true one', () => {
    expect(recallAtTen(truth, [0, 1, 2, 3, 4, 50, 51])).toBe(0.5);
    expect(recallAtTen([], [1])).toBe(1);
    expect(ndcgOf(truth, truth)).toBe(1);
    expect(ndcgOf(truth, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])).toBeLessThan(1);
    expect(ndcgOf(truth, [50])).toBe(0);
    // The nearest at the second place: 10 / log2(3), of the ideal sum over all ten.
    const ideal = truth.slice(0, 10).reduce((sum, i) => sum + (10 - i) / Math.log2(i + 2), 0);
    expect(ndcgOf(truth, [50, 0])).toBeCloseTo(10 / Math.log2(3) / ideal);
  });

  test('a ranking that is right at every size does not change when the points double', () => {
    const halves = randomHalves(40, 1);
    expect(halves.every((half) => half.reduce((sum, one) => sum + one, 0) === 20)).toBe(true);
    expect(recallPerDoubling(truth, truth, { depth: 10, halves })).toBe(0);
    // Competitors before every true neighbour: half of them are gone in a half, so recall falls when doubling.
    const crowded = truth.flatMap((id) => [id + 100, id]);
    const marks = halves.map((half) => Uint8Array.from({ length: 200 }, (_, id) => half[id % 100] ?? 1));
    expect(recallPerDoubling(truth, crowded, { depth: 10, halves: marks })).toBeLessThanOrEqual(0);
  });
});
