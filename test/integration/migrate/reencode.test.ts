import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQdrant, type QdrantStore } from '../../../adapters/qdrant/index.js';
import { matrixFromRows } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { Encoder } from '../../../src/encoder/model.js';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { contentOf, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { restText } from '../../support/server/rest-text.js';
import { startTestServer, testsOn, type TestServer } from '../../support/server/test-server.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';

const test = await testsOn('any');
const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const ROWS = 600;
const LIMIT = 5;
/** Points that the writer writes. No pass of the catch-up differs in more, so it ends however fast they are written. */
const WRITTEN = 40;
const [OLD, NEW, WIDE] = [tinyEncoder(1), tinyEncoder(2), tinyEncoder(3, 'dot')];
const QUERY = Array.from({ length: DIM }, (_, i) => Math.sin(i + 1));

let server: TestServer;
let store: QdrantStore;
let cwd: string;

const env = (): Record<string, string> => ({ QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl });
const migrate = (...args: string[]): Promise<CliResult> =>
  runCli(['migrate', ...args, '--json'], { cwd, env: env() });

async function done(result: Promise<CliResult>): Promise<Record<string, unknown>> {
  const { code, stderr, json } = await result;
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return json();
}

async function refused(result: Promise<CliResult>, code: number, words: string): Promise<void> {
  const ended = await result;
  expect(ended.stderr).toContain(words);
  expect(ended.code).toBe(code);
}

/** Makes the collection `<name>` and its two-stage target `<name>_2s` by the old encoder, and deletes the first. */
async function twoStage(name: string): Promise<string> {
  await restText(
    server,
    'PUT',
    `/collections/${name}`,
    JSON.stringify({ vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 }),
  );
  await fill(store, name, ROWS);
  const target = `${name}_2s`;
  await done(migrate('start', name, target, '--encoder', 'old.onnx', '--layout', 'two-stage', '--yes'));
  await done(migrate('complete', name, target, '--without-cutover'));
  await store.drop(name);
  return target;
}

/** What a two-stage search of a collection finds, asked of the server itself. */
async function foundBy(encoder: Encoder, collection: string): Promise<unknown[]> {
  const [compact] = [Array.from(encoder.projectQueries(matrixFromRows([QUERY])).data)];
  const body = { prefetch: { query: compact, using: 'compact', limit: LIMIT }, query: QUERY, limit: LIMIT };
  return idsIn(
    await restText(server, 'POST', `/collections/${collection}/points/query`, JSON.stringify(body)),
  );
}

const idsIn = (text: string): unknown[] =>
  (JSON.parse(text) as { result: { points: { id: unknown }[] } }).result.points.map(({ id }) => id);

async function searched({ rest }: Serving, name: string): Promise<unknown[]> {
  const response = await fetchOnce(`${rest}/collections/${name}/points/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: QUERY, limit: LIMIT }),
  });
  const text = await response.text();
  expect({ status: response.status, text: response.ok ? '' : text }).toEqual({ status: 200, text: '' });
  return idsIn(text);
}

/** Runs the command and kills it with -9 once its state says that a part is copied. */
async function killed(args: readonly string[], statePath: string): Promise<void> {
  const child = spawn(process.execPath, [MAIN, 'migrate', ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env() },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('close', (_code, signal) => resolve(signal)));
  for (;;) {
    const text = await readFile(join(cwd, statePath), 'utf8').catch(() => '{}');
    const { phase, ranges = [] } = JSON.parse(text) as { phase?: string; ranges?: { points: number }[] };
    if (phase === 'copying' && ranges.some(({ points }) => points > 0)) break;
    if (child.exitCode !== null) throw new Error('it ended before it could be killed');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
}

/**
 * A client that writes a few points through the proxy by an alias, again and again, and waits for each write,
 * until it is told to stop.
 */
function writer({ rest }: Serving, name: string): { readonly stop: () => Promise<number[]> } {
  let stopped = false;
  const rng = new Rng(5);
  const acknowledged: number[] = [];
  const working = (async (): Promise<void> => {
    for (let i = 0; !stopped; i++) {
      const id = 1 + (i % WRITTEN);
      const vector = Array.from({ length: DIM }, () => rng.normal());
      const response = await fetchOnce(`${rest}/collections/${name}/points?wait=true`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ points: [{ id, vector, payload: { written: i } }] }),
      });
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
      await response.text();
      acknowledged.push(i);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await working;
      return acknowledged;
    },
  };
}

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
  cwd = await mkdtemp(join(tmpdir(), 'qdrant-tldr-reencode-'));
  await OLD.save(join(cwd, 'old.onnx'));
  await NEW.save(join(cwd, 'new.onnx'));
  await WIDE.save(join(cwd, 'dot.onnx'));
});

afterAll(async () => {
  endServing();
  await store.close();
  await server.stop();
  await rm(cwd, { recursive: true });
});

describe('migrate reencode', () => {
  test('is killed and continues, under writes; both encoders serve, and an alias switches there and back', async () => {
    const old = await twoStage('whole');
    const alias = 'search';
    await store.names.switch(alias, old);
    const reencode = ['reencode', old, '--encoder', 'new.onnx', '--into', 'whole_new', '--batch-size', '4'];
    expect(await done(migrate(...reencode, '--dry-run'))).toMatchObject({ dryRun: true, leftOut: 'compact' });
    expect(await store.exists('whole_new')).toBe(false);
    const entry = { target: old, encoder: 'old.onnx', oversampling: 1 };
    const any = '127.0.0.1:0';
    const config = {
      url: server.url,
      grpcUrl: server.grpcUrl,
      listenRest: any,
      listenGrpc: any,
      listenOperations: any,
    };
    const path = join(cwd, 'serve.json');
    await writeFile(path, JSON.stringify({ ...config, collections: { docs: entry } }));
    let serving = await startServe(cwd, []);
    expect(await searched(serving, alias)).toEqual(await foundBy(OLD, old));
    const first = writer(serving, alias);
    await killed([...reencode, '--yes', '--nice', '3', '--catch-up'], `.qdrant-tldr/${old}--whole_new.json`);
    const caughtUp = ['--catch-up', '--lag-max', String(WRITTEN)];
    const again = migrate(...reencode, '--yes', '--nice', '0', ...caughtUp);
    expect(await done(again)).toMatchObject({ resumed: true });
    const acknowledged = await first.stop();
    // With the old encoder until the switch, also for what was written meanwhile.
    expect(await searched(serving, alias)).toEqual(await foundBy(OLD, old));
    serving.child.kill('SIGTERM');
    await serving.ended;
    const both = { docs: entry, docs_new: { ...entry, target: 'whole_new', encoder: 'new.onnx' } };
    await writeFile(path, JSON.stringify({ ...config, collections: both }));
    serving = await startServe(cwd, []);
    expect(await searched(serving, 'docs')).toEqual(await foundBy(OLD, old));
    const cutover = ['cutover', old, 'whole_new', '--alias', alias, '--catch-up', '--execute'];
    await done(migrate(...cutover, '--freeze-max', '60s'));
    expect(await done(migrate('verify', old, 'whole_new'))).toMatchObject({ ok: true });
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(await store.count('whole_new')).toBe(await store.count(old));
    // What a client writes by the alias now is encoded by the new encoder.
    const second = writer(serving, alias);
    expect(await searched(serving, alias)).toHaveLength(LIMIT);
    await second.stop();
    expect(await searched(serving, alias)).toEqual(await foundBy(NEW, 'whole_new'));
    expect(await searched(serving, 'docs_new')).toEqual(await foundBy(NEW, 'whole_new'));
    expect(await searched(serving, 'docs')).toEqual(await foundBy(OLD, old));
    await done(migrate('rollback', old, 'whole_new', '--execute'));
    expect((await store.names.all()).get(alias)).toBe(old);
    await refused(migrate('complete', old, 'whole_new', '--delete-source'), 2, 'cut');
    serving.child.kill('SIGTERM');
    await serving.ended;
  });

  test('gives what a migration of the first source by the new encoder gives; abort leaves the old one', async () => {
    const old = await twoStage('same');
    await restText(
      server,
      'PUT',
      '/collections/same',
      JSON.stringify({ vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 }),
    );
    await fill(store, 'same', ROWS);
    await done(
      migrate('start', 'same', 'same_new', '--encoder', 'new.onnx', '--layout', 'two-stage', '--yes'),
    );
    const before = await contentOf(store, old);
    const said = await done(migrate('reencode', old, '--encoder', 'new.onnx', '--yes'));
    const into = `${old}_${NEW.fingerprint.slice(0, 8)}`;
    expect(said).toMatchObject({ targetCollection: into, verified: ROWS, compactName: 'compact' });
    expect(await contentOf(store, into)).toEqual(await contentOf(store, 'same_new'));
    const [made, expected] = [await store.describe(into), await store.describe('same_new')];
    expect(store.differences(expected, made)).toEqual([]);
    await done(migrate('abort', old, into, '--execute'));
    expect(await store.exists(into)).toBe(false);
    expect(await contentOf(store, old)).toEqual(before);
  });

  test('a proxy does not follow writes to a collection that would lack the hidden vector then', async () => {
    const old = await twoStage('followed');
    const migrating = { source: old, journal: 'journal' };
    const config = {
      url: server.url,
      grpcUrl: server.grpcUrl,
      listenRest: '127.0.0.1:0',
      listenGrpc: '127.0.0.1:0',
      listenOperations: '127.0.0.1:0',
      collections: { [old]: { target: 'followed_new', encoder: 'new.onnx', migrating } },
    };
    await writeFile(join(cwd, 'serve.json'), JSON.stringify(config));
    await expect(startServe(cwd, [])).rejects.toThrow(`${old} is itself a two-stage target`);
  });

  test('says why it cannot, or that there is nothing to do', async () => {
    const old = await twoStage('why');
    const to = (target: string, file: string): Promise<CliResult> =>
      migrate('reencode', target, '--encoder', file, '--yes');
    expect(await done(to(old, 'old.onnx'))).toMatchObject({ nothingToDo: true, encoder: OLD.fingerprint });
    await refused(to(old, 'dot.onnx'), 9, 'the encoder was trained for dot');
    await refused(to('nowhere', 'new.onnx'), 4, 'nowhere');
    await store.names.switch('why_alias', old);
    await refused(to('why_alias', 'new.onnx'), 2, `is an alias of ${old}`);
    await restText(
      server,
      'PUT',
      '/collections/plain',
      JSON.stringify({ vectors: { size: DIM, distance: 'Cosine' } }),
    );
    await fill(store, 'plain', 20);
    await refused(to('plain', 'new.onnx'), 2, 'was not made by a migration');
    await done(migrate('start', 'plain', 'plain_c', '--encoder', 'old.onnx', '--layout', 'compact', '--yes'));
    await refused(to('plain_c', 'new.onnx'), 2, 'holds compact vectors only');
    await done(
      migrate(
        'start',
        'plain',
        'plain_2s',
        '--encoder',
        'old.onnx',
        '--layout',
        'two-stage',
        '--catch-up',
        '--yes',
      ),
    );
    await refused(to('plain_2s', 'new.onnx'), 2, 'is still filled by the migration from plain (following)');
    expect(
      (await store.listCollections()).filter((name) => name.includes(NEW.fingerprint.slice(0, 8))),
    ).toEqual([]);
  });
});
