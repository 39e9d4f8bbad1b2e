import { basename, join } from 'node:path';
import { readNpy } from '../src/files/npy.js';
import { gatherRows, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import { createBenchmark, recallOf, searchCompact } from '../src/evaluate/neighbor-recall.js';
import { trainEncoder, type TrainEncoderResult } from '../src/select/train-encoder.js';
import { referenceSettings } from '../src/train/options.js';

/** Where vectors come from: a folder with base.npy and queries.npy, and how many rows of its base to take. */
export interface DataSet {
  readonly folder: string;
  readonly rows: number;
}

export interface Training {
  readonly set: DataSet;
  readonly dim: number;
  readonly seed: number;
  readonly threads: number;
  /** A budget in seconds, or the published TLDR settings for so many epochs. */
  readonly work: { readonly budgetSeconds: number } | { readonly referenceEpochs: number };
}

export interface TrainingResult {
  /** recall@10 on the set's queries, by candidate. */
  readonly recalls: Readonly<Record<string, number>>;
  readonly shipped: string;
  readonly seconds: number;
}

export const nameOf = ({ folder }: DataSet): string =>
  basename(folder) === 'data' ? 'demo (WordNet, USE 512)' : basename(folder);

async function baseOf({ folder, rows }: DataSet): Promise<Matrix> {
  const all = await readNpy(join(folder, 'base.npy'));
  return all.rows > rows ? gatherRows(all, new Rng(7).permutation(all.rows).slice(0, rows).sort()) : all;
}

async function train(base: Matrix, { dim, seed, threads, work }: Training): Promise<TrainEncoderResult> {
  // The candidates are compared as they were measured.
  const shared = { dim, seed, threads, refit: false };
  if ('budgetSeconds' in work) return trainEncoder(base, { ...shared, ...work });
  const batchSize = Math.min(1024, Math.floor(base.rows * 0.9));
  const settings = referenceSettings({ batchSize, epochs: work.referenceEpochs });
  return trainEncoder(base, { ...shared, ...settings, init: 'random' });
}

async function run(training: Training): Promise<TrainingResult> {
  const { set, threads } = training;
  const base = await baseOf(set);
  const startedAtMs = performance.now();
  const { candidates, report } = await train(base, training);
  const seconds = (performance.now() - startedAtMs) / 1000;
  const queries = await readNpy(join(set.folder, 'queries.npy'));
  const benchmark = await createBenchmark({ base, queries, distance: 'cosine' }, { threads });
  const encoders = [...candidates.values()].map(({ network, queryNetwork, metadata }) => ({
    network,
    queryNetwork,
    distances: [metadata.compactDistance],
  }));
  const found = await searchCompact(benchmark, encoders, { threads });
  const recalls = [...candidates.keys()].map((name, i) => {
    const { recallAt10 } = recallOf(benchmark, found[i]?.[0] ?? new Int32Array(0), 1);
    return [name, recallAt10] as const;
  });
  return { recalls: Object.fromEntries(recalls), shipped: report?.shipped ?? '', seconds };
}

/** Run as a script: one training, given and answered as JSON, in a process of its own. */
const given = process.argv.find((argument) => argument.startsWith('--training='))?.slice(11);
if (given !== undefined) console.log(JSON.stringify(await run(JSON.parse(given) as Training)));
