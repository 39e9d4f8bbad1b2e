import { cpus } from 'node:os';
import { matrix } from '../src/core/matrix.js';
import { createNativeMatmul } from '../src/encoder/native-matmul.js';
import { Rng } from '../src/core/rng.js';
import { prepareSample } from '../src/train/prepare-sample.js';
import { runTraining } from '../src/train/run-training.js';
import { REFERENCE } from '../src/train/options.js';
import { optionsOf } from './options.js';

/** Speed of the reference preset beside a plain large matmul, alternating in one run. */
const ROWS = 20_000;
const INPUT_DIM = 512;
const OUTPUT_DIM = 64;
const PROJECTOR_WIDTH = 2048;
const BATCH = 1024;
const ROUNDS = 5;
const STEPS_PER_ROUND = 3;
const MATMUL_SIZE = 2048;
const { threads, json } = optionsOf('Speed of training beside a plain large matmul.', {
  threads: [2, 'of both'],
  json: [false, 'print one object, last'],
});

/**
 * Floating-point operations of one step: 2 m n k per matrix product; each product of the forward pass costs two
 * more in the backward pass, but the first layer needs no derivative with respect to the data. Element-wise
 * work is not counted.
 */
function flopPerStep(): number {
  const rows = 2 * BATCH;
  const encoder = 2 * rows * INPUT_DIM * OUTPUT_DIM;
  const hidden = 2 * rows * OUTPUT_DIM * PROJECTOR_WIDTH;
  const output = 2 * rows * PROJECTOR_WIDTH * PROJECTOR_WIDTH;
  const correlation = 2 * BATCH * PROJECTOR_WIDTH * PROJECTOR_WIDTH;
  return 2 * encoder + 3 * (hidden + output + correlation);
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

const rng = new Rng(1);
const x = matrix(ROWS, INPUT_DIM);
for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal();
// Speed does not depend on which rows are neighbours: random ones stand in for a graph.
const graph = { rows: ROWS, k: 5, neighbors: Int32Array.from({ length: ROWS * 5 }, () => rng.int(ROWS)) };
const square = matrix(MATMUL_SIZE, MATMUL_SIZE);
for (let i = 0; i < square.data.length; i++) square.data[i] = rng.normal();
const product = await createNativeMatmul({ threads });
await product.multiply(square, square);

const stepSeconds: number[] = [];
const matmulSeconds: number[] = [];
let lastAtMs = 0;
const measureMatmul = async (): Promise<void> => {
  const startedAtMs = performance.now();
  await product.multiply(square, square);
  matmulSeconds.push((performance.now() - startedAtMs) / 1000);
};
const totalSteps = ROUNDS * STEPS_PER_ROUND + 1;
await runTraining(
  await prepareSample(x, { distance: 'cosine', threads }),
  graph,
  {
    ...REFERENCE,
    epochs: null,
    steps: totalSteps,
    outputDim: OUTPUT_DIM,
    distance: 'cosine',
    seed: 1,
    threads,
  },
  {
    // Asked before each step: the plain product takes its turn there, so both see the same machine.
    shouldStop: async () => {
      await measureMatmul();
      lastAtMs = performance.now();
      return false;
    },
    onProgress: ({ done }) => {
      // The first step pays for memory that later ones reuse.
      if (done > 1) stepSeconds.push((performance.now() - lastAtMs) / 1000);
    },
  },
);

const secondsPerStep = median(stepSeconds);
const gflops = flopPerStep() / secondsPerStep / 1e9;
const matmulGflops = (2 * MATMUL_SIZE ** 3) / median(matmulSeconds) / 1e9;
const result = {
  preset: 'reference',
  rows: ROWS,
  dims: `${INPUT_DIM} -> ${OUTPUT_DIM}`,
  batch: BATCH,
  projector: REFERENCE.projector,
  secondsPerStep,
  secondsPerEpoch: secondsPerStep * Math.floor(ROWS / BATCH),
  gflopPerStep: flopPerStep() / 1e9,
  gflops,
  matmulGflops,
  shareOfMatmul: gflops / matmulGflops,
  peakMemoryMb: process.resourceUsage().maxRSS / 1024,
  threads,
  hardware: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores`,
  node: process.version,
};
for (const [name, value] of Object.entries(result)) {
  console.log(
    `${name.padEnd(16)} ${typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 3 }) : value}`,
  );
}
if (json) console.log(JSON.stringify(result));
