import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { middleWayPage } from './page.js';
import { measureSet, type MeasuredSet, type SetRun } from './measure-set.js';
import { optionsOf } from '../options.js';

/**
 * Candidates between fidelity and relevance on sets with labels, and what can be said of them without labels. Fixed
 * numbers of steps, one seed.
 */
const options = optionsOf('Candidates between fidelity and relevance, measured with labels and without.', {
  data: ['../shared/data', 'folder of folders with base.npy, labels.npy, queries.npy and query_labels.npy'],
  sets: ['', 'names of folders, separated by commas; all where nothing is given'],
  rows: [8_000, 'at most, of each set'],
  queries: [400, 'at most, of each set'],
  steps: [1, 'of each training, as a share of the usual number'],
  part: [8, 'size: the dimensions divided by this number'],
  seed: [1, 'of everything random'],
  threads: [2, 'of training and search'],
  keep: ['', 'folder where finished sets are kept: a later run of the same settings goes on from there'],
  write: [false, 'replace docs/benchmarks/middle-way.md'],
});
const NEEDED = ['base.npy', 'labels.npy', 'queries.npy', 'query_labels.npy'];

const { data, rows, queries, steps, part, seed, threads, keep } = options;
const asked = options.sets.split(',').filter(Boolean);
const runs = (existsSync(data) ? readdirSync(data) : [])
  .filter((name) => NEEDED.every((file) => existsSync(join(data, name, file))))
  .filter((name) => asked.length === 0 || asked.includes(name))
  .map((name): SetRun => {
    const folder = join(data, name);
    const judged = existsSync(join(folder, 'qrels_example.npy'));
    return { folder, rows, queries, steps, part, seed, threads, judged };
  });
if (runs.length === 0) {
  console.error(`no labelled data in ${data}: expected folders with ${NEEDED.join(', ')}`);
  process.exit(2);
}

/** Measures a set, unless an earlier run has kept it. */
async function resultOf(run: SetRun): Promise<MeasuredSet> {
  const file = keep === '' ? null : join(keep, `${basename(run.folder)}.json`);
  if (file !== null && existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { run: unknown; result: MeasuredSet };
    if (JSON.stringify(kept.run) === JSON.stringify(run)) return kept.result;
  }
  const result = await measureSet(run);
  if (file !== null) writeFileSync(file, JSON.stringify({ run, result }));
  return result;
}

if (keep !== '') mkdirSync(keep, { recursive: true });
const results: MeasuredSet[] = [];
for (const run of runs) {
  results.push(await resultOf(run));
  console.error(`${new Date().toISOString().slice(11, 19)} ${basename(run.folder)} measured`);
}
const page = middleWayPage(results, {
  seed,
  queries,
  steps,
  part,
  date: new Date().toISOString().slice(0, 10),
  hardware: `${cpus()[0]?.model ?? ''}, ${threads} threads`,
  node: process.versions.node,
});
console.log(page);
if (options.write)
  writeFileSync(fileURLToPath(new URL('../../../docs/benchmarks/middle-way.md', import.meta.url)), page);
