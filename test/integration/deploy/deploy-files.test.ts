import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { runCli, type CliResult } from '../../support/cli/run-cli.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { testsOn } from '../../support/server/test-server.js';

/** What containers of the files in deploy/ would run, run by this machine's processes. */
const test = await testsOn('any');

const ROWS = 6_000;
const TARGET = 'docs_small';
/** Where containers find the encoder and the migration state. */
const MOUNTED_AT = '/work';

interface Job {
  readonly spec: {
    readonly completionMode: string;
    readonly completions: number;
    readonly parallelism: number;
    readonly template: {
      readonly spec: {
        readonly containers: readonly [
          { readonly args: readonly string[]; readonly env: readonly { name: string; value?: string }[] },
        ];
      };
    };
  };
}

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly command: string | readonly string[];
        readonly environment: Readonly<Record<string, string>>;
        readonly healthcheck?: { readonly test: readonly unknown[] };
      }
    >
  >;
}

/** A worker in its container: what it is called with, and its own variables. */
interface Worker {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

let place: CliPlace;

const file = (path: string): unknown => parse(readFileSync(path, 'utf8'), { merge: true });

beforeAll(async () => {
  place = await openCliPlace('deploy');
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  await fill(place.store, 'docs', ROWS);
  await tinyEncoder().save(join(place.cwd, 'encoder.onnx'));
});

afterAll(() => place.end());

beforeEach(async () => {
  await place.store.drop(TARGET);
  await rm(join(place.cwd, `docs--${TARGET}.json`), { force: true });
});

/** The mounted folder is this test's, and so is the server. */
function run({ args, env }: Worker): Promise<CliResult> {
  const { url, grpcUrl } = place.server;
  const here = args.map((arg) => arg.replace(MOUNTED_AT, place.cwd));
  const addresses = { QDRANT_URL: url, QDRANT_TLDR_GRPC_URL: grpcUrl };
  return runCli([...here, '--json'], { cwd: place.cwd, env: { ...env, ...addresses } });
}

/** All at once: each copies, together everything, and one of them verifies. */
async function expectMigrated(workers: readonly Worker[]): Promise<void> {
  const ended = await Promise.all(workers.map(run));
  expect(ended.map(({ code, stderr }) => (code === 0 ? '' : stderr))).toEqual(workers.map(() => ''));
  const results = ended.map(({ json }) => json());
  expect(results.reduce((sum, { copied }) => sum + Number(copied), 0)).toBe(ROWS);
  expect(results.filter(({ verified }) => verified === ROWS)).toHaveLength(1);
}

test('the pods of the Kubernetes job migrate, and the compose service may serve what they made', async () => {
  const { spec } = file('deploy/migrate-job.yaml') as Job;
  const [{ args, env }] = spec.template.spec.containers;
  const { QDRANT_TLDR_WORKER: worker } = Object.fromEntries(env.map(({ name, value = '' }) => [name, value]));
  const { completionMode, completions, parallelism } = spec;
  expect({ completionMode, parallelism, worker }).toEqual({
    completionMode: 'Indexed',
    parallelism: completions,
    worker: `job/${completions}`,
  });
  await expectMigrated(
    Array.from({ length: completions }, (_, i) => ({
      args,
      env: { QDRANT_TLDR_WORKER: worker ?? '', JOB_COMPLETION_INDEX: String(i) },
    })),
  );

  const serve = (file('docker-compose.yml') as Compose).services['serve'];
  const served = { docs: { target: TARGET, encoder: 'encoder.onnx' } };
  await writeFile(join(place.cwd, 'serve.json'), JSON.stringify({ collections: served }));
  const command = String(serve?.command).split(' ');
  const checked = await run({ args: [...command, '--check'], env: serve?.environment ?? {} });
  expect({ code: checked.code, ...checked.json() }).toMatchObject({
    code: 0,
    checked: true,
    collections: [{ target: TARGET, outputDim: COMPACT_DIM }],
  });
});

test('the services of the compose file migrate', async () => {
  const { services } = file('deploy/migrate-compose.yml') as Compose;
  const workers = Object.values(services).map(({ command, environment }) => ({
    args: Array.isArray(command) ? (command as string[]) : [],
    env: { QDRANT_TLDR_WORKER: environment['QDRANT_TLDR_WORKER'] ?? '', QDRANT_API_KEY: '' },
  }));
  expect(workers.map(({ env }) => env.QDRANT_TLDR_WORKER)).toEqual(
    workers.map((_, i) => `${i + 1}/${workers.length}`),
  );
  await expectMigrated(workers);
});

test('health checks are commands, and that of the proxy a program', () => {
  const services = ['docker-compose.yml', 'deploy/migrate-compose.yml'].flatMap((path) =>
    Object.values((file(path) as Compose).services),
  );
  const checks = services.flatMap(({ healthcheck }) => (healthcheck === undefined ? [] : [healthcheck.test]));
  expect(checks.flat().filter((word) => typeof word !== 'string')).toEqual([]);
  const programs = checks.flatMap((words) => (words[1] === 'node' ? [String(words[3])] : []));
  expect(programs).toHaveLength(1);
  for (const program of programs)
    execFileSync(process.execPath, ['--check', '-'], { input: program, stdio: ['pipe', 'ignore', 'pipe'] });
});

test('the image is built from what is there, and starts the command line', () => {
  const lines = readFileSync('Dockerfile', 'utf8').split('\n');
  const copied = lines
    .filter((line) => /^COPY (?!--from)/.test(line))
    .flatMap((line) => line.split(' ').slice(1, -1))
    // A pattern that matches the lock file, if there is one.
    .map((path) => path.replace(/\[(.)\]/g, '$1'));
  expect(copied.filter((path) => !existsSync(path))).toEqual([]);
  const { bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { bin: Record<string, string> };
  const built = bin['qdrant-tldr'] ?? '';
  const words = ['node', `/app/${built}`].map((word) => JSON.stringify(word));
  expect(lines).toContain(`ENTRYPOINT [${words.join(', ')}]`);
});
