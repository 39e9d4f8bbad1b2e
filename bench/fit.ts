import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { fitMoments, principalAxes } from '../src/baselines/pca.js';
import { matrix, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import { optionsOf } from './options.js';
import { runScript } from './processes.js';
import { clusterCentres, fillClustered } from './clustered-rows.js';

/**
 * Time and peak memory of fitting 100,000 x 768 -> 96 with the default budget, and of PCA alone, each in a process
 * of its own. Synthetic vectors: clusters in a space of falling variances.
 */
const DIM = 768;
const COMPACT_DIM = 96;
const CLUSTERS = 500;
const options = optionsOf('Time and peak memory of fitting with the default budget, and of PCA alone.', {
  rows: [100_000, 'vectors'],
  json: [false, 'print one object, last'],
  phase: ['', ''],
});
const { rows } = options;
const threads = 2;

function sample(): Matrix {
  const rng = new Rng(1);
  const centres = clusterCentres(CLUSTERS, DIM, rng);
  const x = matrix(rows, DIM, new Float32Array(new SharedArrayBuffer(rows * DIM * 4)));
  fillClustered(x, centres, rng);
  return x;
}

async function phase(name: string): Promise<void> {
  const x = sample();
  const startedAtMs = performance.now();
  if (name === 'pca') {
    const moments = await fitMoments(x, { distance: 'cosine', threads });
    await principalAxes(moments, { d: COMPACT_DIM, centred: true, threads });
  } else {
    const { report } = await trainEncoder(x, { dim: COMPACT_DIM, seed: 1, threads, refit: false });
    for (const { name: candidate, recallAt10 } of report?.candidates ?? [])
      console.error(`  ${candidate}: recall@10 ${recallAt10.toFixed(3)}`);
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  console.log(JSON.stringify({ seconds, peakMb: process.resourceUsage().maxRSS / 1024 }));
}

async function inChild(name: string): Promise<{ seconds: number; peakMb: number }> {
  const args = [`--phase=${name}`, `--rows=${rows}`];
  return (await runScript(fileURLToPath(import.meta.url), args)) as { seconds: number; peakMb: number };
}

if (options.phase !== '') await phase(options.phase);
else {
  console.log(
    `${rows} x ${DIM} -> ${COMPACT_DIM} (synthetic); ${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}`,
  );
  const phases: Record<string, { seconds: number; peakMb: number }> = {};
  for (const name of ['pca', 'auto']) {
    const { seconds, peakMb } = (phases[name] = await inChild(name));
    console.log(`${name.padEnd(5)} ${seconds.toFixed(1)} s, peak ${peakMb.toFixed(0)} MB`);
  }
  if (options.json) console.log(JSON.stringify({ rows, phases }));
}
