import { afterAll, beforeAll, expect, test as plainTest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { basename, delimiter, join } from 'node:path';
import { parse } from 'yaml';
import { concatRows, row } from '../../../src/core/matrix.js';
import { withSampleSummary } from '../../../src/select/summarize-sample.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { makeDocs, vectorOf, VECTORS } from '../../support/examples/docs-collection.js';
import { pcaEncoder } from '../../support/migrate/pca-encoder.js';
import { findPython } from '../../support/python/python.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const python = await findPython('qdrant_client');
const pythonTest = python === null ? plainTest.skip : test;
const QUERY = 7;
const MAIN = join(process.cwd(), 'dist/src/cli/main.js');

let place: CliPlace;
let serving: Serving;
let modules: string;

beforeAll(async () => {
  place = await openCliPlace('programs');
  await makeDocs(place.server);
  await place.rest('POST', '/collections/docs/points/payload?wait=true', {
    payload: { content: 'a stored text', metadata: {} },
    filter: {},
  });
  // Twice the points: a sample as small as they are gets no summary.
  const sample = concatRows([VECTORS, VECTORS], VECTORS.cols);
  const encoder = await withSampleSummary(await pcaEncoder(VECTORS, 96), sample, { seed: 1 });
  await encoder.save(join(place.cwd, 'enc.onnx'));
  const migrate = [
    'migrate',
    'docs',
    'docs_small',
    '--encoder',
    'enc.onnx',
    '--layout',
    'two-stage',
    '--yes',
  ];
  expect(await place.cli(...migrate)).toMatchObject({ code: 0 });
  await writeFile(join(place.cwd, 'query.json'), JSON.stringify(vectorOf(QUERY)));
  const at = '127.0.0.1:0';
  const collections = { docs: { target: 'docs_small', encoder: 'enc.onnx' } };
  const { url, grpcUrl } = place.server;
  const listen = { listenRest: at, listenGrpc: at, listenOperations: at };
  await writeFile(join(place.cwd, 'serve.json'), JSON.stringify({ url, grpcUrl, ...listen, collections }));
  serving = await startServe(place.cwd, []);
  // Within the package, so that its own name leads to it.
  modules = join(process.cwd(), 'dist', `programs-${process.pid}`);
  mkdirSync(modules, { recursive: true });
  const bin = join(place.cwd, 'bin');
  mkdirSync(bin);
  await writeFile(
    join(bin, 'qdrant-tldr'),
    `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${MAIN}' "$@"\n`,
    {
      mode: 0o700,
    },
  );
});

afterAll(async () => {
  endServing();
  await rm(modules, { recursive: true, force: true });
  await place.end();
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the folder with query.json and enc.onnx, against the test's server and proxy. */
async function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = spawn(command, args, {
    cwd: place.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${join(place.cwd, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`,
      PROXY_URL: serving.rest,
      PROXY_GRPC_URL: serving.grpc,
      QDRANT_URL: place.server.url,
      QDRANT_TLDR_GRPC_URL: place.server.grpcUrl,
      ...env,
    },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Runs an example of JavaScript, or of TypeScript as it was compiled. */
function runModule(name: string, env?: Readonly<Record<string, string>>): Promise<Ended> {
  const built = name.endsWith('.ts') ? `dist/examples/${basename(name, '.ts')}.js` : `examples/${name}`;
  const copy = join(modules, `${basename(built).replace(/\.m?js$/, '')}.mjs`);
  copyFileSync(built, copy);
  return run(process.execPath, ['--no-warnings', copy], env);
}

/** The three points that a search by the database itself finds. */
async function expectedIds(): Promise<number[]> {
  const found = await place.store.search('docs', {
    vectorName: '',
    vector: row(VECTORS, QUERY),
    limit: 3,
    exact: true,
  });
  return found.map(({ id }) => Number(place.store.keys.format(id)));
}

const idsOf = (stdout: string): number[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split(' ')[0]));

test.each(['rest.mjs', 'grpc.mjs', 'wrapper.ts', 'own-projection.mjs'])(
  '%s finds what the full collection finds',
  async (name) => {
    const ended = await runModule(name);
    expect(ended).toMatchObject({ code: 0 });
    expect(idsOf(ended.stdout)).toEqual(await expectedIds());
  },
);

test('search.sh finds the same', async () => {
  const { code, stdout } = await run('sh', [join(process.cwd(), 'examples/search.sh')]);
  expect(code).toBe(0);
  const { result } = JSON.parse(stdout) as { result: { points: { id: number }[] } };
  expect(result.points.map(({ id }) => id)).toEqual(await expectedIds());
});

pythonTest('search.py finds the same, over REST and over gRPC', async () => {
  const ended = await run(python ?? '', [join(process.cwd(), 'examples/search.py')]);
  expect(ended).toMatchObject({ code: 0 });
  const ids = await expectedIds();
  expect(idsOf(ended.stdout)).toEqual([...ids, ...ids]);
});

test('langchain.mjs finds documents', async () => {
  const ended = await runModule('langchain.mjs');
  expect(ended).toMatchObject({ code: 0 });
  expect(ended.stdout.trimEnd().split('\n')).toHaveLength(3);
  expect(ended.stdout).toMatch(/^a stored text 1\.0000\n/);
});

test('write.mjs writes a point and finds it', async () => {
  const ended = await runModule('write.mjs');
  expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('1000000 1.0000 a new text') });
});

test('train-and-migrate.ts leaves a verified collection', async () => {
  const ended = await runModule('train-and-migrate.ts', { BUDGET_SECONDS: '0.2' });
  expect(ended).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`${VECTORS.rows} points were copied`),
  });
  expect(await place.store.count('docs_trained')).toBe(VECTORS.rows);
});

test('the proxy of the compose file accepts its serve.json', async () => {
  const { services } = parse(readFileSync('examples/docker-compose/compose.yml', 'utf8')) as {
    services: { proxy: { command: string; environment: Record<string, string> } };
  };
  const mounted = join(place.cwd, 'mounted');
  await cp('examples/docker-compose', mounted, { recursive: true });
  copyFileSync(join(place.cwd, 'enc.onnx'), join(mounted, 'enc.onnx'));
  const { command, environment } = services.proxy;
  const args = command.replace('/etc/qdrant-tldr', mounted).split(' ');
  const { QDRANT_URL: reached, ...env } = environment;
  expect(reached).toBe('http://qdrant:6333');
  expect(await run('qdrant-tldr', [...args, '--check'], env)).toMatchObject({ code: 0 });
});

test('the nightly evaluation ends with 0, or with 10 if a term does not hold, and writes both files', async () => {
  const script = join(process.cwd(), 'examples/nightly-evaluation/evaluate.sh');
  const env = { SAMPLE: '100', ACCEPT: 'recall@10>=0, drift<=100%' };
  expect(await run('sh', [script], env)).toMatchObject({ code: 0 });
  expect(await run('sh', [script], { ...env, ACCEPT: 'drift<0%' })).toMatchObject({ code: 10 });
  expect(readdirSync(place.cwd)).toEqual(expect.arrayContaining(['evaluation.html', 'evaluation.xml']));
  const { jobs } = parse(readFileSync('examples/nightly-evaluation/github-actions.yml', 'utf8')) as {
    jobs: { evaluate: { steps: { run?: string }[] } };
  };
  expect(jobs.evaluate.steps.map((step) => step.run)).toContain('sh evaluate.sh');
});

plainTest('README of the examples lists each of them, and only those', () => {
  const there = readdirSync('examples').filter((name) => name !== 'README.md');
  const listed = [...readFileSync('examples/README.md', 'utf8').matchAll(/^\| \[([^\]]+)\]\(/gm)];
  expect(listed.map(([, name = '']) => name.replace(/\/$/, '')).sort()).toEqual(there.sort());
});
