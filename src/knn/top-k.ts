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
    if (this.#size < this.k) {
      this.#similarities[this.#size] = similarity;
      this.#indices[this.#size] = index;
      this.#rise(this.#size++);
    } else if (
      this.k > 0 &&
      this.#isWorse(this.#indices[0]!, this.#similarities[0]!, { index, similarity })
    ) {
      this.#similarities[0] = similarity;
      this.#indices[0] = index;
      this.#sink(0);
    }
  }

  /** Writes indices nearest first, -1 where there are fewer than k, and starts afresh. */
  drain(into: Int32Array, offset: number): void {
    into.fill(-1, offset, offset + this.k);
    while (this.#size > 0) {
      this.#size--;
      into[offset + this.#size] = this.#indices[0]!;
      this.#similarities[0] = this.#similarities[this.#size]!;
      this.#indices[0] = this.#indices[this.#size]!;
      this.#sink(0);
    }
  }

  #isWorse(index: number, similarity: number, than: { index: number; similarity: number }): boolean {
    return similarity < than.similarity || (similarity === than.similarity && index > than.index);
  }

  #worseAt(a: number, b: number): boolean {
    const than = { index: this.#indices[b]!, similarity: this.#similarities[b]! };
    return this.#isWorse(this.#indices[a]!, this.#similarities[a]!, than);
  }

  #swap(a: number, b: number): void {
    const [similarity, index] = [this.#similarities[a]!, this.#indices[a]!];
    this.#similarities[a] = this.#similarities[b]!;
    this.#indices[a] = this.#indices[b]!;
    this.#similarities[b] = similarity;
    this.#indices[b] = index;
  }

  #rise(start: number): void {
    for (let i = start; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!this.#worseAt(i, parent)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #sink(start: number): void {
    for (let i = start; ;) {
      let worst = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.#size && this.#worseAt(child, worst)) worst = child;
      }
      if (worst === i) return;
      this.#swap(i, worst);
      i = worst;
    }
  }
}
