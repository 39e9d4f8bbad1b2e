/**
 * Keeps the k nearest rows of one query in a binary heap with the worst row on top. If two rows are equally
 * similar, the lower index wins. Results therefore do not depend on the order of the blocks.
 */
export class TopK {
  readonly #similarities: Float64Array;
  readonly #indices: Int32Array;
  #size = 0;

  constructor(readonly k: number) {
    this.#similarities = new Float64Array(k);
    this.#indices = new Int32Array(k);
  }

  /** The similarity that a row must reach to be among the k nearest so far. */
  get threshold(): number {
    return this.#size < this.k ? -Infinity : this.#similarities[0]!;
  }

  /** Keeps a row if it is among the k nearest so far; larger similarity is nearer. */
  push(index: number, similarity: number): void {
    if (this.#size < this.k) this.#rise(this.#size++, index, similarity);
    else if (this.k > 0 && !this.#isWorse(index, similarity, 0)) this.#sink(index, similarity);
  }

  /** Writes the k indices, nearest first, -1 if there are fewer, and empties the heap. */
  drain(into: Int32Array, offset: number): void {
    into.fill(-1, offset, offset + this.k);
    while (this.#size > 0) {
      const last = --this.#size;
      into[offset + last] = this.#indices[0]!;
      this.#sink(this.#indices[last]!, this.#similarities[last]!);
    }
  }

  /** Whether a row is worse than the row at position `at` of the heap. */
  #isWorse(index: number, similarity: number, at: number): boolean {
    const other = this.#similarities[at]!;
    return similarity < other || (similarity === other && index > this.#indices[at]!);
  }

  /** Inserts a row at the last position and moves it up to its place in the heap. */
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

  /** Replaces the top by a row and moves that row down to its place in the heap. */
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
