import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openNpy } from '../src/cli/npy.js';
import { optionsOf } from './options.js';
import { runScript } from './processes.js';
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
    write: [false, 'put the page into docs/quality.md'],
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
const points = (value: number): string => `${value >= 0 ? '+' : ''}${(value * 100).toFixed(1)}`;
const table = (rows: readonly (readonly string[])[]): string =>
  rows
    .map((cells, i) => `| ${cells.join(' | ')} |${i === 0 ? `\n|${cells.map(() => ' --- |').join('')}` : ''}`)
    .join('\n');

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

function summary(outcomes: readonly Outcome[]): string {
  return table([
    [
      'data',
      'dims',
      'shipped',
      'recall@10',
      'better PCA',
      'over PCA',
      'over published TLDR',
      'below the best',
      'seconds',
    ],
    ...outcomes.map((outcome) => {
      const { set, inputDim, dim, ratio, shipped, recalls, seconds } = outcome;
      const { recall, gap } = shippedOf(outcome);
      const reference = recalls.get(REFERENCE)?.[0];
      return [
        nameOf(set),
        `${inputDim} -> ${dim}${ratio === '' ? '' : ` (${ratio})`}`,
        [...new Set(shipped)].join(', '),
        recall.toFixed(3),
        betterPca(outcome).toFixed(3),
        points(recall - betterPca(outcome)),
        reference === undefined ? '' : points(recall - reference),
        (gap * 100).toFixed(2),
        mean(seconds).toFixed(0),
      ];
    }),
  ]);
}

function details(outcome: Outcome): string {
  const { set, inputDim, dim, recalls } = outcome;
  const rows = [...recalls]
    .sort((a, b) => mean(b[1]) - mean(a[1]))
    .map(([name, values]) => [
      name,
      mean(values).toFixed(4),
      values.length < 2 ? '' : `${Math.min(...values).toFixed(4)} - ${Math.max(...values).toFixed(4)}`,
    ]);
  return `### ${nameOf(set)}, ${inputDim} -> ${dim}\n\n${table([['candidate', 'recall@10', 'over seeds'], ...rows, ['full vectors', '1.0000', '']])}`;
}

const beganAtMs = performance.now();
const cases = (await Promise.all(dataSets().map(casesOf))).flat();
const trainings = cases.flatMap(trainingsOf);
const answers = await trainAll(trainings);
const done = trainings.flatMap((training, i) => {
  const answer = answers[i];
  return answer === undefined ? [] : [[training, answer] as const];
});
const outcomes = cases.map((one) => outcomeOf(one, done));
const goals = outcomes.filter(({ ratio }) => ratio !== '');
const withRoom = goals.filter((outcome) => betterPca(outcome) < 0.85);
const gains = withRoom.map((outcome) => shippedOf(outcome).recall - betterPca(outcome));
const page = `# Quality

Generated by \`npm run bench:quality -- --write\`: do not edit. recall@10 of the full space's true ten nearest by exact search in the compact space, on queries that took no part in training or choosing. Base: ${ROWS.toLocaleString('en-US')} rows at most of each set; training budget ${BUDGET_SECONDS} s of ${LANES} cores at D/16 and D/8, ${OTHER_BUDGET_SECONDS} s at other sizes (too little for TLDR's flinear and mlp encoders there); mean of ${SEEDS} seeds; published TLDR settings: linear, projector mlp-1-2048, LARS, batch 1,024, ${REFERENCE_EPOCHS} epochs, one seed. The whole run took ${((performance.now() - beganAtMs) / 60_000).toFixed(0)} minutes; ${LANES} trainings ran side by side with one thread each, and seconds are those of one of them. ${cpus()[0]?.model ?? ''}, ${cpus().length} cores, Node ${process.versions.node}.

"Below the best" is how far the shipped candidate is below the best of all candidates on these queries, in points.

${summary(outcomes)}

At D/16 and D/8, where PCA is below .85 (${withRoom.length} of ${goals.length}): ${points(mean(gains))} points over the better PCA on average, ${points(Math.min(...gains))} at least.

## Every candidate

${outcomes.map(details).join('\n\n')}
`;
console.log(page);
if (options.write) await writeFile(fileURLToPath(new URL('../../docs/quality.md', import.meta.url)), page);
