import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readNpy } from '../src/files/npy.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import type { TrainEncoderOptions } from '../src/select/train-encoder-options.js';
import { referenceSettings } from '../src/train/options.js';
import { optionsOf } from './options.js';

/**
 * One change at a time to TLDR as published (Barlow Twins, linear encoder), on the demo's 10,000 vectors, judged on
 * held-out rows by fidelity. Prints a Markdown table.
 */
const { dim, epochs } = optionsOf('One change at a time to TLDR as published, on the demo’s vectors.', {
  dim: [32, 'of the encoder'],
  epochs: [30, 'of each training'],
});
const x = await readNpy(fileURLToPath(new URL('../../demo/data/base.npy', import.meta.url)));

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

console.log(
  `10,000 x ${x.cols} -> ${dim}, ${epochs} epochs, seed 1; ${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}\n`,
);
console.log('| settings | R10@10 | confirmed | R10@100 | seconds |\n|---|---|---|---|---|');
let pcaRows = '';
for (const [name, settings] of Object.entries(SWEEP)) {
  const { report } = await trainEncoder(x, { dim, seed: 1, ...settings });
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
