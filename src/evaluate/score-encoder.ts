import { fitMoments, pcaFromMoments } from '../baselines/pca.js';
import { score, type Distance } from '../core/distance.js';
import type { Encoder, EncoderNetwork } from '../encoder/model.js';
import { TldrError } from '../core/errors.js';
import { checkFinite, checkMagnitude, row, type Matrix } from '../core/matrix.js';
import { projectNatively } from '../encoder/project-natively.js';
import type { Progress, RunOptions } from '../core/run-options.js';
import { exactTopK } from '../knn/exact-search-in-worker.js';
import {
  fidelity,
  headlineK,
  recallPerQuery,
  withoutQueries,
  type FormReport,
  type RankedLists,
} from './fidelity.js';
import { mean } from './ranking.js';
import {
  hasRelevant,
  rankingQuality,
  RELEVANCE_DEPTHS,
  relevanceQueries,
  type Relevance,
} from './relevance.js';
import type { PerQuery } from '../core/recall-per-query.js';

/** Each count of first-stage results for which recall after rescoring is reported. */
const RESCORE_DEPTHS = [30, 100] as const;

/** Input and options of `judgeEncoder`. */
export interface JudgeEncoderOptions extends RunOptions {
  /** Rows to search: n x inputDim. */
  readonly base: Matrix;
  /** Queries that are not rows of the base: m x inputDim. */
  readonly queries: Matrix;
  readonly encoder: Encoder;
  /** Each k (count of results) for which recall is measured. */
  readonly ks: readonly number[];
  /** Labels or qrels, if there are any. */
  readonly relevance?: Relevance | undefined;
  /** Also measure PCA with the same number of dimensions, centred and uncentred. Default true. */
  readonly pca?: boolean;
  readonly seed?: number;
  readonly threads?: number;
}

/** The measures of one space, by exact search in it. */
export interface SpaceReport extends FormReport {
  /**
   * Share of the true top `headlineK` among the first 30 and 100 results: the recall after rescoring them.
   */
  readonly within: readonly { readonly depth: number; readonly recall: number }[];
}

/** The measures of an encoder, of PCA and of the full vectors, on the same rows and queries. */
export interface EncoderJudgement {
  readonly rows: number;
  readonly queries: number;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly distance: Distance;
  readonly ks: readonly number[];
  readonly headlineK: number;
  readonly seed: number;
  /** The encoder first, then PCA, then the full vectors. */
  readonly spaces: readonly SpaceReport[];
  /** Recall of each query at `headlineK`, by space. */
  readonly perQuery: readonly PerQuery[];
  /** Bytes of the vectors as float32. */
  readonly bytes: { readonly full: number; readonly compact: number };
}

interface Space {
  readonly name: string;
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly distance: Distance;
}

/**
 * Measures an encoder without a database. Each space is searched exactly, and the true results are those of
 * the full vectors.
 * @throws MISMATCH when vectors and encoder have different dimensions
 * @throws INVALID_DATA when there are no vectors, a row is not finite or too large, or nothing is relevant
 * @throws INVALID_ARGUMENT for unusable numbers of results, or labels or qrels of another number of rows or
 * queries
 * @example
 * ```ts
 * // Given: enc.onnx
 * import { Encoder, judgeEncoder, matrix } from 'qdrant-tldr';
 *
 * const encoder = await Encoder.load('enc.onnx');
 * const wave = (rows: number, phase: number): Float32Array =>
 *   Float32Array.from({ length: rows * encoder.inputDim }, (_, i) => Math.sin(i * i + phase));
 * const { spaces } = await judgeEncoder({
 *   encoder,
 *   base: matrix(300, encoder.inputDim, wave(300, 0)),
 *   queries: matrix(20, encoder.inputDim, wave(20, 1)),
 *   ks: [10],
 * });
 * console.table(spaces.map(({ name, dim, within }) => ({ name, dim, within: within[0]?.recall })));
 * ```
 */
export async function judgeEncoder(options: JudgeEncoderOptions): Promise<EncoderJudgement> {
  const { base, queries, encoder, relevance, ks, seed = 0 } = options;
  checkInput(options);
  const { distance } = encoder.metadata;
  const depth = Math.max(...ks, ...RESCORE_DEPTHS, RELEVANCE_DEPTHS.map);
  const full: Space = { name: 'full vectors', base, queries, distance };
  const truth = await search(full, depth, options);
  const k = headlineK(ks);
  const perQuery: PerQuery[] = [];
  const judge = async (space: Space): Promise<SpaceReport> => {
    const lists = space === full ? truth : await search(space, depth, options);
    const found = new Map(ks.map((k) => [k, cut(lists, k)]));
    const comparableScores = space.distance === distance;
    perQuery.push({ name: space.name, values: recallPerQuery(lists, truth, { k }) });
    return {
      name: space.name,
      dim: space.base.cols,
      ...fidelity(found, truth, { seed, comparableScores }),
      within: RESCORE_DEPTHS.map((at) => ({
        depth: at,
        recall: mean(recallPerQuery(lists, truth, { k, depth: at })),
      })),
      latencyMs: null,
      quality: relevance === undefined ? null : withoutQueries(rankingQuality(lists.rows, depth, relevance)),
    };
  };
  const spaces: SpaceReport[] = [];
  for (const candidate of await candidatesOf(options)) {
    spaces.push(await judge(await projected(full, candidate, options)));
  }
  spaces.push(await judge(full));
  return {
    rows: base.rows,
    queries: queries.rows,
    inputDim: encoder.inputDim,
    outputDim: encoder.outputDim,
    distance,
    ks,
    headlineK: k,
    seed,
    spaces,
    perQuery,
    bytes: { full: base.rows * encoder.inputDim * 4, compact: base.rows * encoder.outputDim * 4 },
  };
}

interface Candidate {
  readonly name: string;
  readonly network: EncoderNetwork;
  readonly queryNetwork: EncoderNetwork;
  readonly compact: Distance;
}

/** The encoder, and PCA of the base with as many dimensions. For dot, centring would change the order. */
async function candidatesOf(options: JudgeEncoderOptions): Promise<Candidate[]> {
  const { base, encoder, pca = true } = options;
  const { distance, compactDistance: compact } = encoder.metadata;
  const dim = encoder.outputDim;
  const { network: points, queryNetwork } = encoder;
  const own = { name: 'encoder', network: points, queryNetwork, compact };
  if (!pca || dim >= base.cols || dim >= base.rows) return [own];
  const moments = await fitMoments(base, { ...options, distance, dim });
  const candidates: Candidate[] = [own];
  for (const centred of distance === 'dot' ? [false] : [false, true]) {
    const network = await pcaFromMoments(moments, { ...options, dim, centred, distance });
    const unit = { ...network, normalizeOutput: compact === 'cosine' };
    candidates.push({ name: centred ? 'pca' : 'pca-uncentred', network: unit, queryNetwork: unit, compact });
  }
  return candidates;
}

function checkInput({ base, queries, encoder, ks, relevance }: JudgeEncoderOptions): void {
  for (const [name, x] of [
    ['base', base],
    ['queries', queries],
  ] as const) {
    if (x.cols !== encoder.inputDim) {
      throw new TldrError(
        'MISMATCH',
        `the ${name} vectors are ${x.cols}-d, the encoder expects ${encoder.inputDim}-d`,
      );
    }
    if (x.rows === 0) throw new TldrError('INVALID_DATA', `the ${name} file holds no vectors`);
    const rowName = (i: number): string => `row ${i} of the ${name}`;
    checkFinite(x, rowName);
    if (encoder.metadata.distance !== 'cosine') checkMagnitude(x, rowName);
  }
  if (ks.length === 0 || ks.some((k) => !Number.isSafeInteger(k) || k < 1)) {
    throw new TldrError('INVALID_ARGUMENT', `k: got [${ks.join(', ')}], expected whole numbers from 1`);
  }
  if (relevance === undefined) return;
  const judged = relevanceQueries(relevance);
  if (judged !== queries.rows) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `relevance of ${judged} queries, but ${queries.rows} query vectors`,
    );
  }
  if (relevance.kind === 'labels' && relevance.base.length !== base.rows) {
    throw new TldrError(
      'INVALID_ARGUMENT',
      `labels of ${relevance.base.length} rows, but ${base.rows} base vectors`,
    );
  }
  if (!hasRelevant(relevance)) {
    throw new TldrError(
      'INVALID_DATA',
      relevance.kind === 'labels'
        ? 'no query has the label of any base vector: expected labels that both share, written alike in both files'
        : 'the judgements name no relevant row for any query: expected at least one gain above 0',
    );
  }
}

/** Ranked lists of exact search in a space, with their scores. */
async function search(space: Space, k: number, options: JudgeEncoderOptions): Promise<RankedLists> {
  const { threads, signal, onProgress } = options;
  const { base, queries, distance } = space;
  const rows = await exactTopK(base, queries, {
    k,
    distance,
    signal,
    onProgress: (progress) => onProgress?.({ ...progress, step: `searching ${space.name}`, unit: 'queries' }),
    ...(threads === undefined ? {} : { threads }),
  });
  const scored = Math.max(...options.ks);
  const scores = Float64Array.from(rows, (found, i) =>
    found < 0 || i % k >= scored
      ? Number.NaN
      : score(row(queries, Math.floor(i / k)), row(base, found), distance),
  );
  return { k, rows, scores };
}

/** The first k places of all lists. */
function cut(lists: RankedLists, k: number): RankedLists {
  const queries = lists.rows.length / lists.k;
  const rows = new Int32Array(queries * k);
  const scores = new Float64Array(queries * k);
  for (let q = 0; q < queries; q++) {
    rows.set(lists.rows.subarray(q * lists.k, q * lists.k + k), q * k);
    scores.set(lists.scores.subarray(q * lists.k, q * lists.k + k), q * k);
  }
  return { k, rows, scores };
}

async function projected(
  full: Space,
  to: Candidate,
  { threads, signal, onProgress }: JudgeEncoderOptions,
): Promise<Space> {
  const run = {
    signal,
    onProgress: (progress: Progress) => onProgress?.({ ...progress, step: `projecting ${to.name}` }),
    ...(threads === undefined ? {} : { threads }),
  };
  return {
    name: to.name,
    base: await projectNatively(to.network, full.base, run),
    queries: await projectNatively(to.queryNetwork, full.queries, run),
    distance: to.compact,
  };
}
