import { join } from 'node:path';
import type { Matrix } from '../src/core/matrix.js';
import type { Encoder } from '../src/encoder/model.js';
import { createBenchmark, FOUND_K, recallOf, searchCompact } from '../src/evaluate/neighbor-recall.js';
import { rankingQuality, type Relevance } from '../src/evaluate/relevance.js';
import { readNpy } from '../src/files/npy.js';
import { exactTopK } from '../src/knn/exact-search-in-worker.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import { labelledTask, readIntegers } from './labelled-task.js';

/** Vectors with labels, and how many rows of them to train on. */
export interface LabelledSet {
  readonly folder: string;
  readonly rows: number;
  /** Whether queries with one right answer each are there as well. */
  readonly judged: boolean;
}

export interface RelevanceTraining {
  readonly set: LabelledSet;
  readonly dim: number;
  readonly seed: number;
  readonly threads: number;
  readonly budgetSeconds: number;
}

/** Search quality of one space, on queries that took no part in training or choosing. */
export interface SpaceQuality {
  /** mAP@100 by labels. */
  readonly labels: number;
  /** The share of the true ten nearest among the first ten. */
  readonly recallAt10: number;
  /** Of queries with one right answer among all rows of the set: nDCG@10; null where there are none. */
  readonly answers: number | null;
}

export interface RelevanceResult {
  readonly full: SpaceQuality;
  readonly candidates: Readonly<Record<string, SpaceQuality>>;
  /** What `train --objective relevance` ships by labels. */
  readonly shipped: string;
  readonly seconds: number;
}

/** The rows that queries are searched among, and what is relevant to each query. */
interface Task {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly relevance: Relevance;
}

/** Queries whose one right answer is a row of the whole set. */
async function answerTask({ folder, judged }: LabelledSet): Promise<Task | null> {
  if (!judged) return null;
  const answers = await readIntegers(join(folder, 'qrels_example.npy'));
  return {
    base: await readNpy(join(folder, 'base.npy')),
    queries: await readNpy(join(folder, 'queries_example.npy')),
    relevance: { kind: 'qrels', gains: Array.from(answers, (row) => new Map([[row, 1]])) },
  };
}

/** Ranking quality and recall@10 of the full vectors, then of each encoder. */
async function measure(
  { base, queries, relevance }: Task,
  encoders: readonly Encoder[],
  threads: number,
): Promise<{ readonly mapAt100: number; readonly ndcgAt10: number; readonly recallAt10: number }[]> {
  const benchmark = await createBenchmark({ base, queries, distance: 'cosine' }, { threads });
  const full = await exactTopK(base, queries, { k: FOUND_K, distance: 'cosine', threads });
  const spaces = encoders.map(({ network, queryNetwork, metadata }) => ({
    network,
    queryNetwork,
    distances: [metadata.compactDistance],
  }));
  const compact = (await searchCompact(benchmark, spaces, { threads })).flat();
  return [full, ...compact].map((found) => {
    const { mapAt100, ndcgAt10 } = rankingQuality(found, FOUND_K, relevance);
    return { mapAt100, ndcgAt10, recallAt10: recallOf(benchmark, found, 1).recallAt10 };
  });
}

async function run({ set, dim, seed, threads, budgetSeconds }: RelevanceTraining): Promise<RelevanceResult> {
  const { labels: relevance, ...vectors } = await labelledTask(set);
  if (relevance === null) throw new Error(`${set.folder} has no labels`);
  const task = { ...vectors, relevance };
  const labels = relevance.base;
  const startedAtMs = performance.now();
  const trained = await trainEncoder(task.base, {
    dim,
    seed,
    threads,
    budgetSeconds,
    objective: 'relevance',
    labels,
    // The candidates are compared as they were measured.
    refit: false,
  });
  const seconds = (performance.now() - startedAtMs) / 1000;
  const encoders = [...trained.candidates.values()];
  const byLabels = await measure(task, encoders, threads);
  const answers = await answerTask(set);
  const byAnswers = answers && (await measure(answers, encoders, threads));
  const spaces = byLabels.map(({ mapAt100, recallAt10 }, i) => {
    return { labels: mapAt100, recallAt10, answers: byAnswers?.[i]?.ndcgAt10 ?? null };
  });
  const [full, ...compact] = spaces;
  if (full === undefined || trained.report === null) throw new Error('nothing was trained');
  const names = [...trained.candidates.keys()];
  return {
    full,
    candidates: Object.fromEntries(
      compact.flatMap((quality, i) => names.slice(i, i + 1).map((name) => [name, quality])),
    ),
    shipped: trained.report.shipped,
    seconds,
  };
}

/** Run as a script: one training, given and answered as JSON, in a process of its own. */
const given = process.argv.find((argument) => argument.startsWith('--training='))?.slice(11);
if (given !== undefined) console.log(JSON.stringify(await run(JSON.parse(given) as RelevanceTraining)));
