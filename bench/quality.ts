import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readNpy } from '../src/cli/npy.js';
import { gatherRows, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import { createBenchmark, recallOf, searchCompact, type Benchmark } from '../src/evaluate/neighbor-recall.js';
import { trainEncoder, type TrainEncoderResult } from '../src/select/train-encoder.js';
import { referenceSettings } from '../src/train/train-options.js';

/**
 * What `train` ships, on queries that neither training nor selection saw, beside every other candidate, PCA and the
 * published TLDR settings. Options: `--data=<folder of folders with base.npy and queries.npy>` (the demo's data
 * without it), `--rows=10000`, `--budget=75` seconds per training at D/16 and D/8, `--other-budget=20` at other
 * sizes, `--reference-epochs=15`, `--seeds=3`, `--write` puts the page into docs/quality.md.
 */
const flag = (name: string, fallback: string): string =>
  process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback;
const ROWS = Number(flag('rows', '10000'));
const BUDGET_SECONDS = Number(flag('budget', '75'));
const OTHER_BUDGET_SECONDS = Number(flag('other-budget', '20'));
const REFERENCE_EPOCHS = Number(flag('reference-epochs', '15'));
const SEEDS = Number(flag('seeds', '3'));
const GRID = [32, 64, 128, 256];
const REFERENCE = 'tldr, published settings';

interface DataSet {
  readonly name: string;
  readonly base: Matrix;
  readonly queries: Matrix;
}

/** recall@10 on the queries by candidate, one entry per seed. */
interface Outcome {
  readonly set: DataSet;
  readonly dim: number;
  readonly ratio: string;
  readonly recalls: Map<string, number[]>;
  readonly shipped: string[];
  readonly seconds: number[];
}

const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

async function load(folder: string): Promise<DataSet> {
  const all = await readNpy(join(folder, 'base.npy'));
  const base =
    all.rows > ROWS ? gatherRows(all, new Rng(7).permutation(all.rows).slice(0, ROWS).sort()) : all;
  const name = basename(folder) === 'data' ? 'demo (WordNet, USE 512)' : basename(folder);
  return { name, base, queries: await readNpy(join(folder, 'queries.npy')) };
}

async function dataSets(): Promise<DataSet[]> {
  const demo = fileURLToPath(new URL('../../demo/data', import.meta.url));
  const folder = flag('data', '../shared/data');
  const found = existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'queries.npy')))
        .map((entry) => join(folder, entry.name))
    : [];
  if (found.length === 0) progress(`no data sets in ${folder}: the demo's data alone`);
  return Promise.all((found.length === 0 ? [demo] : found).map(load));
}

/** Sizes below half the dimensions: the grid, a sixteenth and an eighth. */
function dimsOf({ base: { cols } }: DataSet): number[] {
  const dims = [...GRID, cols / 16, cols / 8].filter((d) => Number.isInteger(d) && d < cols / 2);
  return [...new Set(dims)].sort((a, b) => a - b);
}

async function judge(benchmark: Benchmark, { candidates }: TrainEncoderResult): Promise<Map<string, number>> {
  const encoders = [...candidates.values()];
  const found = await searchCompact(
    benchmark,
    encoders.map(({ network, queryNetwork, metadata }) => ({
      network,
      queryNetwork,
      distances: [metadata.compactDistance],
    })),
  );
  return new Map(
    [...candidates.keys()].map((name, i) => [
      name,
      recallOf(benchmark, found[i]?.[0] ?? new Int32Array(0), 1).recallAt10,
    ]),
  );
}

async function measure(set: DataSet, benchmark: Benchmark, dim: number): Promise<Outcome> {
  const goal = dim === set.base.cols / 16 || dim === set.base.cols / 8;
  const recalls = new Map<string, number[]>();
  const add = (name: string, value: number): void =>
    void recalls.set(name, [...(recalls.get(name) ?? []), value]);
  const shipped: string[] = [];
  const seconds: number[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const startedAtMs = performance.now();
    const budgetSeconds = goal ? BUDGET_SECONDS : OTHER_BUDGET_SECONDS;
    const trained = await trainEncoder(set.base, { dim, seed, budgetSeconds });
    seconds.push((performance.now() - startedAtMs) / 1000);
    shipped.push(trained.report?.shipped ?? '');
    for (const [name, value] of await judge(benchmark, trained)) add(name, value);
    progress(
      `${set.name} ${dim} seed ${seed}: ${shipped.at(-1) ?? ''}, ${(seconds.at(-1) ?? 0).toFixed(0)} s`,
    );
  }
  if (goal && REFERENCE_EPOCHS > 0) {
    const settings = referenceSettings({
      batchSize: Math.min(1024, Math.floor(set.base.rows * 0.9)),
      epochs: REFERENCE_EPOCHS,
    });
    const trained = await trainEncoder(set.base, { dim, seed: 1, ...settings, init: 'random' });
    add(REFERENCE, (await judge(benchmark, trained)).get('tldr') ?? Number.NaN);
    progress(`${set.name} ${dim} published settings`);
  }
  const ratio = goal ? (dim === set.base.cols / 16 ? 'D/16' : 'D/8') : '';
  return { set, dim, ratio, recalls, shipped, seconds };
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
      const { set, dim, ratio, shipped, recalls, seconds } = outcome;
      const { recall, gap } = shippedOf(outcome);
      const reference = recalls.get(REFERENCE)?.[0];
      return [
        set.name,
        `${set.base.cols} -> ${dim}${ratio === '' ? '' : ` (${ratio})`}`,
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
  const { set, dim, recalls } = outcome;
  const rows = [...recalls]
    .sort((a, b) => mean(b[1]) - mean(a[1]))
    .map(([name, values]) => [
      name,
      mean(values).toFixed(4),
      values.length < 2 ? '' : `${Math.min(...values).toFixed(4)} - ${Math.max(...values).toFixed(4)}`,
    ]);
  return `### ${set.name}, ${set.base.cols} -> ${dim}\n\n${table([['candidate', 'recall@10', 'over seeds'], ...rows, ['full vectors', '1.0000', '']])}`;
}

const beganAtMs = performance.now();
const outcomes: Outcome[] = [];
for (const set of await dataSets()) {
  const benchmark = await createBenchmark({ base: set.base, queries: set.queries, distance: 'cosine' });
  for (const dim of dimsOf(set)) outcomes.push(await measure(set, benchmark, dim));
}
const goals = outcomes.filter(({ ratio }) => ratio !== '');
const withRoom = goals.filter((outcome) => betterPca(outcome) < 0.85);
const gains = withRoom.map((outcome) => shippedOf(outcome).recall - betterPca(outcome));
const page = `# Quality

Generated by \`npm run bench:quality -- --write\`: do not edit. recall@10 of the full space's true ten nearest by exact search in the compact space, on queries that took no part in training or choosing. Base: ${ROWS.toLocaleString('en-US')} rows at most of each set; training budget ${BUDGET_SECONDS} s at D/16 and D/8, ${OTHER_BUDGET_SECONDS} s at other sizes (too little for TLDR's flinear and mlp encoders there); mean of ${SEEDS} seeds; published TLDR settings: linear, projector mlp-1-2048, LARS, batch 1,024, ${REFERENCE_EPOCHS} epochs, one seed. The whole run took ${((performance.now() - beganAtMs) / 60_000).toFixed(0)} minutes; seconds are those of one training. ${cpus()[0]?.model ?? ''}, ${cpus().length} cores, Node ${process.versions.node}.

"Below the best" is how far the shipped candidate is below the best of all candidates on these queries, in points.

${summary(outcomes)}

At D/16 and D/8, where PCA is below .85 (${withRoom.length} of ${goals.length}): ${points(mean(gains))} points over the better PCA on average, ${points(Math.min(...gains))} at least.

## Every candidate

${outcomes.map(details).join('\n\n')}
`;
console.log(page);
if (process.argv.includes('--write'))
  await writeFile(fileURLToPath(new URL('../../docs/quality.md', import.meta.url)), page);
