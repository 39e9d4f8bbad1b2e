import type { Config } from '../../config/load.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import { maskAddress } from '../../core/masked-address-and-redirect.js';
import { row } from '../../core/matrix.js';
import { throwIfAborted } from '../../core/run-options.js';
import { exactTopK } from '../../knn/exact-search-in-worker.js';
import { startInPlace } from '../../migrate/in-place/run.js';
import { bytesText } from '../../report/format.js';
import { trainEncoder } from '../../select/train-encoder.js';
import type { Adapter, DemoDatabase, DemoSearch } from '../../store/adapter.js';
import type { ConsoleRun } from '../console/command-output.js';
import { shellCommand } from '../console/shell-command.js';
import { sayTables } from '../console/show-results.js';
import { printReport } from '../train/output.js';
import { DEMO, type DemoData } from './data.js';
import { sayExample, shownQueries, type DemoExample } from './examples.js';

/** A database in this process answers nobody while it works on one statement. */
const CONNECT_TIMEOUT_MS = 180_000;
const LOCK_WAIT_MS = 2_000;
const EXAMPLE_RESULTS = 3;

interface InPlaceDemo {
  readonly data: DemoData;
  readonly demo: NonNullable<Adapter['demo']>;
  readonly isGiven: boolean;
  readonly run: ConsoleRun;
  readonly config: Config;
}

/** Runs the demo on a database whose compact vectors stand beside the full ones. */
export async function demonstrateInPlace(
  flags: { readonly keep?: boolean; readonly dryRun?: boolean },
  { data, demo, isGiven, run, config }: InPlaceDemo,
): Promise<void> {
  const where = isGiven ? maskAddress(config.url) : demo.embedded;
  if (flags.dryRun === true) {
    run.say(`dry run: would create a table of its own in ${where} and remove it again`);
    run.result({ dryRun: true, server: where, points: data.base.rows });
    return;
  }
  if (isGiven) await run.confirm(`Create a table of the demo's own in ${where} and remove it again?`);
  const local = isGiven ? null : await demo.start();
  try {
    const { url, timeoutMs } = config;
    const options = { timeoutMs, log: run.log, settings: {} };
    const database = await demo.open(
      local === null
        ? { ...options, url, connectTimeoutMs: config.connectTimeoutMs }
        : { ...options, url: local.url, connectTimeoutMs: CONNECT_TIMEOUT_MS },
    );
    try {
      const server = `${await database.version()}, ${isGiven ? where : 'in this process'}`;
      run.say(server);
      await database.remove();
      try {
        run.result({ server, ...(await runInPlace(database, data, run)) });
        run.next([shellCommand({ command: ['migrate', 'start', '--help'], flags: [] })]);
      } finally {
        if (local === null && flags.keep !== true) await database.remove();
      }
    } finally {
      await database.close();
    }
  } finally {
    await local?.stop();
  }
}

async function runInPlace(
  database: DemoDatabase,
  data: DemoData,
  run: ConsoleRun,
): Promise<Record<string, unknown>> {
  const { signal, log, onProgress } = run;
  const { base, texts, queries } = data;
  const { store, collection } = database;
  const count = base.rows.toLocaleString('en-US');
  await database.fill({ vectors: base, texts }, run);
  run.say(`loaded ${count} sentence embeddings of ${base.cols} dimensions into ${collection}`);
  const dim = base.cols / DEMO.reduction;
  const { encoder, report } = await trainEncoder(base, {
    dim,
    seed: DEMO.seed,
    budgetSeconds: DEMO.budgetSeconds,
    // The database computes the encoder.
    linearOnly: true,
    refit: false,
    source: collection,
    signal,
    log,
    onProgress,
  });
  if (encoder === null || report === null) throw new TldrError('ABORTED', 'stopped while training');
  printReport(run, report);
  const request = { collection, vectorName: undefined, datatype: undefined, hnswM: undefined };
  const migrated = await startInPlace(
    store,
    { ...request, encoder: encoder.toBytes() },
    { signal, log, onProgress, lockWaitMs: LOCK_WAIT_MS },
  );
  run.say(
    `\nmade the encoder a function of the database, wrote ${count} compact vectors beside the table, which triggers keep up to date, built their index and compared every row in ${migrated.seconds.toFixed(1)} s`,
  );
  const k = DEMO.top;
  const truth = await exactTopK(base, queries, { k, distance: 'cosine', signal });
  const searches = await database.searches();
  const rows = [];
  for (const search of searches)
    rows.push({ ...withoutFunction(search), recall: await recallOfSearch(search, { data, truth, run }) });
  printSearches(run, rows, queries.rows);
  const examples = await examplesOf(searches, { data, truth, run });
  const facts = { points: base.rows, inputDim: base.cols, outputDim: dim, shipped: report.shipped };
  return { ...facts, searches: rows, training: report, examples };
}

type SearchFacts = Omit<DemoSearch, 'find'>;

function withoutFunction({ indexed, indexBytes, rescored, isCompact }: DemoSearch): SearchFacts {
  return { indexed, indexBytes, rescored, isCompact };
}

interface Measuring {
  readonly data: DemoData;
  /** Numbers of the nearest points of each query, by comparing all. */
  readonly truth: Int32Array;
  readonly run: ConsoleRun;
}

async function recallOfSearch({ find }: DemoSearch, { data, truth, run }: Measuring): Promise<number> {
  const { queries } = data;
  let found = 0;
  for (let i = 0; i < queries.rows; i++) {
    throwIfAborted(run.signal);
    const nearest = new Set(truth.subarray(i * DEMO.top, (i + 1) * DEMO.top));
    for (const id of await find(row(queries, i), DEMO.top)) if (nearest.has(id)) found += 1;
    run.onProgress({ step: 'searching', done: i + 1, total: queries.rows, unit: 'queries' });
  }
  return found / truth.length;
}

function printSearches(
  run: ConsoleRun,
  rows: readonly (SearchFacts & { readonly recall: number })[],
  queries: number,
): void {
  run.say(
    `\nrecall@${DEMO.top} against comparing all full vectors, ${queries} unseen queries, every search by an hnsw index:`,
  );
  const columns = [['indexed'], ['rescored'], ['index'], [`recall@${DEMO.top}`, 3]] as const;
  const results = rows.map(({ indexed, rescored, indexBytes, recall }) => ({
    cells: [indexed, rescored === null ? 'no' : `first ${rescored}`, bytesText(indexBytes), recall],
  }));
  const note = 'Rescored: the first rows of the index, in the order of their full vectors.';
  sayTables(run, [{ title: 'Searches', columns, rows: results, note }]);
}

/** Shows the first results of the full vectors beside those of the compact ones in one pass. */
async function examplesOf(
  searches: readonly DemoSearch[],
  { data, truth, run }: Measuring,
): Promise<readonly DemoExample[]> {
  const onePass = expectDefined(
    searches.find(({ isCompact, rescored }) => isCompact && rescored === null),
    'a search of compact vectors in one pass',
  );
  const text = (id: number): string => expectDefined(data.texts[id], 'the text of a point');
  const examples: DemoExample[] = [];
  for (const at of shownQueries(data.queries.rows)) {
    const example = {
      query: expectDefined(data.queryTexts[at], 'the text of a query'),
      full: [...truth.subarray(at * DEMO.top, at * DEMO.top + EXAMPLE_RESULTS)].map(text),
      compact: (await onePass.find(row(data.queries, at), EXAMPLE_RESULTS)).map(text),
    };
    sayExample(run, example);
    examples.push(example);
  }
  return examples;
}
