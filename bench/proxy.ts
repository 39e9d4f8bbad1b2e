import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../adapters/qdrant/index.js';
import { fitMoments, pcaFromMoments } from '../src/baselines/pca.js';
import { startLocalQdrant, type LocalQdrant } from '../adapters/qdrant/local/start.js';
import { PACKAGED_VERSION } from '../adapters/qdrant/local/packaged-version.js';
import { Encoder } from '../src/encoder/model.js';
import { matrix, row, rowRange, type Matrix } from '../src/core/matrix.js';
import { Rng } from '../src/core/rng.js';
import type { QdrantStore } from '../adapters/qdrant/index.js';
import { percentile } from '../src/evaluate/ranking.js';
import { migrateCollection } from '../src/migrate/run/migrate-collection.js';
import { clusterCentres, fillClustered } from './clustered-rows.js';
import { optionsOf } from './options.js';
import {
  CLI,
  coresAllowed,
  keepToCores,
  machineSeconds,
  treeCpuSecondsOf,
  runScript,
  startScript,
  type Started,
} from './processes.js';
import { load, type LoadRequest, type LoadResult, type Pace } from './send-load.js';

/**
 * What serving costs, side by side in one run: direct search of the full vectors, of the compact ones and in two
 * stages; the same through the proxy; and as the floor a bare pass-through, in front of the full search and of
 * two-stage queries that the client wrote itself. The load comes from a process of its own, a second of it unmeasured,
 * in closed loops of 1, 8 and 32 connections, cases in turn, behind a round that is not counted, medians of the rounds;
 * then two-stage searches in open loops at a tenth, a fifth and a third of what the server can do. There every case
 * gets the same moments in a round, and the latencies of all rounds count together, since the longest of one round are a
 * handful. Beside every row stands what part of the processors' time the host gave away meanwhile: on a shared machine
 * that decides the longest waits. Synthetic vectors.
 */
const DIM = 1536;
const COMPACT_DIM = 96;
const CLUSTERS = 500;
const LIMIT = 10;
const OVERSAMPLING = 10;
const QUERIES = 200;
const BATCH = 256;
/** Long enough for every connection to be made and the load's own code to be compiled. */
const WARMUP_SECONDS = 1;
const CONNECTIONS: readonly Pace[] = [1, 8, 32].map((connections) => ({ connections }));
const MOST: Pace = { connections: 32 };
const CASES = [
  'full',
  'compact',
  'two-stage',
  'proxy compact',
  'proxy two-stage',
  'bare',
  'bare two-stage',
] as const;
type Case = (typeof CASES)[number];
/** Of the requests/s that direct two-stage searches reach at most here. */
const RATE_SHARES = [0.1, 0.2, 1 / 3];
const RATE_CASES: readonly Case[] = ['two-stage', 'bare two-stage', 'proxy two-stage'];
/** More than are under way at these rates. */
const OPEN_CONNECTIONS = 64;
/** Less than that given away by the host, in percent, is a quiet round. */
const QUIET_PERCENT = 2;

const options = optionsOf('What serving costs beside direct search and a bare pass-through.', {
  rows: [100_000, 'points'],
  seconds: [4, 'measured of every case, behind a warm-up'],
  rounds: [5, 'of all cases; their medians count'],
  'rate-rounds': [10, 'of searches at each rate that leaves room; their latencies count together'],
  segments: [0, 'that the collections are split into; 0: as the server decides, by its cores'],
  processes: [1, 'of the load, of the proxy (`--workers`) and of the bare one each'],
  'own-cores': [
    0,
    'the last ones, for the proxies alone; load and server share the others. 0: all share all',
  ],
  'node-heap': [false, 'leave the heap of both proxies to Node, as the command line does not'],
  json: [false, 'print every round as one object, last'],
  load: ['', ''],
});
const { rows, seconds, rounds, processes, 'own-cores': ownCores } = options;
const rateRounds = options['rate-rounds'];

interface Measured extends LoadResult {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of an open loop, every one: runs of it are too short for a p99 each. Empty for closed loops. */
  readonly latenciesMs: readonly number[];
  /** Of the proxy, or of the bare one. */
  readonly proxyCpuMs: number;
  readonly serverCpuMs: number;
  /** Of the time of all cores, in percent. */
  readonly stolenPercent: number;
}

interface Place {
  readonly server: LocalQdrant;
  readonly proxy: Started;
  readonly bare: Started;
  readonly folder: string;
}

async function fill(store: QdrantStore): Promise<{ sample: Matrix; queries: Matrix }> {
  const rng = new Rng(1);
  const centres = clusterCentres(CLUSTERS, DIM, rng);
  const native = JSON.stringify({
    params: { vectors: { size: DIM, distance: 'Cosine' } },
    optimizer_config: { default_segment_number: options.segments },
  });
  const spec = { name: 'full', vectors: [], otherVectors: [], partitions: [], metadata: {}, native };
  await store.create(spec);
  const sample = matrix(Math.min(rows, 5_000), DIM);
  for (let at = 0; at < rows; at += BATCH) {
    const x = matrix(Math.min(BATCH, rows - at), DIM);
    fillClustered(x, centres, rng);
    const taken = Math.min(x.rows, Math.max(0, sample.rows - at));
    if (taken > 0) sample.data.set(x.data.subarray(0, taken * DIM), at * DIM);
    const ids = Array.from({ length: x.rows }, (_, i) => BigInt(at + i));
    const column = { name: '', matrix: x, has: new Uint8Array(x.rows).fill(1) };
    await store.upsert('full', {
      ids,
      vectors: [column],
      extra: ids.map((id) => store.codec.pack(`{"n":${id}}`)),
    });
  }
  await store.finishBulkLoad(spec);
  const queries = matrix(QUERIES, DIM);
  fillClustered(queries, centres, rng);
  return { sample, queries };
}

async function prepare(server: LocalQdrant, folder: string): Promise<{ encoder: Encoder; queries: Matrix }> {
  const store = await openQdrant(server);
  const { sample, queries } = await fill(store);
  const moments = await fitMoments(sample, { distance: 'cosine' });
  const network = await pcaFromMoments(moments, { dim: COMPACT_DIM, centred: false, distance: 'cosine' });
  const encoder = new Encoder(network, {
    method: 'pca-uncentred',
    distance: 'cosine',
    compactDistance: 'cosine',
    source: 'synthetic',
    seed: 1,
    dataFingerprint: '',
    hyperParameters: {},
    metrics: {},
    createdBy: 'bench',
  });
  await encoder.save(join(folder, 'encoder.onnx'));
  for (const layout of ['compact', 'two-stage'] as const)
    await migrateCollection({
      source: store,
      target: store,
      sourceCollection: 'full',
      targetCollection: layout,
      encoder,
      layout,
      statePath: join(folder, `${layout}.json`),
    });
  await store.close();
  return { encoder, queries };
}

/** Where a case's requests go, and what they say. */
function requestOf(
  name: Case,
  { server, proxy, bare }: Place,
  bodies: Bodies,
): Omit<LoadRequest, keyof Pace | 'seed'> {
  const path = (collection: string): string => `/collections/${collection}/points/query`;
  const proxied = proxy.found[1] ?? '';
  const passed = `http://127.0.0.1:${bare.found[1] ?? ''}`;
  const targets: Readonly<Record<Case, readonly [string, string, readonly string[]]>> = {
    full: [server.url, 'full', bodies.full],
    compact: [server.url, 'compact', bodies.compact],
    'two-stage': [server.url, 'two-stage', bodies.twoStage],
    'proxy compact': [proxied, 'served-compact', bodies.full],
    'proxy two-stage': [proxied, 'served-two-stage', bodies.full],
    bare: [passed, 'full', bodies.full],
    'bare two-stage': [passed, 'two-stage', bodies.twoStage],
  };
  const [origin, collection, sent] = targets[name];
  return { origin, path: path(collection), bodies: sent, warmupSeconds: WARMUP_SECONDS, seconds };
}

interface Bodies {
  readonly full: readonly string[];
  readonly compact: readonly string[];
  readonly twoStage: readonly string[];
}

function bodiesOf(queries: Matrix, encoder: Encoder): Bodies {
  const reduced = encoder.projectQueries(queries);
  const each = (body: (full: number[], compact: number[]) => object): string[] =>
    Array.from({ length: queries.rows }, (_, i) =>
      JSON.stringify({ ...body(Array.from(row(queries, i)), Array.from(row(reduced, i))), limit: LIMIT }),
    );
  return {
    full: each((query) => ({ query })),
    compact: each((_, query) => ({ query })),
    twoStage: each((query, small) => ({
      query,
      prefetch: { query: small, using: 'compact', limit: LIMIT * OVERSAMPLING },
    })),
  };
}

type Paced = Pick<LoadRequest, keyof Pace | 'seed'>;

/** The same load by several processes, each with its share of the connections; never more of them than connections. */
function split({ connections, perSecond, seed }: Paced, most: number): Paced[] {
  const parts = Math.min(most, connections);
  return Array.from({ length: parts }, (_, i) => ({
    connections: Math.floor((connections + i) / parts),
    ...(perSecond !== undefined && { perSecond: perSecond / parts }),
    seed: seed * parts + i,
  }));
}

function together(results: readonly LoadResult[]): LoadResult {
  const sum = (field: 'sent' | 'requests' | 'perSecond'): number =>
    results.reduce((total, result) => total + result[field], 0);
  return {
    sent: sum('sent'),
    requests: sum('requests'),
    perSecond: sum('perSecond'),
    latenciesMs: results.flatMap(({ latenciesMs }) => latenciesMs),
  };
}

/** @param throttled its seed the round's */
async function measure(name: Case, throttled: Paced, place: Place, bodies: Bodies): Promise<Measured> {
  const { server, proxy, bare, folder } = place;
  const files = await Promise.all(
    split(throttled, processes).map(async (part, i) => {
      const file = join(folder, `load-${i}.json`);
      await writeFile(file, JSON.stringify({ ...requestOf(name, place, bodies), ...part }));
      return file;
    }),
  );
  const asked = name.startsWith('bare') ? bare.pid : proxy.pid;
  const before = {
    proxy: treeCpuSecondsOf(asked),
    server: treeCpuSecondsOf(server.pid),
    machine: machineSeconds(),
  };
  const result = together(
    await Promise.all(
      files.map(
        async (file) => (await runScript(fileURLToPath(import.meta.url), [`--load=${file}`])) as LoadResult,
      ),
    ),
  );
  const machine = machineSeconds();
  const perRequest = (secondsUsed: number): number => (secondsUsed * 1000) / result.sent;
  return {
    ...result,
    p50Ms: percentile(result.latenciesMs, 50),
    p99Ms: percentile(result.latenciesMs, 99),
    latenciesMs: throttled.perSecond === undefined ? [] : result.latenciesMs,
    proxyCpuMs: perRequest(treeCpuSecondsOf(asked) - before.proxy),
    serverCpuMs: perRequest(treeCpuSecondsOf(server.pid) - before.server),
    stolenPercent: (100 * (machine.stolen - before.machine.stolen)) / (machine.all - before.machine.all),
  };
}

const median = (values: readonly number[]): number => percentile(values, 50);

type Runs = ReadonlyMap<string, readonly Measured[]>;
const paceName = ({ connections, perSecond }: Pace): string =>
  perSecond === undefined ? String(connections) : `${perSecond}/s`;
const keyOf = (name: Case, throttle: Pace): string => `${name} ${paceName(throttle)}`;
type Field = Exclude<keyof Measured, 'latenciesMs'>;
const runsOf = (runs: Runs, name: Case, throttle: Pace): readonly Measured[] =>
  runs.get(keyOf(name, throttle)) ?? [];
const medianOf = (runs: Runs, name: Case, throttle: Pace, field: Field): number =>
  median(runsOf(runs, name, throttle).map((run) => run[field]));
/** Of all rounds together. */
const latenciesOf = (measured: readonly Measured[]): readonly number[] =>
  measured.flatMap(({ latenciesMs }) => latenciesMs);

interface Rounds {
  readonly count: number;
  readonly paces: readonly Pace[];
  readonly cases: readonly Case[];
}

/** Every case in turn at each pace, in one order and then in the other. */
async function measureRounds(
  runs: Map<string, Measured[]>,
  { count, paces, cases }: Rounds,
  place: Place,
  bodies: Bodies,
): Promise<void> {
  for (let round = 0; round < count; round++)
    for (const throttle of paces)
      for (const name of round % 2 === 0 ? cases : cases.toReversed()) {
        const measured = await measure(name, { ...throttle, seed: 1 + round }, place, bodies);
        const key = keyOf(name, throttle);
        runs.set(key, [...(runs.get(key) ?? []), measured]);
      }
}

function print(runs: Runs, rates: readonly Pace[]): void {
  console.log('case             clients  requests/s  p50 ms  p99 ms  proxy CPU ms  server CPU ms  stolen %');
  for (const throttle of [...CONNECTIONS, ...rates])
    for (const name of throttle.perSecond === undefined ? CASES : RATE_CASES) {
      const of = (field: Field): number => medianOf(runs, name, throttle, field);
      const together = latenciesOf(runsOf(runs, name, throttle));
      const latency = (percent: number, field: Field): string =>
        (throttle.perSecond === undefined ? of(field) : percentile(together, percent)).toFixed(2).padStart(7);
      const direct = !/^(proxy|bare)/.test(name);
      console.log(
        [
          name.padEnd(16),
          paceName(throttle).padStart(7),
          of('perSecond').toFixed(0).padStart(11),
          latency(50, 'p50Ms'),
          latency(99, 'p99Ms'),
          (direct ? '-' : of('proxyCpuMs').toFixed(3)).padStart(13),
          of('serverCpuMs').toFixed(3).padStart(14),
          of('stolenPercent').toFixed(1).padStart(9),
        ].join(' '),
      );
    }
}

/** What the proxy adds to latencies at a rate, in all rounds and in those in which the host gave little away. */
function addedLines(runs: Runs, throttle: Pace): [string, string, string][] {
  const [direct = [], bare = [], proxy = []] = RATE_CASES.map((name) => runsOf(runs, name, throttle));
  const isQuiet = direct.map((_, round) =>
    [direct, bare, proxy].every((cases) => (cases[round]?.stolenPercent ?? Infinity) < QUIET_PERCENT),
  );
  const quiet = (cases: readonly Measured[]): readonly Measured[] =>
    cases.filter((_, round) => isQuiet[round]);
  const added = (cases: readonly Measured[], beside: readonly Measured[], percent: number): string => {
    const more = percentile(latenciesOf(cases), percent) - percentile(latenciesOf(beside), percent);
    return Number.isNaN(more) ? '-' : more.toFixed(2);
  };
  const rate = paceName(throttle);
  const inQuiet = `in the ${quiet(direct).length} rounds with < ${QUIET_PERCENT} % stolen`;
  return [
    [`p50 added, ${rate}, two-stage, ms`, added(proxy, direct, 50), '-'],
    [`p99 added, ${rate}, two-stage, ms`, added(proxy, direct, 99), '<= 3'],
    [`the same, ${inQuiet}`, added(quiet(proxy), quiet(direct), 99), '<= 3'],
    [`p99 that a bare pass-through adds, ${rate}, ms`, added(bare, direct, 99), '-'],
    [`the same, ${inQuiet}`, added(quiet(bare), quiet(direct), 99), '-'],
  ];
}

/** The ratios that decide, each with its goal. */
function printRatios(runs: Runs, rates: readonly Pace[], projectionMicros: number): void {
  /** The median of the rounds' ratios: what a machine shared with others can do is not the same in each. */
  const ratio = (a: readonly [Case, number], b: readonly [Case, number], field: Field): string => {
    const [above = [], below = []] = [a, b].map(([name, connections]) => runsOf(runs, name, { connections }));
    const ofRounds = above.map((run, round) => run[field] / (below[round]?.[field] ?? NaN));
    return median(ofRounds).toFixed(2);
  };
  const lines = [
    [
      'proxy CPU per request / bare, 32 clients, compact',
      ratio(['proxy compact', 32], ['bare', 32], 'proxyCpuMs'),
      '<= 1.25',
    ],
    ['the same, two-stage', ratio(['proxy two-stage', 32], ['bare', 32], 'proxyCpuMs'), '<= 1.25'],
    [
      'requests/s, 32 clients, bare two-stage / direct two-stage',
      ratio(['bare two-stage', 32], ['two-stage', 32], 'perSecond'),
      '-',
    ],
    ['p50, 1 client, proxy compact / direct full', ratio(['proxy compact', 1], ['full', 1], 'p50Ms'), '< 1'],
    [
      'requests/s, 32 clients, proxy compact / direct full',
      ratio(['proxy compact', 32], ['full', 32], 'perSecond'),
      '>= 1.3',
    ],
    [
      'requests/s, 32 clients, proxy two-stage / direct two-stage',
      ratio(['proxy two-stage', 32], ['two-stage', 32], 'perSecond'),
      '>= .75',
    ],
    ...rates.flatMap((throttle) => addedLines(runs, throttle)),
    [`projection ${DIM} -> ${COMPACT_DIM}, one vector, microseconds`, projectionMicros.toFixed(1), '<= 25'],
  ];
  for (const [what = '', value = '', goal = ''] of lines)
    console.log(`${what.padEnd(62)} ${value.padStart(7)}   goal ${goal}`);
}

/** Microseconds of one vector, the median of many short runs: what else the machine does meanwhile is not in it. */
function projectionTime(encoder: Encoder, queries: Matrix): number {
  const one = rowRange(queries, 0, 1);
  const count = 100;
  const timeOf = (): number => {
    const startedAtMs = performance.now();
    for (let i = 0; i < count; i++) encoder.projectQueries(one);
    return ((performance.now() - startedAtMs) * 1000) / count;
  };
  for (let i = 0; i < 20; i++) timeOf();
  return median(Array.from({ length: 200 }, timeOf));
}

async function startProxies(server: LocalQdrant, folder: string): Promise<Pick<Place, 'proxy' | 'bare'>> {
  const encoder = join(folder, 'encoder.onnx');
  const config = {
    url: server.url,
    grpcUrl: server.grpcUrl,
    listenRest: '127.0.0.1:0',
    listenGrpc: '127.0.0.1:0',
    listenOperations: '127.0.0.1:0',
    collections: {
      'served-compact': { target: 'compact', encoder },
      'served-two-stage': { target: 'two-stage', encoder, oversampling: OVERSAMPLING },
    },
  };
  await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
  const args = [
    'serve',
    '--config',
    join(folder, 'serve.json'),
    '--log-level',
    'warn',
    '--workers',
    String(processes),
  ];
  const proxy = await startScript(CLI, args, /REST on (http:\/\/127\.0\.0\.1:\d+).*\n/);
  const script = fileURLToPath(new URL('./bare-proxy.js', import.meta.url));
  return { proxy, bare: await startScript(script, [server.url, String(processes)], /^(\d+)\n/) };
}

/**
 * Leaves the last cores to the proxies: this process and what it starts, above all the server, keeps to the others.
 * @returns the cores of the proxies
 */
function divideCores(): number[] {
  const cores = coresAllowed();
  if (!Number.isInteger(ownCores) || ownCores < 0 || ownCores >= cores.length)
    throw new Error(`--own-cores: expected a whole number below ${cores.length}, got ${ownCores}`);
  if (ownCores > 0) keepToCores(process.pid, cores.slice(0, -ownCores));
  return cores.slice(-ownCores);
}

async function main(): Promise<void> {
  const cores = availableParallelism();
  const ofProxies = divideCores();
  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-bench-'));
  const server = await startLocalQdrant();
  const stops: (() => Promise<void>)[] = [() => server.stop(), () => rm(folder, { recursive: true })];
  try {
    console.log(
      `${rows} x ${DIM} -> ${COMPACT_DIM} (synthetic), ${LIMIT} results, oversampling ${OVERSAMPLING}, ${rounds} rounds of ${seconds} s, medians (${rateRounds} at each fixed rate, together); ${cpus()[0]?.model ?? ''}, ${cores} cores; ${processes} process${processes > 1 ? 'es' : ''} of each${ownCores > 0 ? `, cores ${ofProxies.join(', ')} for the proxies alone` : ''}; Node ${process.version}; Qdrant ${PACKAGED_VERSION}`,
    );
    const { encoder, queries } = await prepare(server, folder);
    const place = { server, folder, ...(await startProxies(server, folder)) };
    stops.unshift(
      () => place.proxy.stop(),
      () => place.bare.stop(),
    );
    if (ownCores > 0) for (const { pid } of [place.proxy, place.bare]) keepToCores(pid, ofProxies);
    const bodies = bodiesOf(queries, encoder);
    // What runs for the first time is not compiled yet, which is nothing that lasts.
    await measureRounds(new Map(), { count: 1, paces: [MOST], cases: CASES }, place, bodies);
    const runs = new Map<string, Measured[]>();
    await measureRounds(runs, { count: rounds, paces: CONNECTIONS, cases: CASES }, place, bodies);
    const most = medianOf(runs, 'two-stage', MOST, 'perSecond');
    const rates = RATE_SHARES.map((share) => ({
      connections: OPEN_CONNECTIONS,
      perSecond: Math.round(share * most),
    }));
    await measureRounds(runs, { count: rateRounds, paces: rates, cases: RATE_CASES }, place, bodies);
    print(runs, rates);
    printRatios(runs, rates, projectionTime(encoder, queries));
    if (options.json) console.log(JSON.stringify({ rows, seconds, rounds, runs: [...runs] }));
  } finally {
    for (const stop of stops) await stop();
  }
}

if (options.load === '') await main();
else console.log(JSON.stringify(await load(JSON.parse(await readFile(options.load, 'utf8')) as LoadRequest)));
