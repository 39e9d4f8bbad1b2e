/** The whole state of a generator, plain data for checkpoints. */
export interface RngState {
  readonly words: readonly [number, number, number, number];
  /** The second value of the last normal pair, not handed out yet. */
  readonly spareNormal: number | null;
}

/** The largest seed: a generator uses its lowest 32 bits only. */
export const SEED_MAX = 0xffffffff;

/**
 * Seeded random numbers: xoshiro128** (Blackman and Vigna 2018), seeded by splitmix32.
 * Same seed, same sequence, on every machine.
 */
export class Rng {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;
  #spareNormal: number | null = null;

  constructor(seed: number) {
    let s = seed >>> 0;
    const next = (): number => {
      s = (s + 0x9e3779b9) >>> 0;
      let z = s;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    [this.#a, this.#b, this.#c, this.#d] = [next(), next(), next(), next()];
  }

  /** A generator that continues the sequence from a saved state. */
  static fromState(state: RngState): Rng {
    const rng = new Rng(0);
    [rng.#a, rng.#b, rng.#c, rng.#d] = state.words;
    rng.#spareNormal = state.spareNormal;
    return rng;
  }

  state(): RngState {
    return { words: [this.#a, this.#b, this.#c, this.#d], spareNormal: this.#spareNormal };
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const b = this.#b;
    const x5 = Math.imul(b, 5);
    const result = Math.imul((x5 << 7) | (x5 >>> 25), 9) >>> 0;
    const t = b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1) with 53 random bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 67108864 + (this.uint32() >>> 6)) / 9007199254740992;
  }

  /** A whole number in [0, bound). */
  int(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal, by the polar method (Marsaglia 1964). */
  normal(): number {
    if (this.#spareNormal !== null) {
      const spare = this.#spareNormal;
      this.#spareNormal = null;
      return spare;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s >= 1 || s === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(s)) / s);
      this.#spareNormal = v * scale;
      return u * scale;
    }
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle(values: Int32Array): void {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const kept = values[i]!;
      values[i] = values[j]!;
      values[j] = kept;
    }
  }

  /** 0 to n-1 in random order. */
  permutation(n: number): Int32Array {
    const values = Int32Array.from({ length: n }, (_, i) => i);
    this.shuffle(values);
    return values;
  }
}
