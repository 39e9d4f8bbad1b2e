import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { Log } from '../../src/core/run-options.js';
import { DriftMeter, type DriftCount, type SampleComparison } from '../../src/serve/drift-meter.js';
import { DriftReport } from '../../src/serve/drift-report.js';

const WINDOW_MS = 600_000;
const FIRST = 'a';

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] }));
afterEach(() => void jest.useRealTimers());

/** Vectors with a negative first component are far. */
const comparison = (encoder: string): SampleComparison => ({
  encoder,
  expectedShare: 0.05,
  farFromSample: ({ data, cols, rows }) =>
    Uint8Array.from({ length: rows }, (_, i) => Number(data[i * cols]! < 0)),
});

const sumOf = (counts: readonly DriftCount[], key: 'compared' | 'far'): number =>
  counts.reduce((sum, count) => sum + count[key], 0);

/** Lets comparisons that are under way end. */
async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('of many collections, a second compares a bounded number of vectors, and each has its turn', async () => {
  const counts: DriftCount[] = [];
  const meter = new DriftMeter((count) => counts.push(count));
  const names = Array.from({ length: 10 }, (_, i) => `docs${i}`);
  meter.use(new Map(names.map((name) => [name, comparison(FIRST)])));
  const add = (): void => {
    for (const collection of names)
      for (let request = 0; request < 20; request++)
        meter.add({
          collection,
          encoder: FIRST,
          as: 'points',
          rows: Array.from({ length: 4 }, (_, i) => Float32Array.of(i % 2 === 0 ? -1 : 1, request)),
          seen: 4,
        });
  };
  for (let second = 1; second <= 3; second++) {
    add();
    jest.advanceTimersByTime(1000);
    await settled();
    expect(sumOf(counts, 'compared')).toBe(128 * second);
  }
  expect(new Set(counts.map(({ collection }) => collection))).toEqual(new Set(names));
  expect(sumOf(counts, 'far') / sumOf(counts, 'compared')).toBeGreaterThan(0.35);
  expect(sumOf(counts, 'far') / sumOf(counts, 'compared')).toBeLessThan(0.65);
  await meter.close();
});

test('vectors of another encoder than the one in use are left out, and the end compares what waits', async () => {
  const counts: DriftCount[] = [];
  const meter = new DriftMeter((count) => counts.push(count));
  meter.use(new Map([['docs', comparison(FIRST)]]));
  const rows = [Float32Array.of(-1), Float32Array.of(1)];
  meter.add({ collection: 'docs', encoder: 'b', as: 'queries', rows, seen: 2 });
  meter.add({ collection: 'others', encoder: FIRST, as: 'queries', rows, seen: 2 });
  meter.add({ collection: 'docs', encoder: FIRST, as: 'queries', rows, seen: 2 });
  await meter.close();
  expect(counts).toEqual([{ collection: 'docs', as: 'queries', compared: 2, far: 1, expectedShare: 0.05 }]);
});

test('the log has a line for each ten minutes with enough vectors, a warning above the threshold', () => {
  const lines: unknown[] = [];
  const log: Log = (level, message, fields) => lines.push({ level, message, ...fields });
  const report = new DriftReport({ log, alert: 0.1 });
  const add = (as: DriftCount['as'], compared: number, far: number): void =>
    report.add({ collection: 'docs', as, compared, far, expectedShare: 0.05 });
  add('points', 60, 6);
  jest.advanceTimersByTime(WINDOW_MS);
  expect(lines).toEqual([]);
  add('points', 60, 7);
  add('queries', 200, 20);
  jest.advanceTimersByTime(WINDOW_MS);
  expect(lines).toMatchObject([
    { level: 'warn', kind: 'points', compared: 120, far: 13, driftAlert: 0.1 },
    { level: 'info', kind: 'queries', compared: 200, far: 20, share: 0.1 },
  ]);
  report.alert = 0.05;
  add('queries', 200, 20);
  report.close();
  expect(lines.slice(2)).toMatchObject([{ level: 'warn', kind: 'queries' }]);
});
