/**
 * Keeps the k best candidates of one query while similarities come in, in a binary heap with the worst on top.
 * Among equal similarities the lower index wins, so that results do not depend on the order of blocks.
 */
export class TopK {
  readonly #similarities: Float64Array;
  readonly #indices: Int32Array;
  #size = 0;

  constructor(readonly k: number) {
    this.#similarities = new Float64Array(k);
    this.#indices = new Int32Array(k);
  }

  /** Similarity that a candidate must reach to be looked at. */
  get threshold(): number {
    return this.#size < this.k ? -Infinity : this.#similarities[0]!;
  }

  /** Offers a candidate; larger similarity is nearer. */
  push(index: number, similarity: number): void {
    if (this.#size < this.k) this.#rise(this.#size++, index, similarity);
    else if (this.k > 0 && !this.#isWorse(index, similarity, 0)) this.#sink(index, similarity);
  }

  /** Writes indices nearest first, -1 where there are fewer than k, and starts afresh. */
  drain(into: Int32Array, offset: number): void {
    into.fill(-1, offset, offset + this.k);
    while (this.#size > 0) {
      const last = --this.#size;
      into[offset + last] = this.#indices[0]!;
      this.#sink(this.#indices[last]!, this.#similarities[last]!);
    }
  }

  /** Whether a candidate is worse than the one at a place of the heap. */
  #isWorse(index: number, similarity: number, at: number): boolean {
    const other = this.#similarities[at]!;
    return similarity < other || (similarity === other && index > this.#indices[at]!);
  }

  /** Puts a candidate where it belongs between the last place and the top. */
  #rise(last: number, index: number, similarity: number): void {
    let i = last;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isWorse(index, similarity, parent)) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#similarities[i] = similarity;
    this.#indices[i] = index;
  }

  /** Puts a candidate where it belongs below the top, which it replaces. */
  #sink(index: number, similarity: number): void {
    let i = 0;
    for (let child = 1; child < this.#size; child = 2 * i + 1) {
      const right = child + 1;
      const worse =
        right < this.#size && this.#isWorse(this.#indices[right]!, this.#similarities[right]!, child)
          ? right
          : child;
      if (this.#isWorse(index, similarity, worse)) break;
      this.#move(worse, i);
      i = worse;
    }
    this.#similarities[i] = similarity;
    this.#indices[i] = index;
  }

  #move(from: number, to: number): void {
    this.#similarities[to] = this.#similarities[from]!;
    this.#indices[to] = this.#indices[from]!;
  }
}
