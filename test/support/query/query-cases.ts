import type {
  ExampleJson,
  ExpressionJson,
  LegacyJson,
  QueryCase,
  QueryJson,
  ResultJson,
  SearchJson,
  StageJson,
} from './query-to-json.js';
import { ALL, QueryParts } from './query-parts.js';

/** A stage, and what the points that it returns are like. */
interface Made {
  readonly stage: StageJson;
  /** `distinct` scores order the points; `tied` ones leave the order to the server; `none` say nothing. */
  readonly scores: 'distinct' | 'tied' | 'none';
  readonly kinds: readonly string[];
}

/** The server's limit for a stage that names none. */
const DEFAULT_LIMIT = 10;

/** Queries of every form at any depth; a seed gives the same ones again. */
export class QueryCases extends QueryParts {
  /** A query whose prefetches reach as deep as said. */
  query(depth: number): QueryCase {
    const form = this.pick(['one', 'one', 'one', 'batch', 'groups'] as const);
    const count = form === 'batch' ? 1 + this.rng.int(4) : 1;
    const made = Array.from({ length: count }, () => this.#request(depth, form === 'groups'));
    return {
      call: 'query',
      form,
      requests: made.map(({ request }) => request),
      ties: made.some(({ ties }) => ties),
      kinds: made.flatMap(({ kinds }) => kinds),
    };
  }

  /** A request of the older search calls. */
  legacy(): QueryCase {
    const call = this.pick(['search', 'recommend', 'discover'] as const);
    const form = this.pick(
      call === 'discover' ? (['one', 'batch'] as const) : (['one', 'batch', 'groups'] as const),
    );
    const count = form === 'batch' ? 1 + this.rng.int(4) : 1;
    const made = Array.from({ length: count }, () => this.#legacyRequest(call, form === 'groups'));
    return {
      call,
      form,
      requests: made.map(({ request }) => request),
      kinds: [`older ${call} ${form}`],
      ties: made.some(({ ties }) => ties),
    };
  }

  #request(
    depth: number,
    grouped: boolean,
  ): { request: StageJson & ResultJson; ties: boolean; kinds: readonly string[] } {
    const made = this.#stage(depth, { root: true, grouped });
    // Groups are ordered by their best scores, which must say who is first.
    if (grouped && made.scores !== 'distinct') return this.#request(depth, grouped);
    const { stage, scores, kinds } = made;
    const ordered = scores === 'distinct';
    const results = this.#results(grouped, scores !== 'none');
    // Of points of one score the server returns those that it likes: the comparison knows.
    const all = ordered ? {} : { limit: scores === 'tied' ? this.pick([5, 25, ALL]) : ALL };
    // The first kind is that of the root.
    const skipping =
      (results.offset ?? 0) > 0 ? kinds.slice(0, 1).map((kind) => `${kind} with an offset`) : [];
    return {
      request: { ...stage, ...results, ...all },
      ties: !ordered,
      kinds: [...kinds.map((kind) => `${kind} ${depth}`), ...skipping],
    };
  }

  #results(grouped: boolean, scored: boolean): ResultJson {
    return {
      // The calls for groups have no offset: over REST the server ignores one.
      ...(scored ? this.some(0.3, { offset: this.rng.int(30) }) : {}),
      ...this.some(0.4, { with_payload: this.pick([true, false, ['n'], ['shelf', 'rare']]) }),
      ...this.some(0.3, { with_vector: this.pick([true, false, [this.searched.vector]]) }),
      ...(grouped ? { group_by: this.pick(['shelf', 'shelf', 'n']) } : {}),
      ...(grouped ? this.some(0.7, { group_size: 1 + this.rng.int(5) }) : {}),
      ...(grouped ? this.some(0.2, { with_lookup: { collection: 'plain' } }) : {}),
    };
  }

  /** What only stages with other stages below them are, what only those without, and what both may be. */
  #stage(depth: number, { root, grouped }: { readonly root: boolean; readonly grouped: boolean }): Made {
    if (depth === 0) return this.#leaf();
    const count = 1 + this.rng.int(3);
    const depths = Array.from({ length: count }, (_, i) => (i === 0 ? depth - 1 : this.rng.int(depth)));
    const inner = depths.map((below) => this.#stage(below, { root: false, grouped }));
    const kinds = inner.flatMap((one) => one.kinds);
    const made = this.#above(inner, root);
    return {
      ...made,
      stage: { prefetch: inner.map(({ stage }) => stage), ...made.stage },
      kinds: [...made.kinds, ...kinds],
    };
  }

  /** A stage that works on what others return. */
  #above(inner: readonly Made[], root: boolean): Made {
    const distinct = inner.every(({ scores }) => scores === 'distinct');
    const scored = inner.every(({ scores }) => scores !== 'none');
    const choice = this.pick([
      'compare',
      'compare',
      'order by',
      ...(distinct ? ['fusion', 'fusion', 'rrf', 'dbsf'] : []),
      ...(scored ? ['formula'] : []),
      'sample',
      ...(root ? [] : ['compare']),
    ]);
    switch (choice) {
      case 'fusion':
        return this.#fusion({ fusion: 'rrf' }, 'rrf', { inner, root });
      case 'rrf':
        return this.#fusion({ rrf: this.some(0.7, { k: 1 + this.rng.int(90) }) }, 'rrf of parameters', {
          inner,
          root,
        });
      case 'dbsf':
        return this.#fusion({ fusion: 'dbsf' }, 'dbsf', { inner, root });
      case 'formula':
        return {
          stage: {
            query: this.#formula(inner.length),
            ...this.limited(),
            ...this.filtered(0.2),
            ...this.#threshold([-0.2131, 0.9137]),
          },
          scores: 'distinct',
          kinds: ['formula'],
        };
      case 'sample':
        return {
          stage: { query: { sample: 'random' }, limit: ALL, ...this.filtered(0.2) },
          scores: 'none',
          kinds: ['sample'],
        };
      case 'order by':
        return {
          stage: { query: this.orderBy(), ...this.limited(), ...this.#threshold([0.5, 40.5]) },
          scores: 'distinct',
          kinds: ['order by'],
        };
      default:
        return this.#comparing(true);
    }
  }

  /** A fusion. A limit below the number of points cuts some of one score at random, unless no two share one. */
  #fusion(
    query: QueryJson,
    kind: string,
    { inner, root }: { readonly inner: readonly Made[]; readonly root: boolean },
  ): Made {
    // Ranks of one list differ, but each shard has its own list. Normalized scores hardly ever agree.
    const distinct = kind === 'dbsf' || (inner.length === 1 && this.searched.shards === 1);
    const stage = {
      query,
      ...(distinct ? this.limited() : root ? this.some(0.3, { limit: ALL }) : this.#cutOrAll()),
      ...this.filtered(0.2),
      ...this.#threshold([0.0123, 0.3137]),
    };
    const { limit = DEFAULT_LIMIT } = stage;
    const kinds = root || limit === ALL ? [kind] : [kind, `cut nested ${kind}`];
    return { stage, scores: distinct ? 'distinct' : 'tied', kinds };
  }

  /** Mostly a limit that returns all points. The original decides whether a lower one has one answer. */
  #cutOrAll(): SearchJson {
    return this.rng.uniform() < 0.7 ? { limit: ALL } : this.limited();
  }

  /** A threshold that no score is close to. */
  #threshold(thresholds: readonly number[]): SearchJson {
    return this.some(0.2, { score_threshold: this.pick(thresholds) });
  }

  #leaf(): Made {
    const choice = this.rng.uniform();
    if (choice < 0.06)
      return {
        stage: { query: this.orderBy(), ...this.limited(), ...this.filtered(0.4) },
        scores: 'distinct',
        kinds: ['order by'],
      };
    if (choice < 0.1)
      return { stage: { limit: ALL, ...this.filtered(0.4) }, scores: 'none', kinds: ['no query'] };
    if (choice < 0.14)
      return {
        stage: { query: { sample: 'random' }, limit: ALL, ...this.filtered(0.4) },
        scores: 'none',
        kinds: ['sample'],
      };
    if (choice < 0.22) return this.#comparingOther();
    return this.#comparing(false);
  }

  /** A search of the vector that is reduced. */
  #comparing(above: boolean): Made {
    const { vector, thresholds, lookups } = this.searched;
    const [query, kind] = this.#similarity();
    const [low, high] = thresholds;
    const isContext = kind === 'context';
    const stage: StageJson = {
      query,
      ...(vector === '' ? this.some(0.2, { using: '' }) : { using: vector }),
      ...(isContext ? { limit: ALL } : this.limited()),
      ...this.filtered(0.3),
      ...this.some(0.15, { score_threshold: Number((low + this.rng.uniform() * (high - low)).toFixed(3)) }),
      ...this.some(above ? 0.1 : 0.25, { params: this.params() }),
      ...this.some(0.15, { lookup_from: this.pick(lookups) }),
    };
    return { stage, scores: isContext ? 'tied' : 'distinct', kinds: [kind] };
  }

  /** A search of a vector that is as it was; of the reduced one where there is no other. */
  #comparingOther(): Made {
    const { others, sparse } = this.searched;
    const using = [...Object.keys(others), ...sparse];
    if (using.length === 0) return this.#comparing(false);
    const name = this.pick(using);
    const dim = others[name];
    const nearest = dim === undefined ? this.sparse() : this.pick([this.vector(dim), this.id()]);
    return {
      stage: { query: { nearest }, using: name, ...this.limited(), ...this.filtered(0.3) },
      scores: 'distinct',
      kinds: ['another vector'],
    };
  }

  #similarity(): readonly [QueryJson, string] {
    const choice = this.pick([
      'nearest',
      'nearest',
      'mmr',
      'mmr',
      'recommend',
      'recommend',
      'discover',
      'context',
    ] as const);
    switch (choice) {
      case 'nearest':
        return [{ nearest: this.example() }, 'nearest'];
      case 'mmr': {
        const mmr = {
          ...this.some(0.7, { diversity: this.pick([0, 0.1, 0.5, 0.75, 1]) }),
          ...this.some(0.7, { candidates_limit: this.pick([1, 3, 7, 20, 60, 300]) }),
        };
        return [{ nearest: this.example(), mmr }, 'mmr'];
      }
      case 'recommend': {
        const recommend = this.recommend();
        return [{ recommend }, `recommend by ${recommend.strategy ?? 'default'}`];
      }
      case 'discover':
        return [{ discover: { target: this.example(), context: this.pairs() } }, 'discover'];
      case 'context':
        return [{ context: [this.pair(), ...this.pairs()] }, 'context'];
    }
  }

  #formula(sources: number): QueryJson {
    const score = (i: number): ExpressionJson => (i === 0 ? '$score' : `$score[${i}]`);
    const weighted = Array.from({ length: sources }, (_, i): ExpressionJson => ({
      mult: [score(i), 1 + i / 2],
    }));
    // No two points have the same sum.
    const formula: ExpressionJson = {
      sum: [...weighted, { mult: [0.0137, 'n'] }, this.pick([0.5, { neg: 0.25 }, this.condition()])],
    };
    const defaults = Object.fromEntries(weighted.map((_, i) => [`$score[${i}]`, i / 8] as const));
    return { formula, ...(sources > 1 || this.rng.uniform() < 0.5 ? { defaults } : {}) };
  }

  #legacyRequest(
    call: 'search' | 'recommend' | 'discover',
    grouped: boolean,
  ): { request: LegacyJson; ties: boolean } {
    const { vector, lookups, thresholds } = this.searched;
    const contextAlone = call === 'discover' && this.rng.uniform() < 0.2;
    const [low, high] = thresholds;
    const common: SearchJson & ResultJson = {
      ...this.some(0.9, { limit: this.rng.uniform() < 0.05 ? 0 : 1 + this.rng.int(40) }),
      ...this.filtered(0.3),
      ...this.some(0.25, { params: this.params() }),
      ...(call === 'discover'
        ? {}
        : this.some(0.2, {
            score_threshold: Number((low + this.rng.uniform() * (high - low)).toFixed(3)),
          })),
      ...this.#results(grouped, true),
      ...(grouped ? this.some(0.9, { group_size: this.rng.int(6) }) : {}),
      ...(contextAlone ? { limit: ALL } : {}),
    };
    const named = vector === '' ? {} : { using: vector };
    const looked = this.some(0.2, { lookup_from: this.pick(lookups) });
    const example = (): ExampleJson => this.example();
    if (call === 'search') return { request: { ...common, vector: this.#searchedVector() }, ties: false };
    if (call === 'recommend')
      return { request: { ...common, ...named, ...looked, ...this.recommend() }, ties: false };
    const pairs = contextAlone ? [this.pair(), ...this.pairs()] : this.pairs();
    const context = pairs.length > 0 || this.rng.uniform() < 0.5 ? { context: pairs } : {};
    const target = contextAlone ? {} : { target: example() };
    return { request: { ...common, ...named, ...looked, ...target, ...context }, ties: contextAlone };
  }

  #searchedVector(): NonNullable<LegacyJson['vector']> {
    const { vector, dim, others, sparse } = this.searched;
    if (vector === '') return this.vector(dim);
    const name = this.pick([vector, vector, vector, vector, ...Object.keys(others), ...sparse]);
    if (sparse.includes(name)) return { name, vector: this.sparse() };
    return { name, vector: this.vector(others[name] ?? dim) };
  }
}
