import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectDefined } from '../../src/core/errors.js';
import { readNpy } from '../../src/files/npy.js';
import { defaultDims, preparePlan, type PlanOptions } from '../../src/plan/prepare-plan.js';
import { proposalsOf } from '../../src/plan/proposals.js';
import { runPlan } from '../../src/plan/run-plan.js';
import { QUICK_SIZING } from '../../src/cli/shrink/measure.js';
import { readIntegers } from '../labelled-task.js';
import { optionsOf } from '../options.js';
import { COLLECTION, withFilledServer } from './filled-server.js';
import { factsOfThisRun } from './run-facts.js';
import { sizesPage, type SizesOfSet } from './sizes-page.js';
import { sizedSets, type SizedSet } from './sizes-sets.js';

/**
 * RAM, disk and recall@10 for a million points of several sizes: the full vectors, and the three proposals of `shrink`.
 * The sample is the whole set, so that no recall is predicted.
 */
const options = optionsOf('What a million points take, and what is found, at several sizes.', {
  data: ['../shared/data/ada002-1536', 'folder with base.npy and labels.npy'],
  queries: [300, 'held out of each set, to measure with'],
  budget: [60, 'seconds of training for all sizes of a set'],
  threads: [2, 'of training'],
  seed: [1, 'of everything random'],
  write: [false, 'replace docs/benchmarks/sizes.md'],
});
const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

async function measure({ dim, isReal, about, rows: x }: SizedSet): Promise<SizesOfSet> {
  return withFilledServer(x, async (store) => {
    const plan: PlanOptions = {
      store,
      scratchStore: store,
      collection: COLLECTION,
      dims: defaultDims(dim, QUICK_SIZING.reductions),
      kinds: QUICK_SIZING.kinds,
      oversamplings: QUICK_SIZING.oversamplings,
      sampleSize: x.rows,
      queriesCount: options.queries,
      scratchName: 'tldr-plan-sizes',
      scratchMetadata: {},
      seed: options.seed,
      threads: options.threads,
      budgetSeconds: options.budget,
      log: (_level, message) => progress(`${dim}: ${message}`),
    };
    const { rows, samplePoints, queries } = await runPlan(plan, await preparePlan(plan));
    const current = rows.find(({ kind }) => kind === 'current');
    return {
      dim,
      isReal,
      about,
      points: samplePoints,
      queries: queries.count,
      full: expectDefined(current, 'the collection as it is'),
      proposals: proposalsOf(rows, 'two-stage'),
    };
  });
}

const base = join(options.data, 'base.npy');
if (!existsSync(base)) {
  console.error(`no vectors in ${options.data}: expected base.npy and labels.npy`);
  process.exit(2);
}
const sets = sizedSets(await readNpy(base), {
  labels: await readIntegers(join(options.data, 'labels.npy')),
  name: basename(options.data),
  seed: options.seed,
});
const measured: SizesOfSet[] = [];
for (const set of sets) measured.push(await measure(set));
const page = sizesPage(measured, {
  budgetSeconds: options.budget,
  seed: options.seed,
  ...factsOfThisRun(),
});
console.log(page);
if (options.write)
  await writeFile(fileURLToPath(new URL('../../../docs/benchmarks/sizes.md', import.meta.url)), page);
