import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openConnections, storeOver } from '../../adapters/pgvector/open.js';
import { fitMoments, pcaFromMoments } from '../../src/baselines/pca.js';
import { spacedRows, type Matrix } from '../../src/core/matrix.js';
import { Encoder } from '../../src/encoder/model.js';
import { startPackagedPostgres } from '../../test/support/postgres/start-packaged.js';
import { optionsOf } from '../options.js';
import { factsOfThisRun } from '../plan/run-facts.js';
import { KeptResults } from './kept-results.js';
import { pgvectorPage, type PgvectorResults } from './page.js';
import {
  fillSideTable,
  loadRows,
  updateColumn,
  buildIndex,
  searchAllWays,
  versionsOf,
  type Bench,
} from './parts.js';
import { syntheticRows, type SyntheticRows } from './rows.js';

/**
 * PostgreSQL with pgvector: how fast compact vectors are written beside a table, the bytes of indexes, and what a search
 * costs. One server of its own, on this machine.
 */
const options = optionsOf('Compact vectors beside a table of PostgreSQL, and searches of every kind.', {
  rows: [100_000, 'rows of the table'],
  dim: [1_536, 'full dimensions'],
  compact: [96, 'compact dimensions'],
  queries: [200, 'searches of each kind in a round'],
  rounds: [3, 'of all kinds of searches'],
  updated: [5_000, 'rows that the plain UPDATE changes at most'],
  seed: [1, 'of everything random'],
  keep: ['', 'folder for the data and the results: a run that was stopped goes on there'],
  write: [false, 'replace docs/benchmarks/pgvector.md'],
});
/** Rows that the encoder is fitted to. */
const SAMPLE = 20_000;
const SETTINGS = [
  'shared_buffers=1GB',
  'maintenance_work_mem=2GB',
  'max_wal_size=8GB',
  // Every statement is the work of one process, and nothing else works meanwhile.
  'max_parallel_maintenance_workers=0',
  'max_parallel_workers_per_gather=0',
  'autovacuum=off',
];
const progress = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);

async function pcaEncoder(points: Matrix): Promise<Encoder> {
  const moments = await fitMoments(spacedRows(points, SAMPLE), { distance: 'cosine', dim: options.compact });
  const fit = { dim: options.compact, centred: false, distance: 'cosine' } as const;
  return new Encoder(await pcaFromMoments(moments, fit), {
    method: 'pca-uncentred',
    distance: 'cosine',
    compactDistance: 'cosine',
    source: 'synthetic',
    seed: options.seed,
    dataFingerprint: '',
    hyperParameters: {},
    metrics: {},
    createdBy: 'bench',
  });
}

async function measureAll(bench: Bench, made: SyntheticRows, kept: KeptResults): Promise<PgvectorResults> {
  const { points } = made;
  const encoder = await pcaEncoder(points);
  const measured = <T>(name: string, part: () => Promise<T>): Promise<T> =>
    kept.part(name, async () => {
      progress(name);
      return part();
    });
  return {
    versions: await versionsOf(bench),
    load: await measured('load', () => loadRows(bench, points)),
    full: await measured('full index', () => buildIndex(bench, 'full', points.cols)),
    bits: await measured('bit index', () => buildIndex(bench, 'bits', points.cols)),
    side: await measured('side table', () => fillSideTable(bench, encoder)),
    searches: await measured('searches', () => searchAllWays(bench, made, options)),
    update: await measured('update', () => updateColumn(bench, encoder, options.updated)),
  };
}

const { keep, write, ...settings } = options;
const kept = await KeptResults.open(keep, settings);
const server = await startPackagedPostgres({
  settings: SETTINGS,
  data: keep === '' ? undefined : resolve(join(keep, 'data')),
});
try {
  const connections = await openConnections({ url: server.url, timeoutMs: 3_600_000 });
  const bench: Bench = { connections, store: storeOver(connections, {}), serverPid: server.pid };
  try {
    progress('making rows');
    const results = await measureAll(bench, syntheticRows(options), kept);
    const page = pgvectorPage(results, { ...options, ...factsOfThisRun(), settings: SETTINGS });
    console.log(page);
    if (write)
      await writeFile(fileURLToPath(new URL('../../../docs/benchmarks/pgvector.md', import.meta.url)), page);
  } finally {
    await bench.store.close();
  }
} finally {
  await server.stop();
}
