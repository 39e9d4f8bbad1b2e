import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openNpy } from '../src/files/npy.js';
import { optionsOf } from './options.js';
import { runScript } from './processes.js';
import { relevancePage, type RelevanceSize } from './relevance-page.js';
import type { LabelledSet, RelevanceResult, RelevanceTraining } from './relevance-training.js';

/**
 * What `train --objective relevance` ships beside every other candidate and the full vectors, on labelled queries that
 * neither training nor selection saw. As many trainings run side by side as there are cores, one thread each.
 */
const options = optionsOf(
  'Relevance of the candidates and of the full vectors, on queries that nothing was chosen by.',
  {
    data: ['../shared/data', 'folder of folders with base.npy, labels.npy, queries.npy and query_labels.npy'],
    rows: [10_000, 'at most, of each set'],
    budget: [120, 'seconds of two cores per training, the default of `train --deterministic`'],
    parts: ['8,16', 'sizes: the dimensions divided by these numbers'],
    seeds: [3, 'per size'],
    sets: ['', 'names of folders, separated by commas; all where nothing is given'],
    keep: ['', 'folder where finished trainings are kept: a later run of the same code goes on from there'],
    write: [false, 'replace docs/relevance.md'],
  },
);
const LANES = availableParallelism();
/** The budget is seconds of so many cores: a training on one thread gets as many times more of them. */
const CORES = 2;
const TRAINING = fileURLToPath(new URL('./relevance-training.js', import.meta.url));
const NEEDED = ['base.npy', 'labels.npy', 'queries.npy', 'query_labels.npy'];

const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

function labelledSets(): LabelledSet[] {
  const { data, rows } = options;
  const wanted = options.sets.split(',').filter(Boolean);
  const folders = existsSync(data) ? readdirSync(data).map((name) => join(data, name)) : [];
  return folders
    .filter((folder) => NEEDED.every((file) => existsSync(join(folder, file))))
    .filter((folder) => wanted.length === 0 || wanted.includes(basename(folder)))
    .map((folder) => ({ folder, rows, judged: existsSync(join(folder, 'qrels_example.npy')) }));
}

/** The dimensions divided by each of `--parts`. */
async function dimsOf({ folder }: LabelledSet): Promise<number[]> {
  const file = await openNpy(join(folder, 'base.npy'));
  const { cols } = file;
  await file.close();
  return options.parts
    .split(',')
    .map((part) => cols / Number(part))
    .filter(Number.isInteger);
}

const sets = labelledSets();
if (sets.length === 0) {
  console.error(`no labelled data in ${options.data}: expected folders with ${NEEDED.join(', ')}`);
  process.exit(2);
}
const sizes = (
  await Promise.all(sets.map(async (set) => (await dimsOf(set)).map((dim) => ({ set, dim }))))
).flat();
const trainings = Array.from({ length: options.seeds }, (_, i) =>
  sizes.map(({ set, dim }): RelevanceTraining => {
    return { set, dim, seed: i + 1, threads: 1, budgetSeconds: CORES * options.budget };
  }),
).flat();

/** Runs a training, unless an earlier run has kept its result. */
async function resultOf(training: RelevanceTraining): Promise<RelevanceResult> {
  const { set, dim, seed } = training;
  const file = options.keep === '' ? null : join(options.keep, `${basename(set.folder)}-${dim}-${seed}.json`);
  if (file !== null && existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { training: unknown; result: RelevanceResult };
    if (JSON.stringify(kept.training) === JSON.stringify(training)) return kept.result;
  }
  const result = (await runScript(TRAINING, [`--training=${JSON.stringify(training)}`])) as RelevanceResult;
  if (file !== null) writeFileSync(file, JSON.stringify({ training, result }));
  return result;
}

const answers = new Map<RelevanceTraining, RelevanceResult>();
const left = trainings.values();
const lane = async (): Promise<void> => {
  for (const training of left) {
    const answer = await resultOf(training);
    answers.set(training, answer);
    const { set, dim, seed } = training;
    const shipped = answer.candidates[answer.shipped]?.labels.toFixed(3) ?? '';
    progress(
      `${basename(set.folder)} ${dim} seed ${seed}: ${answer.shipped} ${shipped}, full vectors ${answer.full.labels.toFixed(3)}, ${answer.seconds.toFixed(0)} s`,
    );
  }
};
if (options.keep !== '') mkdirSync(options.keep, { recursive: true });

await Promise.all(Array.from({ length: LANES }, lane));

const results = sizes.map(({ set, dim }): RelevanceSize => {
  const mine = trainings.filter((one) => one.set === set && one.dim === dim);
  return {
    data: basename(set.folder),
    dim,
    results: mine.flatMap((one) => {
      const answer = answers.get(one);
      return answer === undefined ? [] : [answer];
    }),
  };
});
const page = relevancePage(results, {
  rows: options.rows,
  budgetSeconds: options.budget,
  cores: CORES,
  seeds: options.seeds,
  parts: options.parts,
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model ?? '',
  node: process.versions.node,
});
console.log(page);
if (options.write) await writeFile(fileURLToPath(new URL('../../docs/relevance.md', import.meta.url)), page);
