import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gatherRows } from '../../src/core/matrix.js';
import { Rng } from '../../src/core/rng.js';
import { readNpy } from '../../src/files/npy.js';
import { preparePlan, type PlanOptions } from '../../src/plan/prepare-plan.js';
import { runPlan } from '../../src/plan/run-plan.js';
import type { SizingRow } from '../../src/plan/sizing-row.js';
import { STORAGE_KINDS } from '../../src/store/collection.js';
import { optionsOf } from '../options.js';
import { COLLECTION, withFilledServer } from './filled-server.js';
import { factsOfThisRun } from './run-facts.js';
import { ownCodesPage, type CodesOfSet, type CodesRow } from './own-codes-page.js';

/**
 * The database's own codes of full vectors beside codes of compact vectors in the same memory, all measured by `plan` on
 * the packaged server. The sample is the whole set, so that nothing is predicted.
 */
const options = optionsOf(
  "The database's own codes of full vectors beside compact spaces in the same memory.",
  {
    data: ['../shared/data', 'folder of folders with base.npy'],
    sets: ['', 'names of folders, separated by commas; all where nothing is given'],
    rows: [10_000, 'at most, of each set'],
    queries: [300, 'held out of each set, to measure with'],
    parts: ['16,8,4,2', 'sizes: the dimensions divided by these numbers'],
    oversampling: ['1,4', 'first-stage results per requested result'],
    budget: [240, 'seconds of training for all sizes of a set'],
    threads: [2, 'of training'],
    seed: [1, 'of everything random'],
    keep: ['', 'folder where the rows of a set are kept: a later run shows them without measuring again'],
    write: [false, 'replace docs/benchmarks/own-codes.md'],
  },
);
const numbers = (text: string): number[] => text.split(',').map(Number);
const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

/** What a plan measures of one set, without the evidence. */
async function measure(folder: string): Promise<CodesOfSet> {
  const all = await readNpy(join(folder, 'base.npy'));
  const order = new Rng(options.seed).permutation(all.rows).subarray(0, options.rows);
  const x = gatherRows(all, order);
  return withFilledServer(x, async (store) => {
    const plan: PlanOptions = {
      store,
      scratchStore: store,
      collection: COLLECTION,
      dims: numbers(options.parts).map((part) => Math.floor(x.cols / part)),
      kinds: STORAGE_KINDS.filter((kind) => kind !== 'uint8' && kind !== 'float32'),
      oversamplings: numbers(options.oversampling),
      sampleSize: x.rows,
      queriesCount: options.queries,
      scratchName: 'tldr-plan-own-codes',
      scratchMetadata: {},
      seed: options.seed,
      threads: options.threads,
      budgetSeconds: options.budget,
      log: (_level, message) => progress(`${basename(folder)}: ${message}`),
    };
    const { rows, samplePoints, queries } = await runPlan(plan, await preparePlan(plan));
    return {
      set: basename(folder),
      dim: x.cols,
      points: samplePoints,
      queries: queries.count,
      rows: rows.map(plain),
    };
  });
}

function plain({ evidence, ...row }: SizingRow): CodesRow & { readonly asked: number } {
  return { ...row, asked: evidence.recall.length };
}

async function codesOf(folder: string): Promise<CodesOfSet> {
  const { keep, rows, queries, parts, oversampling, budget, seed } = options;
  const settings = { rows, queries, parts, oversampling, budget, seed };
  const file = keep === '' ? null : join(keep, `own-codes-${basename(folder)}.json`);
  if (file !== null && existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { settings: unknown; codes: CodesOfSet };
    if (JSON.stringify(kept.settings) === JSON.stringify(settings)) return kept.codes;
  }
  const codes = await measure(folder);
  if (file !== null) writeFileSync(file, JSON.stringify({ settings, codes }));
  return codes;
}

const wanted = options.sets.split(',').filter(Boolean);
const folders = (existsSync(options.data) ? readdirSync(options.data) : [])
  .filter((name) => wanted.length === 0 || wanted.includes(name))
  .map((name) => join(options.data, name))
  .filter((folder) => existsSync(join(folder, 'base.npy')));
if (folders.length === 0) {
  console.error(`no data sets in ${options.data}: expected folders with base.npy`);
  process.exit(2);
}
if (options.keep !== '') mkdirSync(options.keep, { recursive: true });
const measured: CodesOfSet[] = [];
for (const folder of folders) measured.push(await codesOf(folder));
const page = ownCodesPage(measured, {
  oversamplings: numbers(options.oversampling),
  budgetSeconds: options.budget,
  seed: options.seed,
  ...factsOfThisRun(),
});
console.log(page);
if (options.write)
  await writeFile(fileURLToPath(new URL('../../../docs/benchmarks/own-codes.md', import.meta.url)), page);
