import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readNpy } from '../src/files/npy.js';
import type { TrainEncoderOptions } from '../src/select/train-encoder-options.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import { REFERENCE } from '../src/train/options.js';
import { optionsOf } from './options.js';

/**
 * One change at a time to the default training settings, on the demo's 10,000 vectors, judged on 1,000 held-out
 * rows; PCA beside them. Prints a Markdown table.
 */
const { dim } = optionsOf('One change at a time to the default training settings, on the demo’s vectors.', {
  dim: [32, 'of the encoder'],
});
const x = await readNpy(fileURLToPath(new URL('../../demo/data/base.npy', import.meta.url)));

const SWEEP: Readonly<Record<string, Partial<TrainEncoderOptions>>> = {
  'neighbourhood-kl, defaults': { loss: 'neighbourhood-kl' },
  '10 neighbours instead of 100': { nNeighbors: 10 },
  'peak rate .003 instead of .01': { learningRate: 0.003 },
  'perplexity 2 instead of 5': { perplexity: 2 },
  'perplexity 20 instead of 5': { perplexity: 20 },
  'perplexity 100 instead of 5': { perplexity: 100 },
  'random start instead of PCA': { init: 'random' },
  '1,500 steps instead of 500': { steps: 1500 },
  'barlow-twins, reference preset, 20 epochs': { ...REFERENCE, epochs: 20 },
  'barlow-twins, the same with Adam from PCA, rate .001': {
    ...REFERENCE,
    epochs: 20,
    optimizer: 'adam',
    learningRate: 0.001,
    init: 'pca',
  },
};

console.log(
  `10,000 x ${x.cols} -> ${dim}, seed 1; ${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}\n`,
);
console.log('| encoder | R10@10 | 95 % interval | R10@30 | R10@100 | seconds |\n|---|---|---|---|---|---|');
let first = true;
for (const [name, settings] of Object.entries(SWEEP)) {
  const { report } = await trainEncoder(x, { dim, seed: 1, refit: false, ...settings });
  const rows = report?.candidates.slice(0, first ? undefined : 1) ?? [];
  rows.forEach((candidate, i) => {
    const { recallAt10, interval, r10At30, r10At100, seconds } = candidate;
    const figures = [
      recallAt10.toFixed(3),
      interval.map((value) => value.toFixed(3)).join('–'),
      r10At30.toFixed(3),
      r10At100.toFixed(3),
    ];
    console.log(`| ${i === 0 ? name : candidate.name} | ${figures.join(' | ')} | ${seconds.toFixed(1)} |`);
  });
  first = false;
}
