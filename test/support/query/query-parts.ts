import { Rng } from '../../../src/core/rng.js';
import type {
  ConditionJson,
  ExampleJson,
  FilterJson,
  PairJson,
  ParamsJson,
  PointId,
  QueryJson,
  RecommendJson,
  SearchJson,
} from './query-to-json.js';

/** What the generator knows of a collection. */
export interface Searched {
  /** The vector that is reduced. */
  readonly vector: string;
  readonly dim: number;
  readonly shards: number;
  /** Dimensions of other dense vectors. */
  readonly others: Readonly<Record<string, number>>;
  /** Names of sparse vectors. */
  readonly sparse: readonly string[];
  readonly ids: readonly PointId[];
  /** Scores from here to there are common. */
  readonly thresholds: readonly [number, number];
  /** Places where ids may be looked up for the reduced vector. */
  readonly lookups: readonly { readonly collection: string; readonly vector?: string }[];
}

/** Payload of the points: `n` is another number in each of them. */
export const SHELVES = 6;

/** More than any collection here has. */
export const ALL = 500;

/** Random parts of queries of one collection. */
export class QueryParts {
  protected readonly rng: Rng;
  protected readonly searched: Searched;

  constructor(seed: number, searched: Searched) {
    this.rng = new Rng(seed);
    this.searched = searched;
  }

  protected recommend(): RecommendJson {
    const strategy = this.pick([undefined, 'average_vector', 'best_score', 'sum_scores'] as const);
    const byAverage = strategy === undefined || strategy === 'average_vector';
    const positive = Array.from({ length: byAverage ? 1 + this.rng.int(3) : this.rng.int(3) }, () =>
      this.example(),
    );
    const least = positive.length === 0 ? 1 : 0;
    const negative = Array.from({ length: least + this.rng.int(3) }, () => this.example());
    return { positive, negative, ...(strategy === undefined ? {} : { strategy }) };
  }

  protected limited(): SearchJson {
    return this.some(0.8, { limit: this.pick([1, 3, 5, 10, 25, 60, 150]) });
  }

  protected filtered(share: number): SearchJson {
    if (this.rng.uniform() >= share) return {};
    const list = (): ConditionJson[] => Array.from({ length: 1 + this.rng.int(2) }, () => this.condition());
    const filter: FilterJson = this.pick([
      { must: [this.condition()] },
      { must_not: list() },
      { should: list(), must_not: [this.condition()] },
      { must: [{ should: list() }] },
    ]);
    return { filter };
  }

  protected condition(): ConditionJson {
    const { vector } = this.searched;
    return this.pick<ConditionJson>([
      { key: 'shelf', match: { value: `shelf-${this.rng.int(SHELVES)}` } },
      { key: 'n', range: { lt: 40 + this.rng.int(100) } },
      { key: 'n', range: { gte: this.rng.int(60) } },
      { key: 'rare', match: { value: true } },
      { has_id: [this.id(), this.id(), this.id(), this.id(), this.id()] },
      { has_vector: this.pick([vector, 'compact']) },
      { is_empty: { key: 'rare' } },
    ]);
  }

  protected params(): ParamsJson {
    return this.pick<ParamsJson>([
      {},
      { exact: true },
      { exact: false },
      { hnsw_ef: 64 },
      { indexed_only: true },
      { quantization: { ignore: true } },
      { quantization: { rescore: false } },
    ]);
  }

  protected orderBy(): QueryJson {
    return {
      order_by: { key: 'n', ...this.some(0.6, { direction: this.pick(['asc', 'desc'] as const) }) },
    };
  }

  protected pairs(): PairJson[] {
    return Array.from({ length: this.rng.int(3) }, () => this.pair());
  }

  protected pair(): PairJson {
    return { positive: this.example(), negative: this.example() };
  }

  protected example(): ExampleJson {
    return this.rng.uniform() < 0.5 ? this.id() : this.vector(this.searched.dim);
  }

  protected id(): PointId {
    return this.pick(this.searched.ids);
  }

  protected vector(dim: number): number[] {
    return Array.from({ length: dim }, () => Number(this.rng.normal().toFixed(3)));
  }

  protected sparse(): { readonly indices: number[]; readonly values: number[] } {
    const first = this.rng.int(5);
    return { indices: [first, first + 3, 50], values: [1, 0.37, 0.21] };
  }

  protected pick<T>(list: readonly T[]): T {
    return list[this.rng.int(list.length)]!;
  }

  /** Fields that a request may leave out. */
  protected some<T extends object>(share: number, fields: T): T | Record<string, never> {
    return this.rng.uniform() < share ? fields : {};
  }
}
