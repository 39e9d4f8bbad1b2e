import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import type {
  PendingRewrite,
  ProjectionJob,
  RowsToCompare,
  SearchedVectors,
} from '../../../src/serve/protocol.js';
import type { ServedCollection } from '../../../src/store/served.js';
import { checkCompact, checkDim } from './rules.js';

/** A place in a request's bytes for a vector that will be known later, in the form of a transport. */
export interface SlotForm<Slot> {
  readonly create: (outputDim: number) => Slot;
  readonly write: (slot: Slot, values: Float32Array) => void;
}

/** Most vectors of one request that go into the sample of recorded queries. */
const SEARCHED_MAX = 32;
/** Most vectors of one request that are compared with the encoder's training sample. */
const COMPARED_MAX = 32;
/** Multiples of it, less their whole part, spread evenly between 0 and 1 in no period. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

/** The vectors of one request: collected first, then projected together and written into their slots. */
export class VectorSlots<Slot> {
  readonly #served: ServedCollection;
  readonly #form: SlotForm<Slot>;
  readonly #rows: Float32Array[] = [];
  readonly #slots: Slot[] = [];
  /** Rows that the client itself sent to search for. */
  readonly #searched: number[] = [];

  constructor(served: ServedCollection, form: SlotForm<Slot>) {
    this.#served = served;
    this.#form = form;
  }

  get count(): number {
    return this.#rows.length;
  }

  /** Adds a vector and returns its slot. @throws Refusal for a wrong length or values that are not finite */
  add(values: Float32Array): Slot {
    checkDim(values, this.#served);
    const slot = this.#form.create(this.#served.outputDim);
    this.#rows.push(values);
    this.#slots.push(slot);
    return slot;
  }

  /** Adds a vector that the client itself sent to search for. @throws as `add` */
  addSearched(values: Float32Array): Slot {
    const slot = this.add(values);
    this.#searched.push(this.count - 1);
    return slot;
  }

  /**
   * Returns the result of `send`, at once or as soon as the vectors are projected.
   * @param orRefusal runs a decision, and returns the answer for a Refusal of a vector that cannot be stored
   */
  filled<Result extends object>(
    as: ProjectionJob['as'],
    send: () => Result,
    orRefusal: (decide: () => Result) => Result,
  ): Result | PendingRewrite<Result> {
    if (this.count === 0) return send();
    const finish = (y: Matrix): Result =>
      orRefusal(() => {
        this.#fill(y);
        return send();
      });
    const { projector } = this.#served;
    const searched = this.#searchedVectors();
    return { projector, as, x: this.#joined(), finish, searched, toCompare: this.#rowsToCompare(as) };
  }

  /** Copies, since the vectors may lie in the memory of the request's body. Of many, evenly spaced ones. */
  #searchedVectors(): SearchedVectors | undefined {
    const all = this.#searched;
    if (this.#served.recordsQueries !== true || all.length === 0) return undefined;
    const every = Math.ceil(all.length / SEARCHED_MAX);
    const rows = all.filter((_, i) => i % every === 0).map((i) => this.#rows[i]!.slice());
    return { collection: this.#collection, rows };
  }

  /** Of many rows, one at another place in each of equally long stretches: points may come in a fixed rhythm. */
  #rowsToCompare(as: ProjectionJob['as']): RowsToCompare | undefined {
    const all = as === 'points' ? Array.from(this.#rows.keys()) : this.#searched;
    if (this.#served.comparesWithSample !== true || all.length === 0) return undefined;
    const count = Math.min(all.length, COMPARED_MAX);
    const stretch = all.length / count;
    const rows = Array.from({ length: count }, (_, i) => {
      const place = all.length === count ? 0 : (i * GOLDEN_RATIO) % 1;
      return all[Math.floor((i + place) * stretch)]!;
    });
    return { collection: this.#collection, rows, seen: all.length };
  }

  /** The configured name. */
  get #collection(): string {
    const [collection = this.#served.target] = this.#served.names;
    return collection;
  }

  /** @param y a row for each vector */
  #fill(y: Matrix): void {
    this.#slots.forEach((slot, i) => {
      const values = row(y, i);
      checkCompact(values, this.#served);
      this.#form.write(slot, values);
    });
  }

  /** Returns all vectors, n x inputDim. A single one is not copied. */
  #joined(): Matrix {
    const { inputDim } = this.#served;
    const [first] = this.#rows;
    const x = matrix(this.count, inputDim, this.count === 1 ? first : undefined);
    if (this.count === 1) return x;
    this.#rows.forEach((values, i) => x.data.set(values, i * inputDim));
    return x;
  }
}
