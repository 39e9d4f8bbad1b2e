import { RESCORE } from '../../store/defaults.js';
import { checkPoints } from '../../store/check-points.js';
import type { Encoder } from '../../encoder/model.js';
import { TldrError } from '../../core/errors.js';
import { measureDrift, sampleOf, withDrift, type Drift } from '../../evaluate/drift.js';
import type { VectorSource } from '../../store/vector-source.js';
import type { QuerySet } from '../../evaluate/send-queries.js';
import {
  compareCollections,
  type CollectionComparison,
  type CompareCollectionsOptions,
} from '../../evaluate/compare-collections.js';
import type { TargetDescription } from '../../store/target-description.js';
import { COMPARISON_STAGES } from '../console/progress/stages.js';
import type { ConsoleRun } from '../console/command-output.js';
import type { EvaluateFlags } from './request.js';
import { describeCompact } from '../migrate/migrated-target.js';
import { readQrels, readQueryVectors } from '../train/relevance-files.js';
import { EXAMPLES } from '../page-parts/example-texts.js';
import type { BeforeAndAfter } from '../page-parts/verdict-words.js';
import { newAndOldPoints } from './new-points.js';

const SAMPLE_QUERIES = 500;

/** The comparison of two collections, and where the queries came from. */
export interface CollectionEvaluation {
  readonly comparison: CollectionComparison;
  /** Null without --drift. */
  readonly drift: Drift | null;
  readonly description: TargetDescription;
  readonly queriesFrom: string;
  /** What people should know of the compact searches. */
  readonly notes: readonly string[];
  /** Bytes of the indexes that both forms search, as the server has them; null if they are not known. */
  readonly indexBytes: BeforeAndAfter | null;
  /** False if the compact vectors are only computed, and no migration keeps them up to date. */
  readonly isMigrated: boolean;
}

/** Compares a full collection with its compact form on one server. */
export async function evaluateCollections(
  store: VectorSource,
  names: { readonly source: string; readonly target: string },
  {
    encoder,
    flags,
    ks,
    run,
  }: {
    readonly encoder: Encoder;
    readonly flags: EvaluateFlags;
    readonly ks: readonly number[];
    readonly run: ConsoleRun;
  },
): Promise<CollectionEvaluation> {
  run.expectStages(COMPARISON_STAGES);
  if (flags.drift === true) sampleOf(encoder);
  const { rescore, vector } = flags;
  const form = await describeCompact(store, names.target, { encoder, rescore, vector });
  const { description, notes, warnings, indexBytes, isMigrated } = form;
  for (const warning of warnings) run.log('warn', warning);
  const source = await sourceOf(store, names.source, { encoder, description });
  if (description.source !== names.source) {
    run.log(
      'warn',
      `${names.target} was made from ${description.source}: make sure that ${names.source} holds the same points`,
    );
  }
  const { queries, queriesFrom, isNew } = await readQueries(source, { flags, encoder, run });
  const comparison = await compareCollections({
    source,
    target: { store, collection: names.target, ...description },
    encoder,
    queries,
    ks,
    rescore: flags.rescore ?? (await rescoreOf(store, { ...description, name: names.target }, run)),
    seed: flags.seed,
    by: flags.by,
    examples: flags.report === undefined ? 0 : EXAMPLES,
    qrels:
      flags.qrels === undefined
        ? undefined
        : await readQrels(flags.qrels, { queries: queries.vectors.rows, doc: store.keys.parse }, run.signal),
    signal: run.signal,
    log: run.log,
    onProgress: run.onProgress,
  });
  const { points } = comparison;
  if (points.source !== points.target) {
    run.log(
      'warn',
      `${names.source} has ${points.source} points, ${names.target} ${points.target}: missing points count as not found`,
    );
  }
  const found = { description, queriesFrom, notes: [...notes, ...warnings], indexBytes, isMigrated };
  if (flags.drift !== true) return { ...found, comparison, drift: null };
  const stored = queries.ids !== null;
  const drift = measureDrift({
    encoder,
    vectors: queries.vectors,
    as: stored ? 'points' : 'queries',
    of: stored ? `points of ${names.source}` : `queries from ${flags.queries ?? 'a file'}`,
    isNew,
    perQuery: comparison.perQuery,
    k: comparison.headlineK,
    seed: flags.seed,
  });
  const forms = withDrift(comparison.forms, drift);
  return { ...found, comparison: { ...comparison, forms }, drift };
}

/**
 * Returns the number of first-stage results without --rescore: the default, or fewer if strict mode allows
 * fewer.
 */
async function rescoreOf(
  store: VectorSource,
  { layout, name }: TargetDescription & { readonly name: string },
  run: ConsoleRun,
): Promise<number> {
  const limits = await store.load?.limits(name);
  if (layout === 'compact' || limits === undefined || limits.results >= RESCORE) return RESCORE;
  const { results } = limits;
  run.log('warn', `strict mode lets ${name} rescore ${results} points: the default is ${RESCORE}`);
  return results;
}

async function sourceOf(
  store: VectorSource,
  collection: string,
  { encoder, description }: { readonly encoder: Encoder; readonly description: TargetDescription },
): Promise<CompareCollectionsOptions['source']> {
  const spec = await store.describe(collection);
  const vector = spec.vectors.find(({ name }) => name === description.vector);
  if (vector === undefined) {
    throw new TldrError(
      'MISMATCH',
      `${collection} has no vector "${description.vector}", which the compact collection was made from`,
    );
  }
  if (vector.dim !== encoder.inputDim) {
    throw new TldrError(
      'MISMATCH',
      `"${vector.name}" of ${collection} has ${vector.dim} dimensions, the encoder expects ${encoder.inputDim}: give the full collection first`,
    );
  }
  return { store, collection, vectorName: vector.name, distance: vector.distance };
}

async function readQueries(
  source: CompareCollectionsOptions['source'],
  {
    flags,
    encoder,
    run,
  }: { readonly flags: EvaluateFlags; readonly encoder: Encoder; readonly run: ConsoleRun },
): Promise<{ queries: QuerySet; queriesFrom: string; isNew: Uint8Array | null }> {
  if (flags.queries !== undefined) {
    const of = { dim: encoder.inputDim, distance: source.distance, column: flags.queryColumn };
    const vectors = await readQueryVectors(flags.queries, of, run.signal);
    const queriesFrom = `${vectors.rows.toLocaleString('en-US')} queries from ${flags.queries}`;
    return { queries: { vectors, ids: null }, queriesFrom, isNew: null };
  }
  const { store, collection, vectorName, distance } = source;
  const { signal, onProgress } = run;
  const size = flags.sample ?? SAMPLE_QUERIES;
  if (flags.newFilter !== undefined)
    return newAndOldPoints(source, { filter: flags.newFilter, size, seed: flags.seed }, run);
  const { ids, vectors } = await store.sample(collection, { vectorName, size, signal, onProgress });
  checkPoints({ ids, vectors }, { collection, vectorName, distance, keys: store.keys });
  const queriesFrom = `${ids.length.toLocaleString('en-US')} stored points of ${collection}, each left out of its own results (the encoder may have learned from them)`;
  return { queries: { vectors, ids }, queriesFrom, isNew: null };
}
