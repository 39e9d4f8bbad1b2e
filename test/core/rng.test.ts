import { describe, expect, test } from '@jest/globals';
import { Rng } from '../../src/core/rng.js';

/** xoshiro128** 1.1 and its seeding, written down again in 64-bit arithmetic from the published description. */
function referenceSequence(seed: number, count: number): number[] {
  const mask = 0xffff_ffffn;
  let s = BigInt(seed >>> 0);
  const split = (): bigint => {
    s = (s + 0x9e3779b9n) & mask;
    let z = s;
    z = ((z ^ (z >> 16n)) * 0x21f0aaadn) & mask;
    z = ((z ^ (z >> 15n)) * 0x735a2d97n) & mask;
    return z ^ (z >> 15n);
  };
  const state = [split(), split(), split(), split()] as [bigint, bigint, bigint, bigint];
  const rotate = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & mask;
  return Array.from({ length: count }, () => {
    const result = (rotate((state[1] * 5n) & mask, 7n) * 9n) & mask;
    const t = (state[1] << 9n) & mask;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate(state[3], 11n);
    return Number(result);
  });
}

describe('Rng', () => {
  test('is xoshiro128** seeded by splitmix32', () => {
    for (const seed of [0, 1, 42, 0xffff_ffff]) {
      const rng = new Rng(seed);
      expect(Array.from({ length: 200 }, () => rng.uint32())).toEqual(referenceSequence(seed, 200));
    }
  });

  test('goes on from a saved state exactly, the spare normal included', () => {
    const rng = new Rng(9);
    rng.normal();
    const saved = Rng.fromState(JSON.parse(JSON.stringify(rng.state())) as ReturnType<Rng['state']>);
    const next = (from: Rng): number[] => [from.normal(), from.uniform(), from.int(10), from.normal()];
    expect(next(saved)).toEqual(next(rng));
  });

  test('has the moments of the distributions it names', () => {
    const rng = new Rng(3);
    const n = 40_000;
    const uniform = Array.from({ length: n }, () => rng.uniform());
    const normal = Array.from({ length: n }, () => rng.normal());
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / n;
    expect(mean(uniform)).toBeCloseTo(0.5, 2);
    expect(Math.abs(mean(normal))).toBeLessThan(0.02);
    expect(Math.abs(mean(normal.map((value) => value * value)) - 1)).toBeLessThan(0.03);
    expect(uniform.every((value) => value >= 0 && value < 1)).toBe(true);
  });

  test('permutes: every index once, all positions reached', () => {
    const rng = new Rng(5);
    const firsts = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const order = rng.permutation(7);
      expect([...order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
      firsts.add(order[0]!);
    }
    expect(firsts.size).toBe(7);
  });
});
