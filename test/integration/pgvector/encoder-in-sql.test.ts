import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import { Encoder, type EncoderNetwork } from '../../../src/encoder/model.js';
import { runCli } from '../../support/cli/run-cli.js';
import {
  startPostgres,
  testsOnPostgres,
  type PostgresServer,
} from '../../support/postgres/postgres-server.js';
import { largestDifference, METADATA, randomEncoder, randomMatrix } from '../../support/random-encoder.js';

const postgresTest = await testsOnPostgres('programs');
const run = promisify(execFile);
let server: PostgresServer;
let cwd = '';

beforeAll(async () => {
  server = await startPostgres('programs');
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-sql-'));
});
afterAll(async () => {
  await server.stop();
  await rm(cwd, { recursive: true, force: true });
});

function linear(dims: readonly number[], normalize: boolean, bias: boolean): EncoderNetwork {
  const { network } = randomEncoder(dims, { normalize, bias });
  return { ...network, layers: network.layers.map((layer) => ({ ...layer, relu: false })) };
}

/** Writes the encoder's script with the command. Returns what the command says. */
async function script(encoder: Encoder, ...flags: string[]): Promise<string> {
  await encoder.save(join(cwd, 'enc.onnx'));
  const { code, stdout, stderr } = await runCli(
    ['sql', '--encoder', 'enc.onnx', '--out', 'encoder.sql', '--force', ...flags],
    { cwd },
  );
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout;
}

/** Writes the encoder's script with the command, and runs it. */
async function install(encoder: Encoder, ...flags: string[]): Promise<string> {
  await script(encoder, ...flags);
  await psql(server.url, '-f', join(cwd, 'encoder.sql'));
  return encoder.fingerprint.slice(0, 12);
}

const psql = (url: string, ...args: string[]): Promise<unknown> =>
  run(join(server.programs ?? '', 'psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', url, ...args]);

async function typesOfWeights(id: string): Promise<unknown[]> {
  const rows = await server.sql(`select distinct pg_typeof(weights)::text as type from tldr."weights_${id}"`);
  return rows.map(({ type }) => type);
}

async function projectInSql(name: string, x: Matrix): Promise<Float32Array[]> {
  const texts = Array.from({ length: x.rows }, (_, i) => `[${row(x, i).join(',')}]`);
  const rows = await server.sql(
    `select tldr."${name}"(v::vector)::text as z from unnest($1::text[]) with ordinality t(v, i) order by i`,
    [texts],
  );
  return rows.map(({ z }) => Float32Array.from(JSON.parse(String(z)) as number[]));
}

describe('an encoder as a function of the database', () => {
  postgresTest.each<readonly [string, readonly number[], boolean, boolean]>([
    ['one layer, cosine', [40, 8], true, false],
    ['one layer with a bias', [40, 8], false, true],
    ['two layers with biases, cosine', [24, 16, 5], true, true],
    ['weights of several rows for each output', [4100, 6], true, true],
  ])('agrees with the encoder: %s', async (_title, dims, normalize, bias) => {
    const encoder = new Encoder(linear(dims, normalize, bias), METADATA);
    const id = await install(encoder, '--precision', 'float');
    const x = randomMatrix(20, encoder.inputDim, new Rng(5));
    x.data.fill(0, 0, encoder.inputDim);
    const expected = encoder.project(x);
    (await projectInSql(`project_${id}`, x)).forEach((z, i) => {
      expect(largestDifference(z, row(expected, i))).toBeLessThan(1e-5);
    });
    await expect(projectInSql(`project_${id}`, matrix(1, 3))).rejects.toThrow('a vector of 3 dimensions');
    // The script can run again.
    await psql(server.url, '-f', join(cwd, 'encoder.sql'));
  });

  postgresTest.each<readonly [string, readonly number[], 'cosine' | 'dot', readonly string[]]>([
    ['unit length', [40, 8], 'cosine', ['--precision', 'half']],
    ['a bias, and values beyond half precision', [40, 8], 'dot', ['--precision', 'half']],
    ['more dimensions than a page holds in full precision', [3072, 256], 'cosine', []],
    ['weights of several rows for each output', [4096, 6], 'dot', []],
  ])('agrees with the encoder in half precision: %s', async (_title, dims, distance, flags) => {
    const normalize = distance === 'cosine';
    const encoder = new Encoder(linear(dims, normalize, !normalize), METADATA);
    const id = await install(encoder, ...flags);
    expect(await typesOfWeights(id)).toEqual(['halfvec']);
    const x = randomMatrix(20, encoder.inputDim, new Rng(5), normalize ? 1 : 1e5);
    x.data.fill(0, 0, encoder.inputDim);
    const expected = encoder.project(x);
    const differences = (await projectInSql(`project_${id}`, x)).map((z, i) => {
      const own = row(expected, i);
      return largestDifference(z, own) / Math.max(1, ...own.map(Math.abs));
    });
    expect(Math.max(...differences)).toBeLessThan(1e-3);
  });

  postgresTest('says that it chose half precision, and changes from one precision to the other', async () => {
    const small = new Encoder(linear([20, 4], true, false), METADATA);
    expect(await script(small)).not.toContain('half precision');
    expect(await script(new Encoder(linear([1901, 4], true, false), METADATA))).toContain(
      'The weights are in half precision: of 1901 dimensions',
    );
    const id = small.fingerprint.slice(0, 12);
    const expected = small.project(randomMatrix(1, 20, new Rng(5)));
    await server.sql('create role searcher');
    for (const [flag, type, tolerance] of [
      ['float', 'vector', 1e-5],
      ['half', 'halfvec', 1e-3],
      ['float', 'vector', 1e-5],
    ] as const) {
      await install(small, '--precision', flag);
      expect(await typesOfWeights(id)).toEqual([type]);
      const [found] = await projectInSql(`project_${id}`, randomMatrix(1, 20, new Rng(5)));
      expect(largestDifference(found ?? [], row(expected, 0))).toBeLessThan(tolerance);
      if (flag === 'float') await server.sql(`grant select on tldr."weights_${id}" to searcher`);
    }
    // The same table, so that rights stay.
    const [right] = await server.sql(
      `select has_table_privilege('searcher', 'tldr."weights_${id}"', 'select') as has`,
    );
    expect(right).toEqual({ has: true });
    await server.sql('drop owned by searcher; drop role searcher');
  });

  postgresTest('is refused in half precision if a weight is too large for it', async () => {
    const network = linear([8, 2], true, false);
    network.layers[0]?.weight.data.fill(70_000, 0, 1);
    await new Encoder(network, METADATA).save(join(cwd, 'large.onnx'));
    const { code, stderr } = await runCli(['sql', '--encoder', 'large.onnx', '--precision', 'half'], { cwd });
    expect(code).toBe(7);
    expect(stderr).toContain('weights beyond 65,504');
  });

  postgresTest('has a second function for queries if it is asymmetric', async () => {
    const [own, other] = [linear([30, 6], true, false), linear([30, 12, 6], true, false)];
    const encoder = new Encoder(own, METADATA, other);
    const id = await install(encoder);
    const x = randomMatrix(5, 30, new Rng(6));
    const [points, queries] = [encoder.project(x), encoder.projectQueries(x)];
    const found = await projectInSql(`project_query_${id}`, x);
    found.forEach((z, i) => expect(largestDifference(z, row(queries, i))).toBeLessThan(1e-5));
    const [first] = await projectInSql(`project_${id}`, x);
    expect(largestDifference(first ?? [], row(points, 0))).toBeLessThan(1e-5);
    expect(largestDifference(row(points, 0), row(queries, 0))).toBeGreaterThan(1e-2);
  });

  postgresTest('is refused if a layer is not linear', async () => {
    await randomEncoder([16, 8, 4], { normalize: true, bias: true }).save(join(cwd, 'bent.onnx'));
    const { code, stdout, stderr } = await runCli(['sql', '--encoder', 'bent.onnx'], { cwd });
    expect({ code, stdout }).toEqual({ code: 7, stdout: '' });
    expect(stderr).toContain('a layer that is not linear');
  });

  postgresTest('raises an exception without all of its weights', async () => {
    const encoder = new Encoder(linear([20, 4], true, false), METADATA);
    const id = await install(encoder);
    const x = randomMatrix(1, 20, new Rng(7));
    await server.sql(`delete from tldr."weights_${id}" where output = 2`);
    await expect(projectInSql(`project_${id}`, x)).rejects.toThrow('missing or incomplete');
    await server.sql(`delete from tldr."weights_${id}"`);
    await expect(projectInSql(`project_${id}`, x)).rejects.toThrow('missing or incomplete');
    await psql(server.url, '-f', join(cwd, 'encoder.sql'));
    await expect(projectInSql(`project_${id}`, x)).resolves.toHaveLength(1);
  });

  postgresTest('survives a dump of everything, and never gives NULL after a dump of a part', async () => {
    const encoder = new Encoder(linear([20, 4], true, false), METADATA);
    const id = await install(encoder);
    await server.sql(`create table docs (id int primary key, v vector(20))`);
    await server.sql(
      `insert into docs select i, array(select cos(i * j) from generate_series(1, 20) j)::vector from generate_series(1, 50) i`,
    );
    await server.sql(
      `create index docs_compact on docs using hnsw ((tldr."project_${id}"(v)::vector(4)) vector_cosine_ops)`,
    );
    const sum = `select sum(vector_norm(tldr."project_${id}"(v)))::text as total, count(tldr."project_${id}"(v))::text as rows from docs`;
    const before = await server.sql(sum);
    const whole = await restored('whole', []);
    expect(await whole.sql(sum)).toEqual(before);
    await whole.stop();
    const schemaOnly = await restored('schema_only', ['--schema-only']);
    await expect(
      schemaOnly.sql(
        `insert into docs values (1, array(select cos(j) from generate_series(1, 20) j)::vector)`,
      ),
    ).rejects.toThrow('missing or incomplete');
    await schemaOnly.stop();
    await server.sql('drop index docs_compact');
    const table = await restored('table_alone', ['-t', 'docs']);
    await expect(table.sql(sum)).rejects.toThrow(/schema "tldr" does not exist/);
    await table.stop();
  });
});

/** Dumps the database, restores it under another name, and connects to it. */
async function restored(name: string, flags: readonly string[]): Promise<PostgresServer> {
  const file = join(cwd, `${name}.sql`);
  await run(join(server.programs ?? '', 'pg_dump'), ['-d', server.url, '-f', file, ...flags]);
  const copy = await server.beside();
  await psql(copy.url, '-f', file);
  return copy;
}
