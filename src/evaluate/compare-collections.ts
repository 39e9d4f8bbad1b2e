import type { Distance } from '../core/distance.js';
import type { Encoder } from '../encoder/model.js';
import { expectDefined, isTldrError, messageOf, TldrError } from '../core/errors.js';
import { checkFinite, row, rowRange } from '../core/matrix.js';
import type { PointId } from '../core/point-id.js';
import { compactSearch, rescoredSearch, type ProjectedTarget } from '../store/projected-search.js';
import { RequestPacer, roughTime } from '../core/request-pacer.js';
import type { RunOptions } from '../core/run-options.js';
import type { VectorSource } from '../store/vector-source.js';
import type { ScoredPoint } from '../store/search.js';
import type { RequestLimits } from '../core/request-pacer.js';
import type { MemoryEstimate } from '../store/storage.js';
import { sendQueries, IdNumbers, type Asking, type Form, type QuerySet } from './send-queries.js';
import { exampleQueries, type ExampleQueryResults } from './example-queries.js';
import { exactByScan } from './exact-by-scan.js';
import {
  fidelity,
  headlineK,
  recallPerQuery,
  withoutQueries,
  type FormReport,
  type Latency,
  type Quality,
  type RankedLists,
} from './fidelity.js';
import { judgementsOfExistingPoints, type JudgedPoints } from './judgements-of-existing-points.js';
import { stratify, valuesOfPoints, type Strata } from './payload-strata.js';
import { rankingQuality, RELEVANCE_DEPTHS, type Relevance } from './relevance.js';
import type { PerQuery } from '../core/recall-per-query.js';

/** Input and options of `compareCollections`. */
export interface CompareCollectionsOptions extends RunOptions {
  readonly source: {
    readonly store: VectorSource;
    readonly collection: string;
    readonly vectorName: string;
    readonly distance: Distance;
  };
  readonly target: ProjectedTarget & { readonly store: VectorSource; readonly collection: string };
  /** The encoder of the target; the caller has compared the fingerprints. */
  readonly encoder: Encoder;
  readonly queries: QuerySet;
  /** Each k (count of results). Each has its own searches: the limit affects how an HNSW index searches. */
  readonly ks: readonly number[];
  /** First-stage results that the two-stage layout rescores. */
  readonly rescore: number;
  readonly seed: number;
  /** Payload field by whose values the queries are grouped. */
  readonly by?: string | undefined;
  /** Number of example queries whose results are returned (default: 0). */
  readonly examples?: number | undefined;
  /** For each query, the gain of points by id. */
  readonly qrels?: readonly ReadonlyMap<PointId, number>[] | undefined;
}

/** The result of comparing a full collection and its compact form. */
export interface CollectionComparison {
  readonly queries: number;
  readonly storedPoints: boolean;
  readonly ks: readonly number[];
  readonly headlineK: number;
  readonly rescore: number | null;
  readonly seed: number;
  /** The source as configured, the compact search and, in the two-stage layout, the rescored search. */
  readonly forms: readonly FormReport[];
  /** Name of the form that clients of the target get. */
  readonly served: string;
  /** Recall of each query at `headlineK`, by form. */
  readonly perQuery: readonly PerQuery[];
  /** Ranking quality of exact search with the full vectors; null without qrels. */
  readonly exactQuality: Quality | null;
  /** Counts of the points that are relevant by the qrels, and of those that exist; null without qrels. */
  readonly relevantPoints: JudgedPoints | null;
  readonly points: { readonly source: number; readonly target: number };
  /** Estimated, not measured. */
  readonly bytes: { readonly source: MemoryEstimate | null; readonly target: MemoryEstimate | null };
  readonly strata: Strata | null;
  /** First the queries with the lowest recall at `headlineK` in the served form, then others at random. */
  readonly examples: readonly ExampleQueryResults[];
}

/**
 * Sends the same queries to both collections and compares the results. The true results are those of exact
 * search with the source's full vectors. Latency includes the projection. It is measured one query at a time,
 * and the forms take turns at going first.
 * @throws MISMATCH when queries and encoder have different dimensions
 * @throws INVALID_ARGUMENT for unusable numbers of results or qrels
 * @throws INVALID_DATA when there are no usable queries, nothing is found, or no relevant point of the qrels
 * exists
 * @throws any error of the stores
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration, enc.onnx
 * import { compareCollections, Encoder } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const sample = await store.sample('docs', { vectorName: '', size: 50 });
 * const comparison = await compareCollections({
 *   source: { store, collection: 'docs', vectorName: '', distance: 'cosine' },
 *   target: { store, collection: 'docs_small', layout: 'two-stage', vector: '', compact: 'compact' },
 *   encoder: await Encoder.load('enc.onnx'),
 *   queries: sample,
 *   ks: [10],
 *   rescore: 50,
 *   seed: 1,
 * });
 * console.table(comparison.forms);
 * await store.close();
 * ```
 */
export async function compareCollections(options: CompareCollectionsOptions): Promise<CollectionComparison> {
  const { source, target, queries, ks, rescore, seed, by } = options;
  checkQueries(options);
  const judged = options.qrels === undefined ? null : await judgementsOfExistingPoints(source, options.qrels);
  const qrels = judged?.gains;
  const k = headlineK(ks);
  const ids = new IdNumbers();
  const turns = await turnsOf(options);
  const forms = formsOf(options, turns);
  const asking = { ...options, qrels, ids };
  const depth = Math.max(...ks, qrels === undefined ? 0 : RELEVANCE_DEPTHS.map);
  const truth = await exactLists(options, depth, { ...asking, turns: turns.source });
  checkTruth(truth, source);
  const found = forms.map(() => new Map<number, RankedLists>());
  let latencies: readonly Latency[] = [];
  for (const at of ks) {
    const answers = await sendQueries(forms, at, { ...asking, step: `searching, limit ${at}` });
    answers.lists.forEach((lists, f) => found[f]!.set(at, lists));
    if (at === k) latencies = answers.latencies;
  }
  const qualities = await judgeQualities(forms, truth, asking);
  const comparable = [true, sameScores(source.distance, options.encoder.metadata.compactDistance), true];
  const served = forms.at(-1)!.name;
  const perQuery = forms.map(({ name }, f) => ({
    name,
    values: recallPerQuery(found[f]!.get(k)!, truth, { k }),
  }));
  const points = {
    source: await source.store.count(source.collection),
    target: await target.store.count(target.collection),
  };
  return {
    queries: queries.vectors.rows,
    storedPoints: queries.ids !== null,
    ks,
    headlineK: k,
    rescore: target.layout === 'two-stage' ? rescore : null,
    seed,
    forms: forms.map(({ name, dim }, f) => ({
      name,
      dim,
      ...fidelity(found[f]!, truth, { seed, comparableScores: comparable[f]! }),
      latencyMs: latencies[f]!,
      quality: qualities.forms[f] ?? null,
    })),
    served,
    perQuery,
    exactQuality: qualities.exact,
    relevantPoints: judged?.points ?? null,
    points,
    bytes: {
      source: await estimateOf(source, points.source),
      target: await estimateOf(target, points.target),
    },
    examples: exampleQueries(
      { truth, found: found.at(-1)!.get(k)!, recall: perQuery.at(-1)!.values },
      { count: options.examples ?? 0, seed, queries: queries.ids, ids: (number) => ids.id(number) },
    ),
    strata:
      by === undefined
        ? null
        : stratify(await valuesPerQuery(by, truth, asking), {
            field: by,
            of: queries.ids === null ? 'first true result' : 'query point',
            k,
            served,
            recall: new Map(perQuery.map(({ name, values }) => [name, values])),
          }),
  };
}

function checkQueries({ queries, encoder, ks, qrels }: CompareCollectionsOptions): void {
  const { vectors } = queries;
  if (vectors.cols !== encoder.inputDim) {
    throw new TldrError(
      'MISMATCH',
      `the query vectors are ${vectors.cols}-d, the encoder expects ${encoder.inputDim}-d`,
    );
  }
  if (vectors.rows === 0) throw new TldrError('INVALID_DATA', 'there are no queries');
  checkFinite(vectors, (i) => `query ${i}`);
  if (ks.length === 0 || ks.some((k) => !Number.isSafeInteger(k) || k < 1)) {
    throw new TldrError('INVALID_ARGUMENT', `k: got [${ks.join(', ')}], expected whole numbers from 1`);
  }
  if (qrels !== undefined && qrels.length !== vectors.rows) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `qrels of ${qrels.length} queries, but ${vectors.rows} query vectors`,
    );
  }
}

/** @throws INVALID_DATA when no query has a true result, since any search would then have full recall */
function checkTruth(
  { rows }: RankedLists,
  { collection, vectorName }: CompareCollectionsOptions['source'],
): void {
  if (rows.some((row) => row >= 0)) return;
  throw new TldrError(
    'INVALID_DATA',
    `exact search of ${collection} found nothing for any query: expected points with the vector "${vectorName}" other than the queries`,
  );
}

interface Place {
  readonly store: VectorSource;
  readonly collection: string;
}

/** Returns the expected memory of a collection; null if the store does not know it. */
async function estimateOf({ store, collection }: Place, points: number): Promise<MemoryEstimate | null> {
  return store.storage?.estimate(await store.describe(collection), points) ?? null;
}

/** Returns the limits on requests to a collection. A store without such limits allows everything. */
function limitsOf({ store, collection }: Place): Promise<RequestLimits> {
  return store.load?.limits(collection) ?? Promise.resolve({ results: Infinity, readsPerMinute: Infinity });
}

interface SideTurns {
  readonly source: RequestPacer;
  readonly target: RequestPacer;
}

/** The rate limits of both collections; warns if the comparison will take long because of them. */
async function turnsOf(options: CompareCollectionsOptions): Promise<SideTurns> {
  const { source, target, queries, ks, log } = options;
  const limits = {
    source: await limitsOf(source),
    target: await limitsOf(target),
  };
  const searches = queries.vectors.rows * (ks.length + 1);
  const perMinute = Math.min(limits.source.readsPerMinute, limits.target.readsPerMinute);
  if (searches > 2 * perMinute)
    log?.(
      'warn',
      `strict mode allows ${perMinute} reads a minute, so about ${searches} searches of each collection take ${roughTime(searches / perMinute)}`,
      { hint: 'fewer-queries' },
    );
  return {
    source: new RequestPacer(limits.source.readsPerMinute),
    target: new RequestPacer(limits.target.readsPerMinute),
  };
}

/**
 * The results of exact search. If the store does not allow it at this depth, all vectors are read instead.
 */
async function exactLists(
  options: CompareCollectionsOptions,
  depth: number,
  asking: Asking & { readonly turns: RequestPacer },
): Promise<RankedLists> {
  const { source, queries, encoder, log } = options;
  const ask = async (form: Form): Promise<RankedLists> =>
    (await sendQueries([form], depth, { ...asking, step: 'exact search' })).lists[0]!;
  try {
    return await ask(exactForm(options, asking.turns));
  } catch (error) {
    if (!isTldrError(error, 'UNSUPPORTED')) throw error;
    log?.('warn', `reading all of ${source.collection} to find exact neighbours: ${messageOf(error)}`);
  }
  const lists = await exactByScan(source, queries.vectors, { ...asking, limit: depth + 1 });
  const answer = (q: number, limit: number): Promise<readonly ScoredPoint[]> =>
    Promise.resolve(expectDefined(lists[q], 'the neighbours of a query').slice(0, limit));
  return ask({
    name: 'exact',
    dim: encoder.inputDim,
    ask: answer,
    turns: new RequestPacer(Infinity),
    refusals: () => 0,
  });
}

function exactForm({ source, queries, encoder }: CompareCollectionsOptions, turns: RequestPacer): Form {
  const { store, collection, vectorName } = source;
  return {
    name: 'exact',
    dim: encoder.inputDim,
    turns,
    refusals: () => store.load?.rateLimitCount() ?? 0,
    ask: (q, limit) =>
      store.search(collection, { vectorName, vector: row(queries.vectors, q), limit, exact: true }),
  };
}

function formsOf(
  { source, target, encoder, queries, rescore }: CompareCollectionsOptions,
  turns: SideTurns,
): Form[] {
  const full = (q: number): Float32Array => row(queries.vectors, q);
  const projected = (q: number): Float32Array =>
    encoder.projectQueries(rowRange(queries.vectors, q, q + 1)).data;
  const forms: Form[] = [
    {
      name: 'full, as configured',
      dim: encoder.inputDim,
      turns: turns.source,
      refusals: () => source.store.load?.rateLimitCount() ?? 0,
      ask: (q, limit) =>
        source.store.search(source.collection, { vectorName: source.vectorName, vector: full(q), limit }),
    },
    {
      name: 'compact',
      dim: encoder.outputDim,
      turns: turns.target,
      refusals: () => target.store.load?.rateLimitCount() ?? 0,
      ask: (q, limit) => target.store.search(target.collection, compactSearch(target, projected(q), limit)),
    },
  ];
  if (target.layout === 'two-stage') {
    forms.push({
      name: 'rescored',
      dim: encoder.inputDim,
      turns: turns.target,
      refusals: () => target.store.load?.rateLimitCount() ?? 0,
      ask: (q, limit) =>
        target.store.search(
          target.collection,
          rescoredSearch(target, { full: full(q), projected: projected(q) }, { limit, rescore }),
        ),
    });
  }
  return forms;
}

/** mAP, nDCG and MRR of every form and of exact search from 100 results each; without qrels, none. */
async function judgeQualities(
  forms: readonly Form[],
  truth: RankedLists,
  asking: Asking & Pick<CompareCollectionsOptions, 'qrels'>,
): Promise<{ exact: Quality | null; forms: readonly Quality[] }> {
  const { qrels, ids } = asking;
  if (qrels === undefined) return { exact: null, forms: [] };
  const gains = qrels.map((byId) => new Map([...byId].map(([id, gain]) => [ids.of(id), gain] as const)));
  const relevance: Relevance = { kind: 'qrels', gains };
  const quality = ({ rows, k }: RankedLists): Quality => withoutQueries(rankingQuality(rows, k, relevance));
  const { lists } = await sendQueries(forms, RELEVANCE_DEPTHS.map, {
    ...asking,
    step: 'searching for relevance',
  });
  return { exact: quality(truth), forms: lists.map(quality) };
}

/** The field's values for each query: those of the query's own point, or else of its first true result. */
async function valuesPerQuery(
  field: string,
  truth: RankedLists,
  { queries, ids, source }: Asking & Pick<CompareCollectionsOptions, 'source'>,
): Promise<readonly (readonly string[])[]> {
  const points = Array.from(
    { length: queries.vectors.rows },
    (_, q) => queries.ids?.[q] ?? ids.id(truth.rows[q * truth.k]!) ?? null,
  );
  const values = await valuesOfPoints(source, points, field);
  return points.map((id) => (id === null ? [] : (values.get(id) ?? [])));
}

/** Whether scores of both spaces are comparable. Cosine and dot both estimate the source's similarity. */
function sameScores(source: Distance, compact: Distance): boolean {
  const similarity = (distance: Distance): boolean => distance === 'cosine' || distance === 'dot';
  return source === compact || (similarity(source) && similarity(compact));
}
