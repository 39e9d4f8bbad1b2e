import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../adapters/qdrant/index.js';
import { collectGarbageLessOften } from '../src/cli/collect-garbage-less-often.js';
import { startLocalQdrant } from '../adapters/qdrant/local/start.js';
import { Encoder } from '../src/encoder/model.js';
import { matrix, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import { migrateCollection } from '../src/migrate/run/migrate-collection.js';
import { trainEncoder } from '../src/select/train-encoder.js';
import { optionsOf } from './options.js';
import { runScript } from './processes.js';
import { clusterCentres, fillClustered } from './clustered-rows.js';

/**
 * Peak memory of training and migrating a large collection, each phase in a process of its own whose heap grows as the
 * command line's does. The vectors are synthetic: clusters in a space of falling variances.
 */
const DIM = 768;
const COMPACT_DIM = 96;
const SAMPLE = 50_000;
const CLUSTERS = 500;
const BATCH = 500;
const options = optionsOf('Peak memory of training and of migrating a large collection.', {
  rows: [200_000, 'points'],
  json: [false, 'print one object, last'],
  phase: ['', ''],
  url: ['', ''],
  'grpc-url': ['', ''],
  folder: ['', ''],
});
const { rows } = options;

/** Batch number `i`, the same in every run. */
function batchOf(i: number, centres: Matrix): Matrix {
  const x = matrix(BATCH, DIM);
  fillClustered(x, centres, new Rng(1000 + i));
  return x;
}

async function phase(
  name: string,
  url: string,
  { grpcUrl, folder }: { grpcUrl: string; folder: string },
): Promise<void> {
  collectGarbageLessOften();
  const store = await openQdrant({ url, grpcUrl });
  const encoderPath = join(folder, 'encoder.onnx');
  if (name === 'load') {
    const native = JSON.stringify({
      params: { vectors: { size: DIM, distance: 'Cosine' } },
      optimizer_config: {},
    });
    await store.create({
      name: 'source',
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native,
    });
    const centres = clusterCentres(CLUSTERS, DIM, new Rng(1));
    const has = new Uint8Array(BATCH).fill(1);
    for (let i = 0; i * BATCH < rows; i++) {
      const ids = Array.from({ length: BATCH }, (_, r) => BigInt(i * BATCH + r));
      const rest = ids.map((id) => store.codec.pack(`{"n":${id}}`));
      await store.upsert('source', {
        ids,
        vectors: [{ name: '', matrix: batchOf(i, centres), has }],
        extra: rest,
      });
    }
  } else if (name === 'train') {
    const { vectors } = await store.sample('source', { vectorName: '', size: SAMPLE });
    const { encoder, report } = await trainEncoder(vectors, { dim: COMPACT_DIM, seed: 1 });
    await encoder?.save(encoderPath);
    for (const { name: candidate, recallAt10, seconds } of report?.candidates ?? []) {
      console.error(`  ${candidate}: recall@10 ${recallAt10.toFixed(3)}, ${seconds.toFixed(1)} s`);
    }
  } else {
    const encoder = await Encoder.load(encoderPath);
    const sides = { source: store, target: store, sourceCollection: 'source', targetCollection: 'target' };
    const { copied, verify } = await migrateCollection({
      ...sides,
      encoder,
      layout: 'compact',
      statePath: join(folder, 'record.json'),
    });
    console.error(`  ${copied} points copied, ${verify.points} verified`);
  }
  await store.close();
  console.log(JSON.stringify({ peakMb: process.resourceUsage().maxRSS / 1024 }));
}

async function inChild(name: string, args: readonly string[]): Promise<{ peakMb: number; seconds: number }> {
  const startedAtMs = performance.now();
  const all = [`--phase=${name}`, `--rows=${rows}`, ...args];
  const { peakMb } = (await runScript(fileURLToPath(import.meta.url), all)) as { peakMb: number };
  const seconds = (performance.now() - startedAtMs) / 1000;
  console.log(`${name.padEnd(8)} peak ${peakMb.toFixed(0)} MB, ${seconds.toFixed(1)} s`);
  return { peakMb, seconds };
}

if (options.phase !== '') {
  await phase(options.phase, options.url, { grpcUrl: options['grpc-url'], folder: options.folder });
} else {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-bench-'));
  const server = await startLocalQdrant();
  try {
    console.log(
      `${rows} x ${DIM} -> ${COMPACT_DIM}, sample ${SAMPLE}; ${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}`,
    );
    const phases: Record<string, { peakMb: number; seconds: number }> = {};
    const place = [`--url=${server.url}`, `--grpc-url=${server.grpcUrl}`, `--folder=${folder}`];
    for (const name of ['load', 'train', 'migrate']) phases[name] = await inChild(name, place);
    if (options.json)
      console.log(JSON.stringify({ rows, dim: DIM, compactDim: COMPACT_DIM, sample: SAMPLE, phases }));
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
