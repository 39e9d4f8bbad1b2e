import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { row, type Matrix } from '../../../../src/core/matrix.js';
import type { Encoder } from '../../../../src/encoder/model.js';
import { runCli, type CliResult } from '../../../support/cli/run-cli.js';
import { pcaEncoder } from '../../../support/migrate/pca-encoder.js';
import { demoEmbeddings, makeDemoTable } from '../../../support/postgres/demo-table.js';
import { sideTables, startTable } from '../../../support/postgres/in-place.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../../support/postgres/postgres-server.js';

const postgresTest = await testsOnPostgres();
const [ROWS, DIM, COMPACT_DIM] = [2_000, 128, 32];
let server: PostgresServer;
let cwd = '';
let base: Matrix;
let encoder: Encoder;

beforeAll(async () => {
  server = await startPostgres();
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-evaluate-beside-'));
  base = await demoEmbeddings(ROWS, DIM);
  encoder = await pcaEncoder(base, COMPACT_DIM);
  await encoder.save(join(cwd, 'enc.onnx'));
  await makeDemoTable(server, 'docs', base);
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

const cli = (args: readonly string[], url = server.url): Promise<CliResult> =>
  runCli(args, { cwd, env: { DATABASE_URL: url } });
const evaluate = (...more: string[]): Promise<CliResult> =>
  cli(['evaluate', 'docs', '--encoder', 'enc.onnx', '--sample', '60', '--json', ...more]);

/** The object that `evaluate --json` prints, as far as this test looks at it. */
interface EvaluationJson {
  readonly forms: readonly {
    readonly name: string;
    readonly recall: readonly { readonly mean: number }[];
    readonly scoreShift: { readonly absoluteP95: number } | null;
  }[];
  readonly indexBytes: { readonly before: number; readonly after: number };
  readonly notes: readonly string[];
}

/** Measures that have to hold of a migrated table. */
async function expectMeasured(result: CliResult): Promise<EvaluationJson> {
  expect({ code: result.code, stderr: result.stderr }).toMatchObject({ code: 0 });
  const found = result.json() as unknown as EvaluationJson;
  const [side = ''] = await sideTables(server);
  expect(found.notes.join()).toContain(side.replace('tldr.', ''));
  const recallOf = (name: string): number =>
    found.forms.find((form) => form.name === name)?.recall[0]?.mean ?? 0;
  expect(recallOf('rescored')).toBeGreaterThan(recallOf('compact') + 0.05);
  expect(recallOf('rescored')).toBeGreaterThan(0.97);
  return found;
}

describe('evaluate of a table that was migrated in place', () => {
  postgresTest(
    'compares full vectors with the compact ones beside them, and measures the indexes',
    async () => {
      await startTable(server.url, 'docs', encoder);
      const { forms, indexBytes } = await expectMeasured(await evaluate());
      const [bytes] = await server.sql(
        `select pg_relation_size('docs_full')::int as before, (select sum(pg_relation_size(indexrelid))::int from pg_index i
         join pg_class c on c.oid = i.indexrelid where c.relname like 'compact_docs_%_hnsw') as after`,
      );
      expect(indexBytes).toEqual(bytes);
      expect(indexBytes.after).toBeLessThan(indexBytes.before / 2);
      // Distances of the first stage are those of compact vectors; after rescoring they are those of the full ones.
      const shiftOf = (name: string): number =>
        forms.find((form) => form.name === name)?.scoreShift?.absoluteP95 ?? NaN;
      expect(shiftOf('compact')).toBeGreaterThan(0.01);
      expect(shiftOf('rescored')).toBeLessThan(1e-6);
    },
  );

  postgresTest('reads queries from a file, and search sends one of them', async () => {
    await writeFile(
      join(cwd, 'q.jsonl'),
      [...Array(30).keys()].map((i) => JSON.stringify([...row(base, i)])).join('\n'),
    );
    const real = await cli(['evaluate', 'docs', '--encoder', 'enc.onnx', '--queries', 'q.jsonl', '--json']);
    await expectMeasured(real);
    await writeFile(join(cwd, 'query.json'), JSON.stringify([...row(base, 7)]));
    const one = ['--query', 'query.json', '--limit', '2', '--rescore', '100', '--json'];
    const searched = await cli(['search', 'docs', '--encoder', 'enc.onnx', ...one]);
    expect({ code: searched.code, stderr: searched.stderr }).toMatchObject({ code: 0 });
    const { results } = searched.json() as { results: readonly { id: string; score: number }[] };
    expect(results[0]).toMatchObject({ id: '7', score: expect.closeTo(1, 4) as unknown });
  });

  postgresTest('is enough for a role that may only read the table', async () => {
    await server.sql('create role only_reads login; grant select on docs to only_reads');
    const [side = ''] = await sideTables(server);
    await server.sql(`grant usage on schema tldr to only_reads; grant select on ${side} to only_reads`);
    const url = new URL(server.url);
    url.username = 'only_reads';
    const args = ['evaluate', 'docs', '--encoder', 'enc.onnx', '--sample', '40', '--json'];
    await expectMeasured(await cli(args, url.href));
  });

  postgresTest('warns if clients search by an operator, whose distances are approximate', async () => {
    const before = await evaluate();
    expect(before.stderr).not.toContain('get approximate distances');
    await server.sql(
      `update tldr.migration set phase = 'cut-over', cut_over = '{"form": "operator", "name": "app", "undo": [], "digest": "", "droppedIndexes": []}'`,
    );
    const { stderr, json } = await evaluate();
    expect(stderr).toContain('clients that search by the operator (app) get approximate distances');
    expect((json() as unknown as EvaluationJson).notes.join()).toContain('get approximate distances');
    await server.sql(`update tldr.migration set phase = 'ready', cut_over = null`);
  });

  postgresTest('says that compact vectors are not all there yet', async () => {
    await server.sql(`update tldr.migration set phase = 'filling'`);
    const { code, stderr } = await evaluate();
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining('are not all written and indexed yet (filling)') as unknown,
    });
    expect(stderr).toContain('run `migrate resume`');
    await server.sql(`update tldr.migration set phase = 'ready'`);
  });
});
