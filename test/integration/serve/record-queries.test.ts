import { afterAll, beforeAll, expect } from '@jest/globals';
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQdrant } from '../../../adapters/qdrant/index.js';
import { matrix, row, type Matrix } from '../../../src/core/matrix.js';
import { readNpy, writeNpy } from '../../../src/files/npy.js';
import { runCli } from '../../support/cli/run-cli.js';
import { DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import {
  configureProxy,
  createOriginal,
  LAYOUTS,
  migrateInBothLayouts,
  sendToProxy,
} from '../../support/serve/migrate-in-both-layouts.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';
import { encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';

const test = await testsOn('any');

let server: TestServer;
let folder: string;
let points: Matrix;

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-queries-'));
  await tinyEncoder().save(join(folder, 'encoder.onnx'));
  const store = await openQdrant({ url: server.url, grpcUrl: server.grpcUrl });
  await createOriginal(store, DIM);
  points = await fill(store, 'original', 60);
  await migrateInBothLayouts(store, { encoder: tinyEncoder(), folder });
  await store.close();
});

afterAll(async () => {
  endServing();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A query that is equal to no point: its first component tells which it is. */
const query = (i: number): number[] => Array.from({ length: DIM }, (_, j) => (j === 0 ? i : 1 / (i + j + 1)));

const configure = (collections: object): Promise<void> => configureProxy(folder, server, { collections });

const docs = (recordQueries: string, layout: string = 'two-stage'): object => ({
  docs: { target: layout, encoder: 'encoder.onnx', recordQueries },
});

async function end(serving: Serving): Promise<void> {
  serving.child.kill('SIGTERM');
  expect(await serving.ended).toBe(0);
}

/** The first components of the recorded vectors, in ascending order. */
async function recorded(file: string): Promise<number[]> {
  const x = await readNpy(join(folder, file));
  const firsts: number[] = [];
  for (let i = 0; i < x.rows; i++) {
    const [first = 0] = row(x, i);
    expect(Array.from(row(x, i))).toEqual(Array.from(Float32Array.from(query(first))));
    firsts.push(first);
  }
  return firsts.sort((a, b) => a - b);
}

test.each(LAYOUTS)(
  '%s: records what clients search for, over both transports, and nothing else',
  async (layout) => {
    const file = `${layout}.npy`;
    await configure(docs(file, layout));
    const serving = await startServe(folder, []);
    expect(await sendToProxy(serving, 'docs/points/query', { query: query(1), limit: 2 })).toBe(200);
    expect(await sendToProxy(serving, 'docs/points/search', { vector: query(2), limit: 2 })).toBe(200);
    const nearest = { nearest: query(3), mmr: { diversity: 0.5 } };
    expect(await sendToProxy(serving, 'docs/points/query', { query: nearest, limit: 2 })).toBe(200);
    const searches = [4, 5].map((i) => ({ query: query(i), limit: 2 }));
    expect(await sendToProxy(serving, 'docs/points/query/batch', { searches })).toBe(200);
    // Large bodies are rewritten in another thread.
    const large = { must_not: [{ key: 'x', match: { text: 'x'.repeat(200_000) } }] };
    expect(
      await sendToProxy(serving, 'docs/points/query', { query: query(6), limit: 2, filter: large }),
    ).toBe(200);
    const grpc = new PlainGrpc(serving.grpc);
    const call = async (method: string, request: object): Promise<number> => {
      const message = encodeRequest(method, { collectionName: 'docs', ...request });
      return (await grpc.call({ path: pathOf(method), message })).code;
    };
    const dense = (i: number): object => ({ query: { nearest: { dense: { data: query(i) } } } });
    expect(await call('Points/Query', { ...dense(7), limit: '2' })).toBe(0);
    expect(await call('Points/Search', { vector: query(8), limit: '2' })).toBe(0);
    // What the database refuses, points and examples are left out.
    expect(await sendToProxy(serving, 'docs/points/query', { query: query(20), limit: 0 })).not.toBe(200);
    expect(await call('Points/Query', { ...dense(21), limit: '0' })).not.toBe(0);
    expect(
      await sendToProxy(serving, 'docs/points?wait=true', { points: [{ id: 700, vector: query(22) }] }),
    ).toBe(200);
    const recommend = { positive: [query(23)], negative: [query(24)] };
    expect(await sendToProxy(serving, 'docs/points/query', { query: { recommend }, limit: 2 })).toBe(200);
    expect(await sendToProxy(serving, 'docs/points/query', { query: 700, limit: 2 })).toBe(200);
    expect(await sendToProxy(serving, 'original/points/query', { query: query(25), limit: 2 })).toBe(200);
    grpc.close();
    await end(serving);
    expect(await recorded(file)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
    expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual([]);
    expect(serving.log()).not.toContain('0.3333');
  },
);

test('the sample goes on after a restart, several processes share it, and train reads it', async () => {
  await writeNpy(join(folder, 'shared.npy'), { rows: 1, cols: DIM }, [
    matrix(1, DIM, Float32Array.from(query(1))),
  ]);
  await configure(docs('shared.npy'));
  const serving = await startServe(folder, ['--workers', '2']);
  const numbers = Array.from({ length: 99 }, (_, i) => i + 2);
  for (const i of numbers)
    expect(await sendToProxy(serving, 'docs/points/query', { query: query(i), limit: 2 })).toBe(200);
  await end(serving);
  expect(await recorded('shared.npy')).toEqual([1, ...numbers]);
  expect((await stat(join(folder, 'shared.npy'))).mode & 0o777).toBe(0o600);
  await writeNpy(join(folder, 'base.npy'), { rows: points.rows * 2, cols: DIM }, [points, shifted(points)]);
  const args = ['train', '--input', 'base.npy', '--dim', '3', '--steps', '2', '--out', 'again.onnx'];
  const trained = await runCli([...args, '--queries', 'shared.npy', '--json'], { cwd: folder });
  expect(trained).toMatchObject({ code: 0 });
  expect(trained.json()).toMatchObject({ fitQueries: 33 });
});

function shifted({ rows, cols, data }: Matrix): Matrix {
  return matrix(
    rows,
    cols,
    data.map((value, i) => value + (i % 3) / 10),
  );
}

test('refuses a folder that others may change and files that it did not make', async () => {
  const check = (): ReturnType<typeof runCli> =>
    runCli(['serve', '--config', 'serve.json', '--check'], { cwd: folder });
  await mkdir(join(folder, 'open'));
  await chmod(join(folder, 'open'), 0o777);
  await configure(docs('open/queries.npy'));
  expect(await check()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('cannot be used for the recorded queries of docs: every user can write'),
  });
  await configure(docs('encoder.onnx'));
  expect(await check()).toMatchObject({ code: 2, stderr: expect.stringContaining('is not replaced') });
  await writeNpy(join(folder, 'other.npy'), { rows: 1, cols: DIM + 1 }, [matrix(1, DIM + 1)]);
  await configure(docs('other.npy'));
  expect(await check()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`vectors of ${DIM + 1} dimensions, expected ${DIM}`),
  });
  const setting = { encoder: 'encoder.onnx', recordQueries: 'q.npy' };
  await configure({ a: { ...setting, target: 'compact' }, b: { ...setting, target: 'two-stage' } });
  expect(await check()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('give each collection its own'),
  });
  const flags = await runCli(['serve', '--record-queries', 'q.npy', '--check'], { cwd: folder });
  expect(flags).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--record-queries needs --collection'),
  });
});

test('goes on serving if the file cannot be written', async () => {
  await mkdir(join(folder, 'gone'), { mode: 0o700 });
  await configure(docs('gone/queries.npy'));
  const serving = await startServe(folder, []);
  await rm(join(folder, 'gone'), { recursive: true });
  expect(await sendToProxy(serving, 'docs/points/query', { query: query(1), limit: 2 })).toBe(200);
  await end(serving);
  expect(serving.log()).toContain('the recorded queries of docs are not written');
});
