import { gatherRows, matrix, row, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import type { EncoderNetwork } from '../../src/encoder/network.js';
import { projectNatively } from '../../src/encoder/project-natively.js';
import { FOUND_K } from '../../src/evaluate/neighbor-recall.js';
import { rankingQuality } from '../../src/evaluate/relevance.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import { kMeansCentres, nearestCentres } from '../../src/knn/k-means.js';

/** Rows that are searched, and queries. Nothing here sees a label. */
export interface Rows {
  readonly base: Matrix;
  readonly queries: Matrix;
}

/** What is measured of a candidate without labels. */
export interface LabelFree {
  /** Share of the first hundred that the halves of the compact dimensions, at random, find both. */
  readonly compactHalves: number;
  /** Share of the rows that random halves of the full dimensions find both, among the candidate's first hundred. */
  readonly fullHalves: number;
  /** mAP@100 with clusters of the full vectors in place of labels. */
  readonly clusters: number;
  /** Share of the first hundred that one of the first results has among its own first hundred. */
  readonly coherence: number;
  /** Share of the first hundred that two encoders find both, fitted to separate halves of the rows; null if not fitted. */
  readonly removedRows: number | null;
}

/** Results of each query whose own neighbours are looked at. */
const FIRST_RESULTS = 3;
const CLUSTERS = { count: 50, iterations: 8 } as const;

/** Measures candidates without labels, on the same rows and queries. */
export class LabelFreeMeter {
  readonly #rows: Rows;
  readonly #threads: number;
  readonly #seed: number;
  #full: { readonly bothHalves: readonly ReadonlySet<number>[]; readonly clusters: Clusters } | undefined;

  constructor(rows: Rows, { threads, seed }: { readonly threads: number; readonly seed: number }) {
    this.#rows = rows;
    this.#threads = threads;
    this.#seed = seed;
  }

  /** @param halves the same candidate fitted to two separate halves of the rows, if it was */
  async measure(
    network: EncoderNetwork,
    halves: readonly [EncoderNetwork, EncoderNetwork] | null,
  ): Promise<LabelFree> {
    const compact = await this.#project(network);
    const { bothHalves, clusters } = (this.#full ??= await this.#ofFullVectors());
    const found = await this.#search(compact);
    const [a, b] = await this.#searchHalves(compact);
    return {
      compactHalves: agreement(a, b),
      fullHalves: shareFound(found, bothHalves),
      clusters: rankingQuality(found, FOUND_K, { kind: 'labels', ...clusters }).mapAt100,
      coherence: await this.#coherence(compact, found),
      removedRows: halves === null ? null : await this.#removedRows(halves),
    };
  }

  async #ofFullVectors(): Promise<{ bothHalves: ReadonlySet<number>[]; clusters: Clusters }> {
    const { base, queries } = this.#rows;
    const [a, b] = await this.#searchHalves(this.#rows);
    const bothHalves = Array.from({ length: queries.rows }, (_, q) => {
      const other = new Set(listOf(b, q));
      return new Set(listOf(a, q).filter((found) => other.has(found)));
    });
    const options = { distance: 'cosine', threads: this.#threads } as const;
    const centres = await kMeansCentres(base, { ...options, ...CLUSTERS });
    const clusters = {
      base: await nearestCentres(base, centres, options),
      queries: await nearestCentres(queries, centres, options),
    };
    return { bothHalves, clusters };
  }

  async #removedRows(halves: readonly [EncoderNetwork, EncoderNetwork]): Promise<number> {
    const [a, b] = [await this.#project(halves[0]), await this.#project(halves[1])];
    return agreement(await this.#search(a), await this.#search(b));
  }

  async #coherence({ base }: Rows, found: Int32Array): Promise<number> {
    const queries = found.length / FOUND_K;
    const first = Int32Array.from({ length: queries * FIRST_RESULTS }, (_, i) => {
      const q = Math.floor(i / FIRST_RESULTS);
      return found[q * FOUND_K + (i % FIRST_RESULTS)] ?? 0;
    });
    const theirs = await this.#search({ base, queries: gatherRows(base, first) });
    const own = new Int32Array(theirs.length);
    for (let i = 0; i < first.length; i++) own.set(listOf(found, Math.floor(i / FIRST_RESULTS)), i * FOUND_K);
    return agreement(own, theirs);
  }

  #search({ base, queries }: Rows): Promise<Int32Array> {
    return exactTopK(base, queries, { k: FOUND_K, distance: 'cosine', threads: this.#threads });
  }

  async #searchHalves(rows: Rows): Promise<readonly [Int32Array, Int32Array]> {
    const { cols } = rows.base;
    const order = new Rng(this.#seed).permutation(cols);
    const half = (kept: Int32Array): Promise<Int32Array> =>
      this.#search({ base: columns(rows.base, kept), queries: columns(rows.queries, kept) });
    return [await half(order.subarray(0, cols >> 1)), await half(order.subarray(cols >> 1))];
  }

  async #project(network: EncoderNetwork): Promise<Rows> {
    const options = { threads: this.#threads };
    return {
      base: await projectNatively(network, this.#rows.base, options),
      queries: await projectNatively(network, this.#rows.queries, options),
    };
  }
}

/** The cluster of each row and of each query. */
interface Clusters {
  readonly base: Int32Array;
  readonly queries: Int32Array;
}

const listOf = (found: Int32Array, query: number): Int32Array =>
  found.subarray(query * FOUND_K, (query + 1) * FOUND_K);

/** Share of the entries of all lists that the other list of the same query holds. */
function agreement(a: Int32Array, b: Int32Array): number {
  let shared = 0;
  for (let q = 0; q < a.length / FOUND_K; q++) {
    const other = new Set(listOf(b, q));
    shared += listOf(a, q).filter((found) => other.has(found)).length;
  }
  return shared / a.length;
}

/** Share of the wanted rows among the lists, as a mean over the queries that want some. */
function shareFound(found: Int32Array, wanted: readonly ReadonlySet<number>[]): number {
  const shares = wanted.flatMap((rows, q) =>
    rows.size === 0 ? [] : [listOf(found, q).filter((one) => rows.has(one)).length / rows.size],
  );
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function columns(x: Matrix, kept: Int32Array): Matrix {
  const out = matrix(x.rows, kept.length);
  for (let i = 0; i < x.rows; i++) {
    const [from, to] = [row(x, i), row(out, i)];
    kept.forEach((column, at) => (to[at] = from[column] ?? Number.NaN));
  }
  return out;
}
