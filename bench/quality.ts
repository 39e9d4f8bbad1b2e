import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openNpy } from '../src/files/npy.js';
import { optionsOf } from './options.js';
import { runScript } from './processes.js';
import { qualityPage, qualityTables, type RunFacts, type SizeResult } from './quality-pages.js';
import { nameOf, type DataSet, type Training, type TrainingResult } from './quality-training.js';

/**
 * What `train` ships, on queries that neither training nor selection saw, beside every other candidate, PCA and the
 * published TLDR settings. As many trainings run side by side as there are cores, one thread each, which takes three
 * quarters of the time of one after the other with all threads. Budgets are seconds of all cores together: a training
 * gets as many times more of its one thread, and about the same steps.
 */
const options = optionsOf(
  'What `train` ships beside every other candidate, on queries that nothing was chosen by.',
  {
    data: [
      '../shared/data',
      'folder of folders with base.npy and queries.npy; where it is not there, the demo’s data',
    ],
    rows: [10_000, 'at most, of each set'],
    budget: [75, 'seconds of all cores per training at D/16 and D/8'],
    'other-budget': [20, 'the same at other sizes'],
    'reference-epochs': [15, 'of the published settings'],
    seeds: [3, 'per size'],
    write: [false, 'replace docs/quality.md and docs/benchmarks/quality.md'],
  },
);
const { rows: ROWS, budget: BUDGET_SECONDS, seeds: SEEDS } = options;
const OTHER_BUDGET_SECONDS = options['other-budget'];
const REFERENCE_EPOCHS = options['reference-epochs'];
const LANES = availableParallelism();
const GRID = [32, 64, 128, 256];
const REFERENCE = 'tldr, published settings';
const TRAINING = fileURLToPath(new URL('./quality-training.js', import.meta.url));

/** One size of one data set. */
interface Case {
  readonly set: DataSet;
  readonly inputDim: number;
  readonly dim: number;
  readonly ratio: string;
}

/** recall@10 on the queries by candidate, one entry per seed. */
interface Outcome extends Case {
  readonly recalls: Map<string, number[]>;
  readonly shipped: string[];
  readonly seconds: number[];
}

const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

function dataSets(): DataSet[] {
  const demo = fileURLToPath(new URL('../../demo/data', import.meta.url));
  const data = options.data;
  const found = existsSync(data)
    ? readdirSync(data, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && existsSync(join(data, entry.name, 'queries.npy')))
        .map((entry) => join(data, entry.name))
    : [];
  if (found.length === 0) progress(`no data sets in ${data}: the demo's data alone`);
  return (found.length === 0 ? [demo] : found).map((folder) => ({ folder, rows: ROWS }));
}

/** Sizes below half the dimensions: the grid, a sixteenth and an eighth. */
async function casesOf(set: DataSet): Promise<Case[]> {
  const file = await openNpy(join(set.folder, 'base.npy'));
  const { cols } = file;
  await file.close();
  const dims = [...GRID, cols / 16, cols / 8].filter((d) => Number.isInteger(d) && d < cols / 2);
  return [...new Set(dims)]
    .sort((a, b) => a - b)
    .map((dim) => {
      const ratio = dim === cols / 16 ? 'D/16' : dim === cols / 8 ? 'D/8' : '';
      return { set, inputDim: cols, dim, ratio };
    });
}

/** The seeds of a case and, at D/16 and D/8, the published settings. */
function trainingsOf({ set, dim, ratio }: Case): Training[] {
  const goal = ratio !== '';
  const shared = { set, dim, threads: 1 };
  const budgetSeconds = LANES * (goal ? BUDGET_SECONDS : OTHER_BUDGET_SECONDS);
  const seeds = Array.from({ length: SEEDS }, (_, i) => ({
    ...shared,
    seed: i + 1,
    work: { budgetSeconds },
  }));
  const reference = { ...shared, seed: 1, work: { referenceEpochs: REFERENCE_EPOCHS } };
  return goal && REFERENCE_EPOCHS > 0 ? [reference, ...seeds] : seeds;
}

async function train(training: Training): Promise<TrainingResult> {
  const answer = (await runScript(TRAINING, [`--training=${JSON.stringify(training)}`])) as TrainingResult;
  const { set, dim, seed } = training;
  const what = 'referenceEpochs' in training.work ? REFERENCE : answer.shipped;
  progress(`${nameOf(set)} ${dim} seed ${seed}: ${what}, ${answer.seconds.toFixed(0)} s`);
  return answer;
}

/** Answers in the order of the trainings, each begun by whichever lane is free. */
async function trainAll(trainings: readonly Training[]): Promise<TrainingResult[]> {
  const answers: TrainingResult[] = [];
  const left = trainings.entries();
  const lane = async (): Promise<void> => {
    for (const [i, training] of left) answers[i] = await train(training);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return answers;
}

function outcomeOf(one: Case, done: readonly (readonly [Training, TrainingResult])[]): Outcome {
  const recalls = new Map<string, number[]>();
  const add = (name: string, value: number): void =>
    void recalls.set(name, [...(recalls.get(name) ?? []), value]);
  const shipped: string[] = [];
  const seconds: number[] = [];
  for (const [{ set, dim, work }, result] of done) {
    if (set !== one.set || dim !== one.dim) continue;
    if ('referenceEpochs' in work) add(REFERENCE, result.recalls.tldr ?? Number.NaN);
    else {
      shipped.push(result.shipped);
      seconds.push(result.seconds);
      for (const [name, value] of Object.entries(result.recalls)) add(name, value);
    }
  }
  return { ...one, recalls, shipped, seconds };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** Recall of what was shipped and of the best candidate, seed by seed. */
function shippedOf({ recalls, shipped }: Outcome): { recall: number; gap: number } {
  const planned = [...recalls].filter(([name]) => name !== REFERENCE).map(([, values]) => values);
  const own = shipped.map((name, i) => recalls.get(name)?.[i] ?? Number.NaN);
  const gaps = own.map((value, i) => Math.max(...planned.map((values) => values[i] ?? 0)) - value);
  return { recall: mean(own), gap: mean(gaps) };
}

function betterPca({ recalls }: Outcome): number {
  return Math.max(mean(recalls.get('pca') ?? [0]), mean(recalls.get('pca-uncentred') ?? [0]));
}

/** The figures of one case as the pages show them. */
function resultOf(outcome: Outcome): SizeResult {
  const { set, inputDim, dim, ratio, shipped, recalls, seconds } = outcome;
  const { recall, gap } = shippedOf(outcome);
  return {
    data: nameOf(set),
    inputDim,
    dim,
    ratio,
    shipped: [...new Set(shipped)],
    recall,
    betterPca: betterPca(outcome),
    published: recalls.get(REFERENCE)?.[0] ?? null,
    belowBest: gap,
    seconds: mean(seconds),
    candidates: [...recalls]
      .map(([name, values]) => ({
        name,
        mean: mean(values),
        range: values.length < 2 ? null : ([Math.min(...values), Math.max(...values)] as const),
      }))
      .sort((a, b) => b.mean - a.mean),
  };
}

const beganAtMs = performance.now();
const cases = (await Promise.all(dataSets().map(casesOf))).flat();
const trainings = cases.flatMap(trainingsOf);
const answers = await trainAll(trainings);
const done = trainings.flatMap((training, i) => {
  const answer = answers[i];
  return answer === undefined ? [] : [[training, answer] as const];
});
const results = cases.map((one) => resultOf(outcomeOf(one, done)));
const run: RunFacts = {
  rows: ROWS,
  budgetSeconds: BUDGET_SECONDS,
  otherBudgetSeconds: OTHER_BUDGET_SECONDS,
  referenceEpochs: REFERENCE_EPOCHS,
  seeds: SEEDS,
  concurrency: LANES,
  minutes: (performance.now() - beganAtMs) / 60_000,
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model ?? '',
  cores: cpus().length,
  node: process.versions.node,
};
const pages = {
  'quality.md': qualityPage(results, run),
  'benchmarks/quality.md': qualityTables(results, run),
};
for (const [name, page] of Object.entries(pages)) {
  console.log(page);
  if (options.write) await writeFile(fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)), page);
}
