import { watched } from '../../support/store/watch-calls.js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { startLocalQdrant, type LocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { Encoder } from '../../../src/encoder/model.js';
import { row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import type { SearchRequest } from '../../../src/store/search.js';
import type { SizingRow } from '../../../src/plan/sizing-row.js';
import { runPlan } from '../../../src/plan/run-plan.js';
import { preparePlan, type PlanOptions } from '../../../src/plan/prepare-plan.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { firstColumns } from '../../support/train/first-columns.js';
import { contentOf } from '../../support/migrate/fixtures.js';

const ROWS = 500;
const DIM = 128;
const QUERIES = 600;
const CHUNK_BYTES = 32 * 1024 ** 2;
let server: LocalQdrant;
let store: QdrantStore;
let cwd: string;
let queries: Matrix;
let before: string[];

const cli = (args: readonly string[], interruptOn?: string): Promise<CliResult> =>
  runCli(args, {
    cwd,
    env: { QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl },
    ...(interruptOn === undefined ? {} : { interruptOn }),
  });
const scratches = async (): Promise<string[]> =>
  (await store.listCollections()).filter((name) => name.startsWith('tldr-plan-'));

beforeAll(async () => {
  server = await startLocalQdrant();
  store = await openQdrant(server);
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-plan-'));
  const all = firstColumns(await readNpy('demo/data/base.npy'), DIM);
  const base = rowRange(all, 0, ROWS);
  // As many as it takes for those that measure to tell what all of them will find.
  queries = rowRange(all, ROWS, ROWS + QUERIES);
  await writeNpy(join(cwd, 'q.npy'), queries, [queries]);
  // As for a collection of ordinary size: an index is built, and walked.
  const native = {
    params: { vectors: { size: base.cols, distance: 'Cosine', hnsw_config: { full_scan_threshold: 10 } } },
    optimizer_config: { indexing_threshold: 100, default_segment_number: 1 },
  };
  const spec = {
    name: 'docs',
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: {},
    native: JSON.stringify(native),
  };
  await store.create(spec);
  const ids = Array.from({ length: ROWS }, (_, i) => BigInt(i));
  await store.upsert('docs', {
    ids,
    vectors: [{ name: '', matrix: base, has: new Uint8Array(ROWS).fill(1) }],
    extra: ids.map((id) => store.codec.pack(`{"n":${id}}`)),
  });
  await store.finishBulkLoad(spec);
  before = await contentOf(store, 'docs');
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(cwd, { recursive: true });
});

interface PlanJson {
  readonly rows: readonly SizingRow[];
  readonly chosen: SizingRow & { readonly certainty: number };
  readonly commands: readonly string[];
  readonly samplePoints: number;
  readonly pareto: readonly { readonly chosen: boolean; readonly onFrontier: boolean }[];
}

/** Bytes in the files of one vector that the server keeps in memory, and in all of its files. */
async function filesOf(collection: string, vector: string): Promise<{ ram: number; disk: number }> {
  const segments = join(
    await readlink(`/proc/${server.pid}/cwd`),
    'storage/collections',
    collection,
    '0/segments',
  );
  let [ram, disk] = [0, 0];
  for (const path of await readdir(segments, { recursive: true })) {
    const [, folder = '', file = ''] = path.split('/');
    const inside = path.split('/').at(-1) ?? '';
    const suffix = vector === '' ? '' : `-${vector}`;
    if (file === '' || ![`vector_storage${suffix}`, `vector_index${suffix}`].includes(folder)) continue;
    const { size, blocks } = await stat(join(segments, path));
    if (/^(links|graph|quantized\.(data|meta))/.test(inside)) {
      ram += size;
      disk += size;
    } else if (inside === 'matrix.dat') disk += size;
    else if (/^chunk_/.test(inside)) {
      ram += blocks * 512;
      disk += blocks * 512;
    }
  }
  return { ram, disk };
}

/** Bytes of the server's mapped files, of paths like the pattern, that are in memory. */
async function residentBytes(pattern: string): Promise<number> {
  let [bytes, wanted] = [0, false];
  for (const line of (await readFile(`/proc/${server.pid}/smaps`, 'utf8')).split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) wanted = new RegExp(pattern).test(line);
    const kilobytes = /^Rss:\s+(\d+) kB/.exec(line)?.[1];
    if (wanted && kilobytes !== undefined) bytes += Number(kilobytes) * 1024;
  }
  return bytes;
}

test('a plan is complete, picks for a target, and reality keeps what it says', async () => {
  const args = [
    'plan',
    'docs',
    '--dims',
    '16,32',
    '--datatypes',
    'float32,scalar',
    '--oversampling',
    '1,4',
    '--deterministic',
    '--budget',
    '1s',
  ];
  const dry = await cli([...args, '--dry-run', '--json']);
  expect(dry.json()).toMatchObject({ dryRun: true, points: ROWS, dims: [16, 32], rows: 21 });
  expect(await cli(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  expect(await store.listCollections()).toEqual(['docs']);

  const address = ['--url', server.url, '--grpc-url', server.grpcUrl];
  const asked = ['--queries', 'q.npy', '--target', 'recall@10>=0.9', ...address];
  const planned = await cli([...args, ...asked, '--yes', '--json']);
  expect(planned).toMatchObject({ code: 0 });
  expect(await store.listCollections()).toEqual(['docs']);
  expect(await contentOf(store, 'docs')).toEqual(before);
  expect(planned.json()).toMatchObject({ queries: { count: 300, heldOut: false, training: 300 } });
  const { rows, chosen, commands, samplePoints, pareto } = planned.json() as unknown as PlanJson;
  expect(samplePoints).toBe(ROWS);
  const name = ({ kind, dim, datatype, oversampling, hnswM }: SizingRow): string =>
    `${kind} ${dim} ${datatype} ${oversampling} ${hnswM}`;
  expect(rows.map(name).sort()).toEqual(
    [
      'current 128 as configured 1 16',
      ...[16, 8].flatMap((m) => [
        `full 128 scalar 1 ${m}`,
        `full 128 scalar 4 ${m}`,
        ...[16, 32].flatMap((dim) =>
          ['float32', 'scalar'].flatMap((kind) => [1, 4].map((o) => `compact ${dim} ${kind} ${o} ${m}`)),
        ),
      ]),
    ].sort(),
  );
  // Fewer links take less memory, as the server's own files say, and the label names them.
  for (const row of rows.filter(({ hnswM }) => hnswM === 8)) {
    const many = rows.find((one) => name(one) === name({ ...row, hnswM: 16 }));
    expect(row.ramBytes).toBeLessThan(many!.ramBytes);
    expect(row.label).toBe(`${many!.label}, m 8`);
  }
  for (const { recallAt10, interval, ramBytes, diskBytes, latencyMsP50, ndcgAt10 } of rows) {
    expect(interval[0]).toBeLessThanOrEqual(recallAt10);
    expect(interval[1]).toBeGreaterThanOrEqual(recallAt10);
    for (const value of [ramBytes, diskBytes, latencyMsP50, ndcgAt10]) expect(value).toBeGreaterThan(0);
  }
  expect(pareto.filter((one) => one.chosen)).toEqual([expect.objectContaining({ onFrontier: true })]);
  expect(chosen).toMatchObject({ kind: 'compact', layout: 'two-stage' });
  expect(chosen.recallAt10).toBeGreaterThanOrEqual(0.9);
  expect(chosen.certainty).toBeGreaterThan(0.4);
  // The links are more than half of the memory of such small codes.
  expect(chosen).toMatchObject({ hnswM: 8 });

  const words = commands.map((command) => command.split(' ').slice(1));
  expect(words.map(([first]) => first)).toEqual(['train', 'migrate', 'search', 'serve']);
  for (const command of commands) expect(command).toContain(address.join(' '));
  expect(commands[0]).toContain('--queries q.npy');
  expect(commands[1]).toContain('--hnsw-m 8');
  expect(await cli(words[0]!)).toMatchObject({ code: 0 });
  expect(await cli([...words[1]!, '--yes'])).toMatchObject({ code: 0 });
  expect(await cli([...words[3]!, '--check'])).toMatchObject({ code: 0 });
  const target = words[1]![3]!;
  const encoder = await Encoder.load(join(cwd, words[0]![words[0]!.indexOf('--out') + 1]!));
  const projected = encoder.projectQueries(queries);
  const idsOf = async (collection: string, request: SearchRequest): Promise<string[]> =>
    (await store.search(collection, request)).map(({ id }) => String(id));
  let found = 0;
  for (let q = 0; q < QUERIES; q++) {
    const full = { vectorName: '', vector: row(queries, q), limit: 10 };
    const truth = new Set(await idsOf('docs', { ...full, exact: true }));
    const prefetch = { vectorName: 'compact', vector: row(projected, q), limit: 10 * chosen.oversampling };
    found += (await idsOf(target, { ...full, prefetch })).filter((id) => truth.has(id)).length;
  }
  const measured = found / (QUERIES * 10);
  // The printed training is fitted to all queries, those that measured included, so it may find more.
  expect(measured).toBeGreaterThanOrEqual(chosen.recallAt10 - 0.01);

  const [compact, full] = [await filesOf(target, 'compact'), await filesOf(target, '')];
  const ratio = (predicted: number, real: number): number => Math.abs(predicted / real - 1);
  expect(ratio(chosen.ramBytes, compact.ram + full.ram)).toBeLessThan(0.1);
  expect(ratio(chosen.diskBytes, compact.disk + full.disk)).toBeLessThan(0.1);
  const current = rows.find(({ kind }) => kind === 'current')!;
  const source = await filesOf('docs', '');
  expect(ratio(current.ramBytes, source.ram)).toBeLessThan(0.1);
  expect(ratio(current.diskBytes, source.disk)).toBeLessThan(0.1);
  // What the system says is resident of the vectors that the plan counts as RAM: mapped twice, in whole chunks.
  const resident = await residentBytes('docs/0/segments/[^ ]*/vector_storage/vectors/chunk_');
  expect(resident).toBeGreaterThan(0.9 * ROWS * DIM * 4);
  expect(resident).toBeLessThan(2.1 * ROWS * DIM * 4 + CHUNK_BYTES);
});

describe('the scratch collection is removed', () => {
  const small = [
    'plan',
    'docs',
    '--dims',
    '16',
    '--datatypes',
    'float32',
    '--sample',
    '300',
    '--deterministic',
    '--budget',
    '1s',
  ];

  test('after a choice by memory, which excludes a target', async () => {
    const both = await cli([...small, '--ram', '1MB', '--target', 'recall@10>=0.9', '--yes']);
    expect(both).toMatchObject({ code: 2, stderr: expect.stringContaining('--target') });
    const run = await cli([...small, '--oversampling', '1,4', '--ram', '150kB', '--yes', '--json']);
    const { ram, chosen, rows, budgets } = run.json() as unknown as {
      readonly ram: number;
      readonly chosen: SizingRow;
      readonly rows: readonly SizingRow[];
      readonly budgets: readonly { readonly divisor: number; readonly ramBytes: number }[];
    };
    expect(ram).toBe(150_000);
    const fitting = rows.filter(({ deployable, ramBytes }) => deployable && ramBytes <= ram);
    expect(fitting.length).toBeGreaterThan(0);
    expect(chosen.recallAt10).toBe(Math.max(...fitting.map(({ recallAt10 }) => recallAt10)));
    expect(budgets.map(({ divisor }) => divisor)).toEqual([8, 16, 32, 64, 128, 256]);
    expect(budgets[0]!.ramBytes).toBe((ROWS * DIM * 4) / 8);
    expect(await scratches()).toEqual([]);
  });

  test('after Ctrl-C, and the command says that it was stopped', async () => {
    const run = await cli([...small, '--yes', '--log-level', 'info'], 'filling the scratch collection');
    expect(run.code).toBe(130);
    expect(run.stderr).toContain('filling the scratch collection tldr-plan-');
    expect(await scratches()).toEqual([]);
  });

  test('after a failure in the middle, whose error is the one told', async () => {
    const failing = watched(store, ({ name, go }) =>
      name === 'storage.measure' ? Promise.reject(new Error('the disk is on fire')) : go(),
    );
    let created = '';
    const options: PlanOptions = {
      store,
      scratchStore: failing,
      collection: 'docs',
      dims: [16],
      kinds: ['float32'],
      oversamplings: [1],
      sampleSize: 300,
      queriesCount: 20,
      scratchName: 'tldr-plan-failing',
      scratchMetadata: {},
      seed: 1,
      threads: 1,
      budgetSeconds: 1,
      log: (_level, message) => {
        if (message.startsWith('filling')) created = message;
      },
    };
    const setup = await preparePlan(options);
    await expect(runPlan(options, setup)).rejects.toThrow('the disk is on fire');
    expect(created).toContain('tldr-plan-failing');
    expect(await scratches()).toEqual([]);
  });

  test('by --clean where a killed run left it, and nothing else is', async () => {
    const spec = { vectors: [], otherVectors: [], partitions: [] };
    const native = JSON.stringify({ params: { vectors: { size: 4, distance: 'Dot' } } });
    const mark = JSON.stringify({ host: 'elsewhere', pid: 1 });
    await store.create({ ...spec, name: 'tldr-plan-dead', metadata: {}, native });
    await store.setMetadata('tldr-plan-dead', { 'tldr-plan': mark });
    await store.create({ ...spec, name: 'tldr-plan-of-mine', metadata: {}, native });
    // A run that began a moment ago in another container with this host name: its process cannot be seen from here.
    const unseen = { host: hostname(), pid: 1, pids: 'another', startedAt: new Date().toISOString() };
    await store.create({ ...spec, name: 'tldr-plan-unseen', metadata: {}, native });
    await store.setMetadata('tldr-plan-unseen', { 'tldr-plan': JSON.stringify(unseen) });
    const dry = await cli([...small, '--dry-run']);
    expect(dry.stdout).toContain('left behind by earlier runs: tldr-plan-dead\n');
    expect(dry.stdout).toContain('qdrant-tldr plan docs --clean');
    expect((await cli(['plan', 'docs', '--clean'])).code).toBe(2);
    expect(await scratches()).toHaveLength(3);
    expect((await cli(['plan', 'docs', '--clean', '--yes', '--json'])).json()).toMatchObject({
      leftovers: ['tldr-plan-dead'],
    });
    expect((await scratches()).sort()).toEqual(['tldr-plan-of-mine', 'tldr-plan-unseen']);
    await store.drop('tldr-plan-unseen');
    await store.drop('tldr-plan-of-mine');
  });
});
