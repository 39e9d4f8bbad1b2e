import { basename, join } from 'node:path';
import { gatherRows, rowRange, type Matrix } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { createBenchmark, FOUND_K, recallOf, searchCompact } from '../../src/evaluate/neighbor-recall.js';
import { rankingQuality, type Relevance } from '../../src/evaluate/relevance.js';
import { readNpy } from '../../src/files/npy.js';
import { exactTopK } from '../../src/knn/exact-search-in-worker.js';
import type { Candidate } from '../../src/select/candidate.js';
import { labelledTask, readIntegers } from '../labelled-task.js';
import { fitCandidates } from './fit-candidates.js';
import { LabelFreeMeter, type LabelFree } from './label-free-measures.js';

/** One set, and how it is measured. */
export interface SetRun {
  readonly folder: string;
  readonly rows: number;
  readonly queries: number;
  /** Steps of each training, as a share of `STEPS`. */
  readonly steps: number;
  /** The dimensions divided by this number are those of the compact space. */
  readonly part: number;
  readonly seed: number;
  readonly threads: number;
  /** Whether queries with one right answer each are there as well. */
  readonly judged: boolean;
}

export interface MeasuredCandidate {
  readonly name: string;
  readonly recallAt10: number;
  /** mAP@100 by labels. */
  readonly labels: number;
  /** nDCG@10 of queries with one right answer; null where there are none. */
  readonly answers: number | null;
  readonly labelFree: LabelFree;
}

export interface MeasuredSet {
  readonly name: string;
  readonly rows: number;
  readonly inputDim: number;
  readonly dim: number;
  readonly fullVectors: { readonly labels: number; readonly answers: number | null };
  readonly candidates: readonly MeasuredCandidate[];
}

interface Task {
  readonly base: Matrix;
  readonly queries: Matrix;
  readonly relevance: Relevance;
}

/** The same rows with queries whose one right answer is among them. */
async function answerTask({ folder, judged }: SetRun): Promise<Task | null> {
  if (!judged) return null;
  const answers = await readIntegers(join(folder, 'qrels_example.npy'));
  const base = await readNpy(join(folder, 'base.npy'));
  const queries = await readNpy(join(folder, 'queries_example.npy'));
  return {
    base,
    queries,
    relevance: { kind: 'qrels', gains: Array.from(answers, (at) => new Map([[at, 1]])) },
  };
}

/** What the full vectors and each candidate find: mAP@100, nDCG@10 and recall@10. */
async function qualities(
  { base, queries, relevance }: Task,
  candidates: readonly Candidate[],
  { threads, seed }: SetRun,
): Promise<readonly { readonly mapAt100: number; readonly ndcgAt10: number; readonly recallAt10: number }[]> {
  const benchmark = await createBenchmark({ base, queries, distance: 'cosine' }, { threads });
  const full = await exactTopK(base, queries, { k: FOUND_K, distance: 'cosine', threads });
  const spaces = candidates.map(({ network, queryNetwork }) => ({
    network: { ...network, normalizeOutput: false },
    queryNetwork,
    distances: ['cosine'] as const,
  }));
  const compact = (await searchCompact(benchmark, spaces, { threads })).flat();
  return [full, ...compact].map((found) => {
    const { mapAt100, ndcgAt10 } = rankingQuality(found, FOUND_K, relevance);
    return { mapAt100, ndcgAt10, recallAt10: recallOf(benchmark, found, seed).recallAt10 };
  });
}

/** Fits the candidates to a set and measures them with labels and without. */
export async function measureSet(run: SetRun): Promise<MeasuredSet> {
  const { folder, seed, threads, part } = run;
  const { labels, ...task } = await labelledTask(run);
  if (labels === null) throw new Error(`${folder} has no labels`);
  const { base } = task;
  const queries = rowRange(task.queries, 0, Math.min(run.queries, task.queries.rows));
  const dim = base.cols / part;
  const fit = { dim, seed, threads, queries };
  const candidates = await fitCandidates(base, { ...fit, stepsShare: run.steps, tried: true });
  const order = new Rng(seed).permutation(base.rows);
  const halves: (readonly Candidate[])[] = [];
  for (const rows of [order.subarray(0, base.rows >> 1), order.subarray(base.rows >> 1)])
    halves.push(
      await fitCandidates(gatherRows(base, rows), { ...fit, stepsShare: run.steps / 2, tried: false }),
    );
  const relevance = { ...labels, queries: labels.queries.subarray(0, queries.rows) };
  const [full, ...byLabels] = await qualities({ base, queries, relevance }, candidates, run);
  const answers = await answerTask(run);
  const [fullAnswers, ...byAnswers] = answers === null ? [] : await qualities(answers, candidates, run);
  if (full === undefined) throw new Error('nothing was searched');
  const meter = new LabelFreeMeter({ base, queries }, { threads, seed });
  const measured: MeasuredCandidate[] = [];
  for (const [i, { name, network }] of candidates.entries()) {
    const quality = byLabels[i];
    if (quality === undefined) throw new Error(`${name} was not searched`);
    const [a, b] = halves.map((half) => half.find((one) => one.name === name)?.network);
    measured.push({
      name,
      recallAt10: quality.recallAt10,
      labels: quality.mapAt100,
      answers: byAnswers[i]?.ndcgAt10 ?? null,
      labelFree: await meter.measure(network, a === undefined || b === undefined ? null : [a, b]),
    });
  }
  return {
    name: basename(folder),
    rows: base.rows,
    inputDim: base.cols,
    dim,
    fullVectors: { labels: full.mapAt100, answers: fullAnswers?.ndcgAt10 ?? null },
    candidates: measured,
  };
}
