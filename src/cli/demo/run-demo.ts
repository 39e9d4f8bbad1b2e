import { RESCORE } from '../../store/defaults.js';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../config/load.js';
import type { Encoder } from '../../encoder/model.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';
import { matrix, row, rowRange, type Matrix } from '../../core/matrix.js';
import { throwIfAborted } from '../../core/run-options.js';
import type { CopyTarget } from '../../store/copy-target.js';
import type { ScoredPoint } from '../../store/search.js';
import { migrateCollection } from '../../migrate/run/migrate-collection.js';
import { trainEncoder } from '../../select/train-encoder.js';
import { sayTables } from '../console/show-results.js';
import { ramBytesOf } from '../console/compact-memory.js';
import { shellCommand } from '../console/shell-command.js';
import { candidateLabel } from '../train/candidate-names.js';
import { ramText, type ConsoleRun } from '../console/command-output.js';
import { openStore, withConsole } from '../console/command-body.js';
import type { GlobalFlags } from '../console/options.js';
import { printReport } from '../train/output.js';
import { databaseOfDemo } from './choose-database.js';
import { DEMO, loadDemoData, type DemoData } from './data.js';
import { sayExample, shownQueries, type DemoExample } from './examples.js';
import { demonstrateInPlace } from './in-place.js';
import { resolveServer } from './resolve-server.js';
import { DEMO_PREFIX } from './prefix.js';

const LOAD_BATCH = 500;
/** Candidates that are migrated and searched on the server; the training's table shows all. */
const SHOWN: readonly string[] = [
  'neighbourhood-kl-residual',
  'neighbourhood-kl',
  'tldr',
  'pca-uncentred',
  'pca',
  'random-projection',
];
/** Metadata key of the demo's own collections; migrations copy it to their targets. */
const MARK = 'tldr_demo';

export interface DemoFlags extends GlobalFlags {
  readonly database?: string;
  readonly keep?: boolean;
  readonly dryRun?: boolean;
}

interface Row {
  readonly name: string;
  readonly plain: number;
  readonly rescored: number;
}

/** Runs `demo`. */
export function runDemo(flags: DemoFlags): Promise<void> {
  return withConsole(flags, (run, config) => demonstrate(flags, run, config));
}

async function demonstrate(flags: DemoFlags, run: ConsoleRun, config: Config): Promise<void> {
  const data = await loadDemoData();
  const { adapter, isGiven } = databaseOfDemo(flags, config);
  if (adapter.demo !== undefined)
    return demonstrateInPlace(flags, { data, demo: adapter.demo, isGiven, run, config });
  if (flags.dryRun === true) {
    const where = isGiven ? maskAddress(config.url) : 'a server started for the demo';
    run.say(`dry run: would create collections named ${DEMO_PREFIX}-* on ${where} and remove them again`);
    run.result({ dryRun: true, server: where, points: data.base.rows });
    return;
  }
  const server = await resolveServer(config, { isGiven, say: (line) => run.say(line) });
  try {
    if (server.given) {
      await run.confirm(
        `Create collections named ${DEMO_PREFIX}-* on ${maskAddress(server.url)} and remove them again?`,
      );
    }
    const { url, settings } = server;
    const store = await openStore({ ...config, url, ofDatabase: settings }, run.log);
    try {
      run.result({ server: server.how, ...(await demo(store, data, run)) });
      run.next([shellCommand({ command: ['shrink', '--help'], flags: [] })]);
    } finally {
      if (flags.keep !== true) await removeCollections(store);
      await store.close();
    }
  } finally {
    await server.release();
  }
}

async function demo(store: CopyTarget, data: DemoData, run: ConsoleRun): Promise<Record<string, unknown>> {
  const { signal, log, onProgress } = run;
  const { base, queries } = data;
  const dim = base.cols / DEMO.reduction;
  await removeCollections(store);
  const full = `${DEMO_PREFIX}-full`;
  await load(store, full, { data, run });
  run.say(
    `loaded ${base.rows.toLocaleString('en-US')} sentence embeddings of ${base.cols} dimensions into ${full}`,
  );
  const sample = await store.sample(full, { vectorName: '', size: base.rows, signal });
  const trained = await trainEncoder(sample.vectors, {
    dim,
    seed: DEMO.seed,
    budgetSeconds: DEMO.budgetSeconds,
    // The table and the collections show the same encoder.
    refit: false,
    source: full,
    signal,
    log,
    onProgress,
  });
  const { encoder, report } = trained;
  if (encoder === null || report === null) throw new TldrError('ABORTED', 'stopped while training');
  printReport(run, report);

  const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-demo-'));
  try {
    const migrate = migrator(store, full, { folder, run });
    const compact = `${DEMO_PREFIX}-compact`;
    const { plan, seconds } = await migrate(compact, encoder, 'compact');
    run.say(
      `\nmigrated ${plan.points.toLocaleString('en-US')} points into ${compact} and verified every one in ${seconds.toFixed(1)} s`,
    );
    const truth = await searchAll(queries, run, (query) =>
      store.search(full, { vectorName: '', vector: query, limit: DEMO.top, exact: true, withPayload: true }),
    );
    const rows: Row[] = [];
    for (const [name, candidate] of trained.candidates) {
      if (!SHOWN.includes(name) && name !== report.shipped) continue;
      const target = `${DEMO_PREFIX}-two-stage-${name}`;
      await migrate(target, candidate, 'two-stage');
      rows.push({ name, ...(await measure(store, target, { encoder: candidate, queries, truth, run })) });
    }
    const memory = { before: ramBytesOf(plan.before), after: ramBytesOf(plan.after) };
    printRecall(run, rows, { shipped: report.shipped, dim, queries: queries.rows });
    run.say(
      `\nmemory of vectors and index (estimate): ${ramText(plan.before)} before, ${ramText(plan.after)} after`,
    );
    const examples = await showExamples(store, compact, { encoder, data, truth, run });
    const facts = { points: base.rows, inputDim: base.cols, outputDim: dim, shipped: report.shipped };
    return { ...facts, recall: rows, memory, training: report, examples };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Migrate = (
  target: string,
  using: Encoder,
  layout: 'compact' | 'two-stage',
) => ReturnType<typeof migrateCollection>;

/** Returns a function that migrates `source`; its migration states are in a folder that the demo deletes. */
function migrator(
  store: CopyTarget,
  source: string,
  { folder, run }: { folder: string; run: ConsoleRun },
): Migrate {
  const { signal, log, onProgress } = run;
  return (target, encoder, layout) =>
    migrateCollection({
      source: store,
      target: store,
      sourceCollection: source,
      targetCollection: target,
      encoder,
      layout,
      statePath: join(folder, `${target}.json`),
      signal,
      log,
      onProgress,
    });
}

async function load(
  store: CopyTarget,
  name: string,
  { data, run }: { data: DemoData; run: ConsoleRun },
): Promise<void> {
  const { base, texts } = data;
  const spec = {
    name,
    vectors: [],
    otherVectors: [],
    partitions: [],
    metadata: { [MARK]: 'true' },
    native: JSON.stringify({
      params: { vectors: { size: base.cols, distance: 'Cosine' } },
      metadata: { [MARK]: true },
    }),
  };
  await store.create(spec);
  for (let start = 0; start < base.rows; start += LOAD_BATCH) {
    throwIfAborted(run.signal);
    const part = rowRange(base, start, Math.min(base.rows, start + LOAD_BATCH));
    await store.upsert(name, {
      ids: Array.from({ length: part.rows }, (_, i) => BigInt(start + i)),
      vectors: [{ name: '', matrix: part, has: new Uint8Array(part.rows).fill(1) }],
      extra: Array.from({ length: part.rows }, (_, i) =>
        store.codec.pack(JSON.stringify({ text: expectDefined(texts[start + i], 'the text of a point') })),
      ),
    });
    run.onProgress({ step: 'loading', done: start + part.rows, total: base.rows, unit: 'points' });
  }
  await store.finishBulkLoad(spec, run);
}

async function searchAll(
  queries: Matrix,
  run: ConsoleRun,
  search: (query: Float32Array) => Promise<readonly ScoredPoint[]>,
): Promise<(readonly ScoredPoint[])[]> {
  const results: (readonly ScoredPoint[])[] = [];
  for (let i = 0; i < queries.rows; i++) {
    throwIfAborted(run.signal);
    results.push(await search(row(queries, i)));
    run.onProgress({ step: 'searching', done: i + 1, total: queries.rows, unit: 'queries' });
  }
  return results;
}

/**
 * Measures recall@10 against the full collection through the server: compact alone, and rescored by full
 * vectors.
 */
async function measure(
  store: CopyTarget,
  collection: string,
  {
    encoder,
    queries,
    truth,
    run,
  }: { encoder: Encoder; queries: Matrix; truth: (readonly ScoredPoint[])[]; run: ConsoleRun },
): Promise<Omit<Row, 'name'>> {
  const projected = (query: Float32Array): Float32Array =>
    encoder.projectQueries(matrix(1, query.length, query)).data;
  const plain = await searchAll(queries, run, (query) =>
    store.search(collection, { vectorName: 'compact', vector: projected(query), limit: DEMO.top }),
  );
  const rescored = await searchAll(queries, run, (query) =>
    store.search(collection, {
      vectorName: '',
      vector: query,
      limit: DEMO.top,
      prefetch: { vectorName: 'compact', vector: projected(query), limit: RESCORE },
    }),
  );
  return { plain: recall(plain, truth), rescored: recall(rescored, truth) };
}

function recall(found: (readonly ScoredPoint[])[], truth: (readonly ScoredPoint[])[]): number {
  const shares = truth.map((wanted, i) => {
    const ids = new Set(found[i]?.map(({ id }) => id));
    return wanted.filter(({ id }) => ids.has(id)).length / wanted.length;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function printRecall(
  run: ConsoleRun,
  rows: readonly Row[],
  facts: { shipped: string; dim: number; queries: number },
): void {
  run.say(
    `\nrecall@${DEMO.top} against the full collection, through the server, ${facts.queries} unseen queries, ${facts.dim} dimensions:`,
  );
  const columns = [['encoder'], ['compact only', 3], [`rescored (first ${RESCORE})`, 3]] as const;
  const results = rows.map(({ name, plain, rescored }) => ({
    cells: [candidateLabel(name), plain, rescored],
    starred: name === facts.shipped,
    picked: name === facts.shipped ? 'saved' : undefined,
  }));
  sayTables(run, [{ title: 'Recall', columns, rows: results }]);
}

async function showExamples(
  store: CopyTarget,
  compact: string,
  {
    encoder,
    data,
    truth,
    run,
  }: { encoder: Encoder; data: DemoData; truth: (readonly ScoredPoint[])[]; run: ConsoleRun },
): Promise<DemoExample[]> {
  const examples: DemoExample[] = [];
  const text = ({ id }: ScoredPoint): string => expectDefined(data.texts[Number(id)], 'the text of a point');
  for (const at of shownQueries(data.queries.rows)) {
    const vector = encoder.projectQueries(rowRange(data.queries, at, at + 1)).data;
    const found = await store.search(compact, { vectorName: '', vector, limit: 3 });
    const example = {
      query: expectDefined(data.queryTexts[at], 'the text of a query'),
      full: expectDefined(truth[at], 'the results of a query').slice(0, 3).map(text),
      compact: found.map(text),
    };
    sayExample(run, example);
    examples.push(example);
  }
  return examples;
}

/** Removes the collections of this and earlier demos, known by their mark: a name alone proves nothing. */
async function removeCollections(store: CopyTarget): Promise<void> {
  for (const name of await store.listCollections()) {
    if (!name.startsWith(`${DEMO_PREFIX}-`)) continue;
    const { metadata } = await store.describe(name);
    if (metadata[MARK] === 'true') await store.drop(name);
  }
}
