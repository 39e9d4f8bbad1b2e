import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openQdrant } from '../../adapters/qdrant/open-qdrant.js';
import { freePorts } from '../../src/cli/free-ports.js';
import type { VectorStore } from '../../src/core/vector-store.js';
import {
  readReport,
  writePlan,
  type FollowerReport,
  type JournalPlan,
} from '../../src/migrate/journal-state.js';
import { planMigration, type MigrationPlan } from '../../src/migrate/plan-migration.js';
import { DIM, fill, tinyEncoder } from '../migrate/fixtures.js';
import { compareSides } from './compare-sides.js';
import { copyOnce } from './copy-once.js';
import { PlainGrpc } from './grpc-call.js';
import { RandomWrites } from './random-writes.js';
import { startTestServer, testsOn, type TestServer } from './test-server.js';

const test = await testsOn('any');
const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const POINTS = 600;
const WRITERS = 4;
const WAIT_MS = 40_000;
const encoder = tinyEncoder();

let server: TestServer;
let store: VectorStore;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  server = await startTestServer();
  store = await openQdrant(server);
}, 60_000);

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

/** A collection that is migrated while writers and readers use it through the proxy. */
class Scenario {
  readonly failures: string[] = [];
  readonly folder: string;
  readonly journal: string;
  readonly source: string;
  readonly target: string;
  readonly plan: MigrationPlan;
  readonly rest: string;
  readonly grpcUrl: string;
  writes = 0;
  #child: ChildProcess | undefined;
  #grpc: PlainGrpc | undefined;
  #stopped = false;
  #working: Promise<unknown> = Promise.resolve();
  /** Where the process is killed on purpose, requests may fail and are made again. */
  #kills: boolean;

  private constructor(made: {
    folder: string;
    source: string;
    plan: MigrationPlan;
    ports: readonly number[];
    kills: boolean;
  }) {
    this.folder = made.folder;
    this.journal = join(made.folder, 'journal');
    this.source = made.source;
    this.target = `${made.source}_2s`;
    this.plan = made.plan;
    this.rest = `http://127.0.0.1:${made.ports[0]}`;
    this.grpcUrl = `http://127.0.0.1:${made.ports[1]}`;
    this.#kills = made.kills;
  }

  static async make(source: string, kills: boolean): Promise<Scenario> {
    const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-migrating-'));
    await store.create({
      ...{ name: source, vectors: [], otherVectors: [], shardKeys: [], metadata: {} },
      native: JSON.stringify({
        params: { vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 },
        optimizer_config: {},
      }),
    });
    await fill(store, source, POINTS);
    const names = { sourceCollection: source, targetCollection: `${source}_2s` };
    const plan = await planMigration({
      source: store,
      target: store,
      ...names,
      encoder,
      layout: 'two-stage',
    });
    const ports = await freePorts(3);
    await encoder.save(join(folder, 'encoder.onnx'));
    const [rest, grpc, operations] = ports.map((port) => `127.0.0.1:${port}`);
    const config = {
      ...{ url: server.url, grpcUrl: server.grpcUrl },
      ...{ listenRest: rest, listenGrpc: grpc, listenOperations: operations },
      collections: {
        [source]: {
          target: `${source}_2s`,
          encoder: 'encoder.onnx',
          migrating: { source, journal: 'journal' },
        },
      },
    };
    await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
    return new Scenario({ folder, source, plan, ports, kills });
  }

  async serve(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', 'serve.json', '--json'], {
      cwd: this.folder,
      env: { PATH: process.env['PATH'] ?? '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('close', (code) => reject(new Error(`serve ended with ${code}: ${log}`)));
    });
    this.#grpc = new PlainGrpc(this.grpcUrl);
    this.#child = child;
  }

  /** As `kill -9` does it, with requests under way. */
  async killAndServe(): Promise<void> {
    const child = this.#child;
    const ended = new Promise((resolve) => child?.once('close', resolve));
    this.#grpc?.close();
    child?.kill('SIGKILL');
    await ended;
    await this.serve();
  }

  /** The process is asked to stop, and does. */
  async end(): Promise<number | null> {
    const child = this.#child;
    const ended = new Promise<number | null>((resolve) => child?.once('close', resolve));
    this.#grpc?.close();
    child?.kill('SIGTERM');
    return ended;
  }

  begin(seed: number): void {
    const writers = Array.from({ length: WRITERS }, (_, i) => this.#write(seed * 1000 + i));
    this.#working = Promise.all([...writers, this.#readOwnWrites(), this.#search()]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#working;
  }

  async #write(seed: number): Promise<void> {
    const writes = new RandomWrites(seed, POINTS + 60);
    while (!this.#stopped) {
      const write = writes.next(this.source);
      await this.#try(async () => {
        if (write.transport === 'rest') {
          const { status, text } = await this.#request(write.method, write.path, write.body);
          // Points that are not there have no vectors to update.
          if (status !== 200 && status !== 404) throw new Error(`${write.path}: ${status} ${text}`);
        } else {
          const { code, text } = (await this.#grpc?.call(write)) ?? { code: 14, text: '' };
          if (code !== 0 && code !== 5) throw new Error(`${write.path}: ${code} ${text}`);
        }
      });
      this.writes++;
    }
  }

  /** Whoever was told that a write was made reads it, whichever side answers. */
  async #readOwnWrites(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const id = 5_000_000 + (i % 7);
      const at = `/collections/${this.source}/points`;
      await this.#try(async () => {
        const vector = Array.from({ length: DIM }, (_, j) => (j === i % DIM ? 1 : 0.25));
        const point = { id, vector, payload: { written: i } };
        const written = await this.#request('PUT', at, JSON.stringify({ points: [point] }));
        const read = await this.#request('POST', at, JSON.stringify({ ids: [id], with_payload: true }));
        if (written.status !== 200 || read.status !== 200) throw new Error(`${written.text} ${read.text}`);
        if (!read.text.includes(`"written":${i}}`)) this.failures.push(`wrote ${i}, read ${read.text}`);
        const removed = await this.#request('POST', `${at}/delete`, JSON.stringify({ points: [id] }));
        const gone = await this.#request('POST', at, JSON.stringify({ ids: [id] }));
        if (removed.status !== 200 || gone.status !== 200) throw new Error(`${removed.text} ${gone.text}`);
        if (!gone.text.includes('"result":[]')) this.failures.push(`removed ${i}, read ${gone.text}`);
      });
    }
  }

  async #search(): Promise<void> {
    const body = JSON.stringify({ query: Array.from({ length: DIM }, (_, j) => j + 1), limit: 5 });
    while (!this.#stopped)
      await this.#try(async () => {
        const { status, text } = await this.#request(
          'POST',
          `/collections/${this.source}/points/query`,
          body,
        );
        if (status !== 200) throw new Error(`search: ${status} ${text}`);
      });
  }

  /** Until it works, where the process may be killed; every failure counts where it is not. */
  async #try(task: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await task();
        return;
      } catch (error) {
        if (!this.#kills) {
          this.failures.push(String(error));
          return;
        }
        if (this.#stopped) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async #request(method: string, path: string, body: string): Promise<{ status: number; text: string }> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(this.rest + path, { method, body, headers });
    return { status: response.status, text: await response.text() };
  }

  async want(plan: JournalPlan, until: (report: FollowerReport) => boolean): Promise<void> {
    await writePlan(this.journal, plan);
    await this.reported(
      (report) => report.state === plan.state && report.side === plan.side && until(report),
    );
  }

  async reported(until: (report: FollowerReport) => boolean): Promise<void> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const report = await readReport(this.journal);
      if (report !== null && report.pid === this.#child?.pid && until(report)) return;
      if (performance.now() > endMs) throw new Error(`not reported in time: ${JSON.stringify(report)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  copy(): Promise<void> {
    return copyOnce({ plan: this.plan, store, encoder, batchSize: 8 });
  }

  differences(): Promise<string[]> {
    return compareSides(server.url, { source: this.source, target: this.target, encoder });
  }
}

const forAWhile = (ms = 400): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const anything = (): boolean => true;

describe('a collection that is written to through the proxy while it is migrated', () => {
  test('cut-over and the way back: no request fails, every write is read, both sides end equal', async () => {
    const scenario = await Scenario.make('busy', false);
    await scenario.serve();
    scenario.begin(1);
    await forAWhile();
    await scenario.want({ state: 'copying', side: 'source' }, anything);
    await scenario.copy();
    await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
    for (let round = 0; round < 2; round++) {
      await scenario.want({ state: 'copied', side: 'target' }, anything);
      await forAWhile();
      await scenario.want({ state: 'copied', side: 'source' }, anything);
      await forAWhile();
    }
    await scenario.want({ state: 'copied', side: 'target' }, anything);
    await forAWhile();
    await scenario.stop();
    await scenario.reported(({ open }) => open === 0);
    expect(scenario.failures).toEqual([]);
    expect(scenario.writes).toBeGreaterThan(100);
    expect(await scenario.differences()).toEqual([]);
    expect(await scenario.end()).toBe(0);
    expect(await readReport(scenario.journal)).toBeNull();
    await rm(scenario.folder, { recursive: true });
  }, 120_000);

  test.each([1, 2, 3])(
    'killed at any moment, it ends with the same points on both sides (seed %d)',
    async (seed) => {
      const scenario = await Scenario.make(`killed_${seed}`, true);
      await scenario.serve();
      scenario.begin(100 + seed);
      await forAWhile(100 + 97 * seed);
      await scenario.killAndServe();
      await scenario.want({ state: 'copying', side: 'source' }, anything);
      const copied = scenario.copy();
      await forAWhile(61 * seed);
      await scenario.killAndServe();
      await copied;
      await writePlan(scenario.journal, { state: 'copied', side: 'source' });
      await forAWhile(50 + 113 * seed);
      await scenario.killAndServe();
      await scenario.want({ state: 'copied', side: 'source' }, ({ caughtUp }) => caughtUp);
      await scenario.want({ state: 'copied', side: 'target' }, anything);
      for (let round = 0; round < 3; round++) {
        await forAWhile(83 * seed);
        await scenario.killAndServe();
      }
      await scenario.want({ state: 'copied', side: 'source' }, anything);
      await forAWhile(100);
      await scenario.killAndServe();
      await scenario.want({ state: 'copied', side: 'target' }, anything);
      await scenario.stop();
      await scenario.reported(({ open }) => open === 0);
      expect(scenario.failures).toEqual([]);
      expect(await scenario.differences()).toEqual([]);
      expect(await scenario.end()).toBe(0);
      await rm(scenario.folder, { recursive: true });
    },
    180_000,
  );

  test('the comparison finds a missing point, one too many, a payload and a vector', async () => {
    const scenario = await Scenario.make('compared', false);
    await scenario.copy();
    expect(await scenario.differences()).toEqual([]);
    const change = async (method: string, below: string, body: object): Promise<void> => {
      const response = await fetch(`${server.url}/collections/${scenario.target}/points${below}?wait=true`, {
        ...{ method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    };
    await change('POST', '/delete', { points: [1] });
    await change('PUT', '', { points: [{ id: 77_000, vector: {} }] });
    await change('POST', '/payload', { payload: { f: 2 }, points: [4] });
    await change('PUT', '/vectors', { points: [{ id: 7, vector: { compact: [1, 0, 0, 0] } }] });
    await change('POST', '/vectors/delete', { points: [10], vector: [''] });
    const found = await scenario.differences();
    expect(found.map((line) => line.split(/[: ]/)[0]).sort()).toEqual(['1', '10', '4', '7', '77000']);
    await rm(scenario.folder, { recursive: true });
  }, 60_000);

  test('several processes are refused, and so is a name that does not lead to the source', async () => {
    const scenario = await Scenario.make('refused', false);
    const failed = async (args: readonly string[]): Promise<string> => {
      const child = spawn(process.execPath, [MAIN, 'serve', '--config', 'serve.json', ...args], {
        ...{ cwd: scenario.folder, env: { PATH: process.env['PATH'] ?? '' } },
      });
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
      expect(await new Promise((resolve) => child.once('close', resolve))).not.toBe(0);
      return log;
    };
    expect(await failed(['--workers', '2'])).toContain('which takes one process');
    const config = {
      ...{ url: server.url, grpcUrl: server.grpcUrl },
      collections: {
        other: { target: 'x', encoder: 'encoder.onnx', migrating: { source: 'refused', journal: 'j' } },
      },
    };
    await writeFile(join(scenario.folder, 'serve.json'), JSON.stringify(config));
    expect(await failed([])).toContain('"other" is neither refused nor an alias of it');
    await rm(scenario.folder, { recursive: true });
  }, 60_000);
});
