import { afterAll, beforeAll, expect, test as plainTest } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import { row, type Matrix } from '../../../src/core/matrix.js';
import { openCliPlace, type CliPlace } from '../../support/cli/cli-on-test-server.js';
import { COMPACT_DIM, DIM, fill, tinyEncoder } from '../../support/migrate/fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';
import { withSampleSummary } from '../../../src/select/summarize-sample.js';
import { endServing, startServe, type Serving } from '../../support/serve/serve-child.js';
import { fetchOnce } from '../../support/server/fetch-once.js';
import { testsOn } from '../../support/server/test-server.js';

const test = await testsOn('any');
const FOLDER = 'deploy/monitoring';
const TARGET = `docs_c${COMPACT_DIM}`;
const POINTS = 400;

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly summary: string };
    }[];
  }[];
}

const dashboard = JSON.parse(
  readFileSync(`${FOLDER}/grafana/dashboards/qdrant-tldr.json`, 'utf8'),
) as Dashboard;
const alerts = (parse(readFileSync(`${FOLDER}/alerts.yml`, 'utf8')) as Rules).groups.flatMap(
  ({ rules }) => rules,
);
const shown = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const expressions = [...shown, ...alerts.map(({ expr }) => expr)];

let place: CliPlace;
let serving: Serving;
let vectors: Matrix;

/** The labels of each metric of a text in Prometheus' format. */
function labelsOf(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of text.split('\n')) {
    const [, name, labels = ''] = /^([a-z_0-9]+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const known = found.get(name) ?? new Set();
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
    found.set(name, known);
  }
  return found;
}

async function search(i: number): Promise<void> {
  const answer = await fetchOnce(`${serving.rest}/collections/docs/points/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: Array.from(row(vectors, i)), limit: 5 }),
  });
  expect(answer.status).toBe(200);
  await answer.arrayBuffer();
}

async function metrics(): Promise<string> {
  return (await fetchOnce(`${serving.operations}/metrics`)).text();
}

/** Calls until the result is what is wanted. */
async function until<T>(look: () => Promise<T>, isDone: (found: T) => boolean): Promise<T> {
  for (;;) {
    const found = await look();
    if (isDone(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

beforeAll(async () => {
  place = await openCliPlace('monitoring');
  await place.rest('PUT', '/collections/docs', { vectors: { size: DIM, distance: 'Cosine' } });
  vectors = await fill(place.store, 'docs', POINTS);
  const encoder = await withSampleSummary(tinyEncoder(), vectors, { seed: 1 });
  await encoder.save(join(place.cwd, 'enc.onnx'));
  const env = { QDRANT_URL: place.server.url, QDRANT_TLDR_GRPC_URL: place.server.grpcUrl };
  const words = [
    'migrate',
    'start',
    'docs',
    TARGET,
    '--encoder',
    'enc.onnx',
    '--layout',
    'two-stage',
    '--yes',
  ];
  expect(await runCli(words, { cwd: place.cwd, env })).toMatchObject({ code: 0 });
  const at = '127.0.0.1:0';
  await writeFile(
    join(place.cwd, 'serve.json'),
    JSON.stringify({
      url: place.server.url,
      grpcUrl: place.server.grpcUrl,
      listenRest: at,
      listenGrpc: at,
      listenOperations: at,
      shadow: '100%',
      collections: { docs: { target: TARGET, encoder: 'enc.onnx', full: 'docs' } },
    }),
  );
  serving = await startServe(place.cwd, []);
  for (let i = 0; i < 20; i++) await search(i);
  await until(
    metrics,
    (text) =>
      /tldr_shadow_overlap_count\S* [1-9]/.test(text) && /tldr_drift_compared_total\S* [1-9]/.test(text),
  );
});

afterAll(async () => {
  endServing();
  await place.end();
});

test('charts and alerts name metrics and labels that a proxy exports', async () => {
  const exported = labelsOf(await metrics());
  const wrong = expressions.flatMap((expression) => {
    const names = [...expression.matchAll(/\btldr_\w+/g)].map(([name]) => name);
    if (names.length === 0 && !expression.includes('up{')) return [`${expression}: no metric`];
    const missing = names.filter((name) => !exported.has(name));
    // `le` is the label of a histogram's buckets; Prometheus itself adds the others.
    const known = new Set([
      'le',
      'instance',
      'job',
      ...names.flatMap((name) => [...(exported.get(name) ?? [])]),
    ]);
    const by = [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/, */));
    const compared = [...expression.matchAll(/(\w+)=~?"/g)].map(([, label = '']) => label);
    const unknown = [...by, ...compared].filter((label) => !known.has(label));
    return [...missing, ...unknown].map((name) => `${expression}: ${name}`);
  });
  expect(wrong).toEqual([]);
});

plainTest('the dashboard has one place for each panel, and the guide names each alert', () => {
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [i, a] of dashboard.panels.entries())
    for (const b of dashboard.panels.slice(i + 1)) {
      const apart = (from: 'x' | 'y', size: 'w' | 'h'): boolean =>
        a.gridPos[from] + a.gridPos[size] <= b.gridPos[from] ||
        b.gridPos[from] + b.gridPos[size] <= a.gridPos[from];
      expect({ a: a.title, b: b.title, apart: apart('x', 'w') || apart('y', 'h') }).toMatchObject({
        apart: true,
      });
    }
  const guide = readFileSync('docs/guides/monitoring.md', 'utf8');
  const named = [...guide.matchAll(/^\| `(Tldr\w+)`/gm)].map(([, name]) => name);
  expect(named).toEqual(alerts.map(({ alert }) => alert));
});

plainTest('the compose file mounts what is there', () => {
  const { services } = parse(readFileSync('docker-compose.yml', 'utf8')) as {
    services: Record<string, { profiles?: string[]; volumes?: string[] }>;
  };
  const own = Object.values(services).filter(({ profiles = [] }) => profiles.includes('monitoring'));
  expect(own).toHaveLength(2);
  const mounted = own.flatMap(({ volumes = [] }) => volumes.map((one) => one.split(':')[0] ?? ''));
  const missing = mounted.filter((path) => path.startsWith('./') && !existsSync(path));
  expect({ mounted: mounted.length, missing }).toEqual({ mounted: 6, missing: [] });
});

const hasPrometheus = ['prometheus', 'promtool'].every((name) => spawnSync(name, ['--version']).status === 0);
if (!hasPrometheus)
  process.stderr.write(
    'the test with a real Prometheus is left out: prometheus and promtool are not installed\n',
  );
const prometheusTest = hasPrometheus ? test : plainTest.skip;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

prometheusTest('a real Prometheus takes the rules, and has an answer to every chart', async () => {
  const rules = spawnSync('promtool', ['check', 'rules', `${FOLDER}/alerts.yml`], { encoding: 'utf8' });
  expect(rules).toMatchObject({ status: 0 });
  const config = spawnSync('promtool', ['check', 'config', `${FOLDER}/prometheus.yml`], { encoding: 'utf8' });
  expect(config).toMatchObject({ status: 0 });

  const target = new URL(serving.operations).host;
  const text = readFileSync(`${FOLDER}/prometheus.yml`, 'utf8')
    .replaceAll('15s', '1s')
    .replace('alerts.yml', join(process.cwd(), FOLDER, 'alerts.yml'))
    .replace('serve:6435', target);
  await writeFile(join(place.cwd, 'prometheus.yml'), text);
  const port = await freePort();
  const child: ChildProcess = spawn(
    'prometheus',
    [
      `--config.file=prometheus.yml`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--storage.tsdb.path=prometheus',
    ],
    { cwd: place.cwd, stdio: 'ignore' },
  );
  const query = async (expression: string): Promise<unknown[]> => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await (await fetchOnce(url)).json()) as {
      status: string;
      error?: string;
      data?: { result: unknown[] };
    };
    expect({ expression, ...answer }).toMatchObject({ status: 'success' });
    return answer.data?.result ?? [];
  };
  try {
    const seen = (): Promise<unknown[]> =>
      query('count_over_time(tldr_requests_in_flight[1m]) > 3').catch(() => []);
    for (let i = 0; (await seen()).length === 0; i++) {
      await search(i % POINTS);
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect(child.exitCode).toBeNull();
    }
    const inPrometheus = (expression: string): string =>
      expression.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
    const empty: string[] = [];
    for (const expression of shown) {
      const answer = await query(inPrometheus(expression));
      if (answer.length === 0) empty.push(expression);
    }
    expect(empty).toEqual([]);
    for (const { expr } of alerts) await query(expr);
  } finally {
    child.kill();
    await once(child, 'close');
  }
});
