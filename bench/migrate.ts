import { QdrantClient as GrpcClient, toDenseVector } from '@qdrant/js-client-grpc';
import { QdrantClient as RestClient, type Schemas } from '@qdrant/js-client-rest';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../adapters/qdrant/index.js';
import { collectGarbageLessOften } from '../src/cli/collect-garbage-less-often.js';
import { startLocalQdrant } from '../adapters/qdrant/local/start.js';
import { PACKAGED_VERSION } from '../adapters/qdrant/local/packaged-version.js';
import { Encoder } from '../src/encoder/model.js';
import { matrix, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import type { QdrantStore } from '../adapters/qdrant/index.js';
import { percentile } from '../src/evaluate/ranking.js';
import { migrateCollection } from '../src/migrate/run/migrate-collection.js';
import { optionsOf } from './options.js';
import { cpuSecondsOf, runScript } from './processes.js';

/**
 * Speed of moving a collection, side by side in one run and in alternating order: the official REST client's copy,
 * the official gRPC client's (compression off), the plain full-size copy over this package's own transport, and
 * `migrate` to compact vectors. Every copier runs in a process of its own, two or three lanes, batches of 256, waiting for
 * every write; no collection has an index, so that only the copy is measured. Synthetic vectors with payloads of about 1 kB.
 */
const DIM = 1536;
const COMPACT_DIM = 96;
const BATCH = 256;
const PAYLOAD_BYTES = 1000;
const COPIERS = ['rest', 'grpc', 'plain', 'migrate'] as const;
type Copier = (typeof COPIERS)[number];
/** Of two and three the number each was faster with; for `migrate` it is the default. */
const LANES: Readonly<Record<Copier, number>> = { rest: 3, grpc: 2, plain: 2, migrate: 3 };

const options = optionsOf('Speed of moving a collection, beside the official clients and a plain copy.', {
  rows: [100_000, 'points'],
  rounds: [3, 'of all copiers; their medians count'],
  'node-heap': [false, 'leave the heap of `migrate` and `plain` to Node, as the command line does not'],
  json: [false, 'print every round as one object, last'],
  phase: ['', ''],
  pid: [0, ''],
  url: ['', ''],
  'grpc-url': ['', ''],
  folder: ['', ''],
  target: ['', ''],
});
const { rows, rounds } = options;

interface Place {
  readonly url: string;
  readonly grpcUrl: string;
  readonly folder: string;
  readonly target: string;
}

interface Measured {
  readonly seconds: number;
  readonly nodeCpuSeconds: number;
  readonly serverCpuSeconds: number;
  readonly peakMb: number;
}

async function encoder(): Promise<Encoder> {
  // Only where it is needed: with it comes the native library, whose start belongs to the copy that uses it.
  const { randomProjection } = await import('../src/baselines/pca.js');
  const network = randomProjection(DIM, { dim: COMPACT_DIM, distance: 'cosine', seed: 1 });
  return new Encoder(network, {
    method: 'random-projection',
    distance: 'cosine',
    compactDistance: 'cosine',
    source: 'synthetic',
    seed: 1,
    dataFingerprint: '',
    hyperParameters: {},
    metrics: {},
    createdBy: 'bench',
  });
}

function vectorsOf(first: number, count: number): Matrix {
  const rng = new Rng(1 + first);
  const x = matrix(count, DIM);
  for (let i = 0; i < x.data.length; i++) x.data[i] = rng.normal() / (1 + (i % DIM) / 32);
  return x;
}

const VECTORS = { size: DIM, distance: 'Cosine', hnsw_config: { m: 0 } } as const;
/** Nor is anything built meanwhile: every copier's target is filled as a bulk load should be. */
const OPTIMIZERS = { indexing_threshold: 0 };

/** A collection of full vectors and no index. */
async function createPlain(store: QdrantStore, name: string): Promise<void> {
  const native = JSON.stringify({ params: { vectors: VECTORS }, optimizer_config: OPTIMIZERS });
  await store.create({ name, vectors: [], otherVectors: [], partitions: [], metadata: {}, native });
}

const encoderFile = (folder: string): string => join(folder, 'encoder.onnx');

async function load({ url, grpcUrl, folder }: Place): Promise<void> {
  await (await encoder()).save(encoderFile(folder));
  const store = await openQdrant({ url, grpcUrl });
  await createPlain(store, 'source');
  const text = 'lorem ipsum '.repeat(PAYLOAD_BYTES / 12);
  for (let at = 0; at < rows; at += BATCH) {
    const count = Math.min(BATCH, rows - at);
    const ids = Array.from({ length: count }, (_, i) => BigInt(at + i));
    const rest = ids.map((id) => store.codec.pack(JSON.stringify({ n: Number(id), text })));
    const column = { name: '', matrix: vectorsOf(at, count), has: new Uint8Array(count).fill(1) };
    await store.upsert('source', { ids, vectors: [column], extra: rest });
  }
  await store.close();
}

/** Ids of one lane: from, and the first that is no longer its. */
interface Lane {
  readonly from: number;
  readonly to: number;
}

async function inLanes(copier: Copier, copy: (lane: Lane) => Promise<void>): Promise<void> {
  const lanes = LANES[copier];
  const cut = (lane: number): number => Math.floor((rows * lane) / lanes);
  const ranges = Array.from({ length: lanes }, (_, lane) => ({ from: cut(lane), to: cut(lane + 1) }));
  await Promise.all(ranges.map(copy));
}

async function copyByRest({ url, target }: Place): Promise<void> {
  const client = new RestClient({ url, checkCompatibility: false });
  await client.createCollection(target, { vectors: VECTORS, optimizers_config: OPTIMIZERS });
  await inLanes('rest', async ({ from, to }) => {
    for (let at = from; at < to; at += BATCH) {
      const limit = Math.min(BATCH, to - at);
      const page = await client.scroll('source', {
        offset: at,
        limit,
        with_vector: true,
        with_payload: true,
      });
      const points = page.points.map(({ id, vector, payload = {} }): Schemas['PointStruct'] => {
        if (!Array.isArray(vector)) throw new Error(`point ${id} has no vector`);
        return { id, vector: vector, payload };
      });
      await client.upsert(target, { wait: true, points });
    }
  });
}

async function copyByGrpc({ url, grpcUrl, target }: Place): Promise<void> {
  await new RestClient({ url, checkCompatibility: false }).createCollection(target, {
    vectors: VECTORS,
    optimizers_config: OPTIMIZERS,
  });
  const client = new GrpcClient({ url: grpcUrl, checkCompatibility: false, compression: false }).api(
    'points',
  );
  const on = { selectorOptions: { case: 'enable', value: true } } as const;
  await inLanes('grpc', async ({ from, to }) => {
    for (let at = from; at < to; at += BATCH) {
      const page = await client.scroll({
        collectionName: 'source',
        offset: { pointIdOptions: { case: 'num', value: BigInt(at) } },
        limit: Math.min(BATCH, to - at),
        withPayload: on,
        withVectors: on,
      });
      const points = page.result.map(({ id, payload, vectors }) => {
        const found = vectors?.vectorsOptions;
        if (id === undefined || found?.case !== 'vector') throw new Error('a point has no vector');
        const value = toDenseVector(found.value);
        if (value === undefined) throw new Error('a vector is not dense');
        const vector = { vector: { case: 'dense', value } } as const;
        return { id, payload, vectors: { vectorsOptions: { case: 'vector', value: vector } } } as const;
      });
      await client.upsert({ collectionName: target, wait: true, points });
    }
  });
}

/** Over this package's transport, as large as it was. */
async function copyPlain({ url, grpcUrl, target }: Place): Promise<void> {
  const store = await openQdrant({ url, grpcUrl });
  await createPlain(store, target);
  await inLanes('plain', async ({ from, to }) => {
    let write: Promise<void> = Promise.resolve();
    const range = { from: BigInt(from), to: BigInt(to) };
    for await (const batch of store.scan('source', { vectorName: '', range, batchSize: BATCH })) {
      const column = { name: '', matrix: batch.vectors, has: batch.hasVector };
      await write;
      write = store.upsert(target, { ids: batch.ids, vectors: [column], extra: batch.extra });
    }
    await write;
  });
  await store.close();
}

/** The copy alone of a whole migration: what comes after its last write, the comparison of every point, is not in it. */
async function migrate({ url, grpcUrl, folder, target }: Place, mark: () => void): Promise<void> {
  const store = await openQdrant({ url, grpcUrl });
  await migrateCollection({
    source: store,
    target: store,
    sourceCollection: 'source',
    targetCollection: target,
    encoder: await Encoder.load(encoderFile(folder)),
    layout: 'compact',
    statePath: join(folder, `${target}.json`),
    concurrency: LANES.migrate,
    batchSize: BATCH,
    onProgress: ({ step, done, total }) => {
      if (step === 'copying' && done === total) mark();
    },
  });
  await store.close();
}

const COPY: Readonly<Record<string, (place: Place, mark: () => void) => Promise<void>>> = {
  load,
  rest: copyByRest,
  grpc: copyByGrpc,
  plain: copyPlain,
  migrate,
};

/** One copier in this process; its mark, or else its end, is when it was done. */
async function phase(name: string, place: Place, serverPid: number): Promise<void> {
  const now = (): Measured => {
    const { user, system } = process.cpuUsage();
    return {
      seconds: performance.now() / 1000,
      nodeCpuSeconds: (user + system) / 1e6,
      serverCpuSeconds: cpuSecondsOf(serverPid),
      peakMb: process.resourceUsage().maxRSS / 1024,
    };
  };
  if (name === 'migrate' || name === 'plain') collectGarbageLessOften();
  const start = now();
  let end: Measured | undefined;
  await COPY[name]?.(place, () => (end = now()));
  if (name === 'migrate' && end === undefined) throw new Error('the end of the copy was not seen');
  const { seconds, nodeCpuSeconds, serverCpuSeconds, peakMb } = end ?? now();
  const measured: Measured = {
    seconds: seconds - start.seconds,
    nodeCpuSeconds: nodeCpuSeconds - start.nodeCpuSeconds,
    serverCpuSeconds: serverCpuSeconds - start.serverCpuSeconds,
    peakMb,
  };
  console.log(JSON.stringify(measured));
}

function print(runs: ReadonlyMap<Copier, readonly Measured[]>): void {
  const of = (copier: Copier, field: keyof Measured): number =>
    percentile(
      (runs.get(copier) ?? []).map((run) => run[field]),
      50,
    );
  const rest = of('rest', 'seconds');
  const plain = of('plain', 'seconds');
  console.log('copier   points/s  x rest  x plain  Node CPU s/10k  server CPU s/10k  peak MB');
  for (const copier of COPIERS) {
    const seconds = of(copier, 'seconds');
    const per10k = (field: keyof Measured): string => ((of(copier, field) / rows) * 10_000).toFixed(2);
    const cells = [
      copier.padEnd(7),
      (rows / seconds).toFixed(0).padStart(9),
      (rest / seconds).toFixed(1).padStart(7),
      (plain / seconds).toFixed(2).padStart(8),
      per10k('nodeCpuSeconds').padStart(15),
      per10k('serverCpuSeconds').padStart(17),
      of(copier, 'peakMb').toFixed(0).padStart(8),
    ];
    console.log(cells.join(' '));
  }
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-bench-'));
  const server = await startLocalQdrant();
  try {
    console.log(
      `${rows} x ${DIM} -> ${COMPACT_DIM} (synthetic), payloads of ${PAYLOAD_BYTES} bytes, lanes ${Object.values(LANES).join(', ')}, ${rounds} rounds, medians; ${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.version}; Qdrant ${PACKAGED_VERSION}`,
    );
    const inChild = async (name: string, target: string): Promise<Measured> => {
      const place = [`--url=${server.url}`, `--grpc-url=${server.grpcUrl}`, `--folder=${folder}`];
      const args = [
        `--phase=${name}`,
        `--rows=${rows}`,
        `--pid=${server.pid}`,
        ...place,
        `--target=${target}`,
      ];
      return (await runScript(fileURLToPath(import.meta.url), args)) as Measured;
    };
    await inChild('load', 'source');
    const runs = new Map<Copier, Measured[]>(COPIERS.map((copier) => [copier, []]));
    const client = new RestClient({ url: server.url, checkCompatibility: false });
    for (let round = 0; round < rounds; round++) {
      for (const copier of round % 2 === 0 ? COPIERS : COPIERS.toReversed()) {
        const measured = await inChild(copier, `${copier}-${round}`);
        runs.get(copier)?.push(measured);
        console.error(`  round ${round + 1}, ${copier}: ${measured.seconds.toFixed(1)} s`);
        await client.deleteCollection(`${copier}-${round}`);
      }
    }
    print(runs);
    if (options.json) console.log(JSON.stringify({ rows, rounds, runs: [...runs] }));
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

if (options.phase === '') await main();
else await phase(options.phase, { ...options, grpcUrl: options['grpc-url'] }, options.pid);
