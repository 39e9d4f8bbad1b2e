import { expect, test } from '@jest/globals';
import { row } from '../../src/core/matrix.js';
import { VectorSample } from '../../src/serve/vector-sample.js';

const vector = (i: number): Float32Array => Float32Array.of(i, -i);

function heldBy(sample: VectorSample): number[] {
  const x = sample.held();
  return Array.from({ length: x.rows }, (_, i) => row(x, i)[0]!);
}

test('holds everything up to its size, and leaves out vectors of other dimensions and those that training refuses', () => {
  const sample = new VectorSample({ cols: 2, rowsMax: 5, seed: 1 });
  for (let i = 0; i < 5; i++) sample.add(vector(i));
  sample.add(Float32Array.of(1));
  sample.add(Float32Array.of(1, 1e16));
  sample.merge({ rows: [Float32Array.of(-1e16, 1)], seen: 1 });
  expect(heldBy(sample)).toEqual([0, 1, 2, 3, 4]);
  expect(sample.seen).toBe(5);
});

test('each vector is as likely to be held, also if some come as samples of others', () => {
  const counts = [0, 0, 0];
  for (let seed = 0; seed < 600; seed++) {
    const sample = new VectorSample({ cols: 2, rowsMax: 30, seed });
    for (let i = 0; i < 100; i++) sample.add(vector(0));
    const part = new VectorSample({ cols: 2, rowsMax: 20, seed: seed + 1000 });
    for (let i = 0; i < 100; i++) part.add(vector(1));
    sample.merge(part.take());
    expect(part.seen).toBe(0);
    for (let i = 0; i < 100; i++) sample.add(vector(2));
    expect(sample.seen).toBe(300);
    for (const kind of heldBy(sample)) counts[kind]!++;
  }
  for (const count of counts) expect(Math.abs(count - 6000)).toBeLessThan(300);
});
