import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openPgvector, type PgvectorStore } from '../../../adapters/pgvector/index.js';
import { copyInto } from '../../../adapters/pgvector/plan/copy-into.js';
import { encoderScript } from '../../../adapters/pgvector/sql/encoder-script.js';
import { matrix, row, rowRange, type Matrix } from '../../../src/core/matrix.js';
import { Encoder } from '../../../src/encoder/model.js';
import { recall } from '../../../src/evaluate/ranking.js';
import { openNpy } from '../../../src/files/npy.js';
import { compactSearch, rescoredSearch } from '../../../src/store/projected-search.js';
import type { TargetDescription } from '../../../src/store/target-description.js';
import { runCli } from '../../support/cli/run-cli.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const [ROWS, QUERIES, COMPACT_DIM] = [2_000, 60, 64];
const WIDE_DIM = 4_096;
const WIDE_ROWS = 600;
const NAMES = { schema: 'tldr', extensionSchema: 'public' };
let server: PostgresServer;
let store: PgvectorStore;
let cwd = '';
let base: Matrix;
let queries: Matrix;
let encoder: Encoder;

beforeAll(async () => {
  server = await startPostgres();
  store = await openPgvector({ url: server.url });
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-compact-form-'));
  base = await demoRows('base', ROWS);
  queries = await demoRows('queries', QUERIES);
  encoder = await pcaEncoder(base, COMPACT_DIM);
  await encoder.save(join(cwd, 'enc.onnx'));
  await fill('docs', base);
});
afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

async function demoRows(name: string, count: number): Promise<Matrix> {
  const file = await openNpy(`demo/data/${name}.npy`);
  const rows = await file.read(0, count);
  await file.close();
  return rows;
}

/** Makes a table of numbered vectors. */
async function fill(table: string, x: Matrix): Promise<void> {
  await server.sql(`create table ${table} (id bigint primary key, v vector(${x.cols}) not null)`);
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const ids = Array.from({ length: x.rows }, (_, i) => BigInt(i));
  await copyInto(client, table, ids, x);
  await client.end();
  await server.sql(`analyze ${table}`);
}

/** Returns the ids that a search of each query finds, one pass or rescored. */
async function foundIn(
  table: string,
  of: { readonly encoder: Encoder; readonly description: TargetDescription; readonly asked: Matrix },
  rescore: number | null,
): Promise<readonly (readonly number[])[]> {
  const projected = of.encoder.projectQueries(of.asked);
  const found: number[][] = [];
  for (let q = 0; q < of.asked.rows; q++) {
    const compact = row(projected, q);
    const request =
      rescore === null
        ? compactSearch(of.description, compact, 10)
        : rescoredSearch(
            of.description,
            { full: row(of.asked, q), projected: compact },
            { limit: 10, rescore },
          );
    found.push((await store.search(table, request)).map(({ id }) => Number(id)));
  }
  return found;
}

/** The nearest rows by inner product, computed here. All vectors have unit length. */
function nearest(x: Matrix, asked: Matrix): readonly (readonly number[])[] {
  return Array.from({ length: asked.rows }, (_, q) => {
    const query = row(asked, q);
    const scores = Array.from({ length: x.rows }, (__, i) =>
      row(x, i).reduce((sum, value, d) => sum + value * (query[d] ?? 0), 0),
    );
    return [...scores.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0)).slice(0, 10);
  });
}

function meanRecall(found: readonly (readonly number[])[], truth: readonly (readonly number[])[]): number {
  return found.reduce((sum, ids, q) => sum + recall(ids, truth[q] ?? []), 0) / found.length;
}

const formOf = (table: string, of: Encoder): ReturnType<PgvectorStore['compactForm']> => {
  const { fingerprint, inputDim, outputDim, metadata } = of;
  const { compactDistance } = metadata;
  return store.compactForm(table, {
    vectorName: 'v',
    encoder: { fingerprint, inputDim, outputDim, compactDistance },
  });
};

const expressionOf = ({ fingerprint, outputDim }: Encoder): string =>
  `(tldr.project_${fingerprint.slice(0, 12)}(v)::halfvec(${outputDim})) halfvec_cosine_ops`;

describe('a table that is searched by the function of an encoder', () => {
  postgresTest('is refused without the function', async () => {
    await expect(formOf('docs', encoder)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('no function') as unknown,
    });
  });

  postgresTest('finds what the encoder finds, and with rescoring what the full vectors find', async () => {
    await server.sql(encoderScript(encoder.toBytes(), NAMES).text);
    const truth = nearest(base, queries);
    const ofEncoder = meanRecall(nearest(encoder.project(base), encoder.projectQueries(queries)), truth);
    for (const isIndexed of [false, true]) {
      if (isIndexed) await server.sql(`create index on docs using hnsw (${expressionOf(encoder)})`);
      const { description, notes } = await formOf('docs', encoder);
      expect(notes.some((note) => note.startsWith('no index'))).toBe(!isIndexed);
      expect(notes.join()).toContain('approximate');
      const of = { encoder, description, asked: queries };
      expect(meanRecall(await foundIn('docs', of, null), truth)).toBeGreaterThanOrEqual(ofEncoder - 0.005);
      expect(meanRecall(await foundIn('docs', of, 100), truth)).toBeGreaterThanOrEqual(0.995);
    }
  });

  postgresTest('is compared with itself by evaluate, and searched by search', async () => {
    const env = { DATABASE_URL: server.url };
    const asked = ['--encoder', 'enc.onnx', '--column', 'v'];
    const evaluated = await runCli(['evaluate', 'docs', ...asked, '--sample', '40', '--json'], { cwd, env });
    expect({ code: evaluated.code, stderr: evaluated.stderr }).toMatchObject({ code: 0 });
    expect(evaluated.stderr).toContain('approximate');
    expect(evaluated.json()).toMatchObject({ source: 'docs', target: 'docs', layout: 'two-stage' });
    await writeFile(join(cwd, 'query.json'), JSON.stringify([...row(base, 7)]));
    const query = ['--query', 'query.json', '--rescore', '50', '--limit', '3', '--json'];
    const searched = await runCli(['search', 'docs', ...asked, ...query], { cwd, env });
    expect({ code: searched.code, stderr: searched.stderr }).toMatchObject({ code: 0 });
    const { results } = searched.json() as { results: readonly { id: string; score: number }[] };
    expect(results[0]).toMatchObject({ id: '7', score: expect.closeTo(1, 4) as unknown });
  });
});

/** The reflection that maps padded rows to rows in which no component is 0. It keeps all distances. */
function reflected(x: Matrix, cols: number): Matrix {
  const mirror = Float64Array.from({ length: cols }, (_, d) => Math.cos(d + 1) / Math.sqrt(cols / 2));
  const length = mirror.reduce((sum, value) => sum + value * value, 0);
  const wide = matrix(x.rows, cols);
  for (let i = 0; i < x.rows; i++) {
    const own = row(x, i);
    const along = own.reduce((sum, value, d) => sum + value * (mirror[d] ?? 0), 0);
    for (let d = 0; d < cols; d++)
      wide.data[i * cols + d] = (own[d] ?? 0) - (2 * along * (mirror[d] ?? 0)) / length;
  }
  return wide;
}

describe('a table of 4,096 dimensions', () => {
  postgresTest('whose full index the server refuses is searched by a compact one', async () => {
    await fill('wide', reflected(rowRange(base, 0, WIDE_ROWS), WIDE_DIM));
    for (const column of ['v vector_cosine_ops', `(v::halfvec(${WIDE_DIM})) halfvec_cosine_ops`])
      await expect(server.sql(`create index on wide using hnsw (${column})`)).rejects.toThrow(/dimensions/);
    const [layer] = encoder.network.layers;
    const weight = layer?.weight ?? matrix(0, 0);
    // The rows of the weights are mapped as the vectors are.
    const columns = matrix(weight.cols, weight.rows);
    for (let i = 0; i < weight.rows; i++)
      for (let j = 0; j < weight.cols; j++)
        columns.data[j * weight.rows + i] = weight.data[i * weight.cols + j] ?? 0;
    const wide = reflected(columns, WIDE_DIM);
    const turned = matrix(WIDE_DIM, weight.cols);
    for (let i = 0; i < WIDE_DIM; i++)
      for (let j = 0; j < weight.cols; j++)
        turned.data[i * weight.cols + j] = wide.data[j * WIDE_DIM + i] ?? 0;
    const network = {
      ...encoder.network,
      layers: [{ weight: turned, bias: layer?.bias ?? null, relu: false }],
    };
    const ofWide = new Encoder(network, encoder.metadata);
    await server.sql(encoderScript(ofWide.toBytes(), NAMES).text);
    await server.sql(`create index on wide using hnsw (${expressionOf(ofWide)})`);
    const asked = reflected(queries, WIDE_DIM);
    const { description } = await formOf('wide', ofWide);
    const truth = nearest(rowRange(base, 0, WIDE_ROWS), queries);
    const found = await foundIn('wide', { encoder: ofWide, description, asked }, 50);
    expect(meanRecall(found, truth)).toBeGreaterThanOrEqual(0.99);
  });
});
