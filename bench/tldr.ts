import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createBenchmark, FOUND_K, recallOf, searchCompact } from '../src/evaluate/neighbor-recall.js';
import { rankingQuality } from '../src/evaluate/relevance.js';
import { readNpy } from '../src/files/npy.js';
import { buildKnnGraph } from '../src/knn/build-knn-graph.js';
import type { KnnGraph } from '../src/knn/graph.js';
import { trainTldr } from '../src/train/tldr.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import type { TrainEncoderOptions } from '../src/select/train-encoder-options.js';
import { referenceSettings } from '../src/train/options.js';
import { labelledTask } from './labelled-task.js';
import { optionsOf } from './options.js';

/**
 * One change at a time to TLDR as published (Barlow Twins, linear encoder), on the demo's 10,000 vectors, judged on
 * held-out rows by fidelity; then its encoders with approximate neighbours. Prints Markdown tables.
 */
const options = optionsOf('One change at a time to TLDR as published, on the demo’s vectors.', {
  dim: [32, 'of the encoder'],
  epochs: [30, 'of each training'],
  neighbours: [false, 'only the table of approximate neighbours'],
  data: ['', 'folder with base.npy, labels.npy, queries.npy and query_labels.npy, for that table'],
});
const { dim, epochs } = options;
const DEMO = fileURLToPath(new URL('../../demo/data', import.meta.url));
const x = await readNpy(join(DEMO, 'base.npy'));

/** Rows and steps of the table of approximate neighbours. */
const ROWS = 10_000;
const STEPS = 300;

const published = { ...referenceSettings({ batchSize: 1024, epochs }), init: 'random' as const };
const narrow = { ...published, projector: 'mlp-1-512' };
const adam = { ...narrow, optimizer: 'adam' as const, learningRate: 0.001 };
const fromPca = { ...adam, init: 'pca' as const };
const SWEEP: Readonly<Record<string, Partial<TrainEncoderOptions>>> = {
  'as published: projector mlp-1-2048, LARS, k 5, random start': published,
  'projector mlp-1-512': narrow,
  'projector mlp-1-512, from PCA': { ...narrow, init: 'pca' },
  'projector mlp-1-512, Adam .001': adam,
  'projector mlp-1-512, Adam .001, from PCA': fromPca,
  'the same, Adam .0001': { ...fromPca, learningRate: 0.0001 },
  'the same, k 3': { ...fromPca, nNeighbors: 3 },
  'the same, k 20': { ...fromPca, nNeighbors: 20 },
  'the same, no projector': { ...fromPca, projector: 'none' },
  'the same, projector mlp-2-512': { ...fromPca, projector: 'mlp-2-512' },
  'the same, projector mlp-1-2048': { ...fromPca, projector: 'mlp-1-2048' },
};

/** Links and list lengths of HNSW indexes, from careless to careful. */
const INDEXES = [
  { m: 2, efConstruction: 2, efSearch: 6 },
  { m: 2, efConstruction: 8, efSearch: 6 },
  { m: 3, efConstruction: 6, efSearch: 6 },
  { m: 4, efConstruction: 8, efSearch: 6 },
  { m: 5, efConstruction: 10, efSearch: 6 },
  { m: 6, efConstruction: 12, efSearch: 8 },
  { m: 8, efConstruction: 20, efSearch: 10 },
  { m: 8, efConstruction: 40, efSearch: 20 },
] as const;

const machine = `${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}`;
if (!options.neighbours) await printSweep();
await printApproximateNeighbours();

async function printSweep(): Promise<void> {
  console.log(`10,000 x ${x.cols} -> ${dim}, ${epochs} epochs, seed 1; ${machine}\n`);
  console.log('| settings | R10@10 | confirmed | R10@100 | seconds |\n|---|---|---|---|---|');
  let pcaRows = '';
  for (const [name, settings] of Object.entries(SWEEP)) {
    const { report } = await trainEncoder(x, { dim, seed: 1, refit: false, ...settings });
    const line = (shown: string, candidate: string): string => {
      const found = report?.candidates.find((one) => one.name === candidate);
      if (found === undefined) return '';
      const { recallAt10, r10At100, confirmed, seconds } = found;
      const figures = [recallAt10, confirmed.recallAt10, r10At100].map((value) => value.toFixed(3));
      return `| ${shown} | ${figures.join(' | ')} | ${seconds.toFixed(1)} |`;
    };
    console.log(line(name, 'tldr'));
    pcaRows ||= ['pca-uncentred', 'pca'].map((candidate) => line(candidate, candidate)).join('\n');
  }
  console.log(pcaRows);
}

/** The same training with neighbour graphs of recall .5, .7 and .9 or so, and with the exact one. */
async function printApproximateNeighbours(): Promise<void> {
  const task = await labelledTask({ folder: options.data === '' ? DEMO : options.data, rows: ROWS });
  const { base } = task;
  const shared = { k: 5, distance: 'cosine', seed: 1, threads: 1 } as const;
  const approximate: KnnGraph[] = [];
  for (const index of INDEXES)
    approximate.push(await buildKnnGraph(base, { ...shared, ...index, method: 'hnsw' }));
  const nearest = [0.5, 0.7, 0.9].map((goal) =>
    approximate.reduce((kept, one) =>
      Math.abs(one.recall - goal) < Math.abs(kept.recall - goal) ? one : kept,
    ),
  );
  const graphs = [...new Set(nearest), await buildKnnGraph(base, { ...shared, method: 'exact' })];
  console.log(
    `\n${base.rows} x ${base.cols} -> ${dim}, k 5, ${STEPS} steps, seed 1; ${machine}\n\n| recall of the neighbours | encoder | recall@10 | mAP@100 by labels |\n|---|---|---|---|`,
  );
  for (const encoder of ['linear', 'mlp-1-512'])
    for (const graph of graphs) {
      const settings = {
        loss: 'barlow-twins',
        encoder,
        projector: 'mlp-1-512',
        optimizer: 'adam',
        learningRate: 0.001,
      } as const;
      const { network } = await trainTldr(
        base,
        { ...settings, outputDim: dim, distance: 'cosine', seed: 1, batchSize: 512, steps: STEPS },
        { graph },
      );
      const benchmark = await createBenchmark({ ...task, distance: 'cosine' });
      const found = (
        await searchCompact(benchmark, [{ network, queryNetwork: undefined, distances: ['cosine'] }])
      ).flat();
      const [list] = found;
      if (list === undefined) throw new Error('no search result');
      const labels =
        task.labels === null ? 'no labels' : rankingQuality(list, FOUND_K, task.labels).mapAt100.toFixed(3);
      const recall = recallOf(benchmark, list, 1).recallAt10.toFixed(3);
      console.log(`| ${graph.recall.toFixed(2)} | ${encoder} | ${recall} | ${labels} |`);
    }
}
