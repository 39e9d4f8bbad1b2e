import { execFile, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Encoder } from '../../../src/encoder/model.js';
import { Rng } from '../../../src/core/rng.js';
import type { QdrantStore } from '../../../adapters/qdrant/index.js';
import {
  readReport,
  writeDesiredState,
  type ProxyReport,
  type DesiredState,
} from '../../../src/migrate/dual-write/proxy-state-files.js';
import { planMigration, type MigrationPlan } from '../../../src/migrate/plan/migration.js';
import { DIM, fill, tinyEncoder } from './fixtures.js';
import { compareSides } from './compare-source-and-target.js';
import { copyOnce } from '../server/copy-once.js';
import { fetchOnce } from '../server/fetch-once.js';
import { PlainGrpc } from '../server/grpc-call.js';
import { Ledger } from './ledger.js';
import { RandomWrites } from './random-writes.js';
import { startServe, type Serving } from '../serve/serve-child.js';

const run = promisify(execFile);
const ANY_PORT = '127.0.0.1:0';
const POINTS = 600;
const WRITERS = 4;
const WAIT_MS = 300_000;
/**
 * Between one write or search of a client and its next, with faults and without: the machine has other things to do as
 * well, and commands that run meanwhile take many times as long beside clients that never rest.
 */
const [REST_WITH_FAULTS_MS, REST_MS] = [150, 20];
/** How often a writer leaves a failed write as it is: made or not, nobody knows. */
const GIVES_UP = 0.3;
const DEFAULT_VECTORS = {
  params: { vectors: { size: DIM, distance: 'Cosine' }, shard_number: 2 },
  vectorName: '',
  encoder: tinyEncoder(),
};

/** The server that scenarios use, as the proxy reaches it and directly. */
export interface ScenarioPlace {
  readonly url: string;
  readonly grpcUrl: string;
  readonly directUrl: string;
  readonly store: QdrantStore;
  /** Processes that run, for whoever has to end them after a failure. */
  readonly running: Set<ChildProcess>;
}

interface ScenarioOptions {
  /** Where processes are ended on purpose, requests may fail and are made again, or not. */
  readonly faults: boolean;
  readonly points?: number;
  /** The source's vectors, where they are not one default vector under cosine distance; takes `points: 0`. */
  readonly vectors?: { readonly params: object; readonly vectorName: string; readonly encoder: Encoder };
}

/** Waits. */
export const forAWhile = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A collection that is migrated while writers and readers use it through the proxy. */
export class Scenario {
  readonly failures: string[] = [];
  readonly #place: ScenarioPlace;
  readonly folder: string;
  readonly journal: string;
  readonly source: string;
  readonly target: string;
  readonly plan: MigrationPlan;
  writes = 0;
  /** The proxy that runs now, or ran last. */
  #serving: Serving | undefined;
  #grpc: PlainGrpc | undefined;
  #stopped = false;
  #working: Promise<unknown> = Promise.resolve();
  readonly #ledger = new Ledger();
  readonly #faults: boolean;
  readonly #encoder: Encoder;

  private constructor(made: {
    place: ScenarioPlace;
    folder: string;
    source: string;
    plan: MigrationPlan;
    faults: boolean;
    encoder: Encoder;
  }) {
    this.#place = made.place;
    this.folder = made.folder;
    this.journal = join(made.folder, 'journal');
    this.source = made.source;
    this.target = `${made.source}_2s`;
    this.plan = made.plan;
    this.#faults = made.faults;
    this.#encoder = made.encoder;
  }

  static async make(place: ScenarioPlace, source: string, options: ScenarioOptions): Promise<Scenario> {
    const { store } = place;
    const { faults, points = POINTS, vectors = DEFAULT_VECTORS } = options;
    const { params, vectorName, encoder } = vectors;
    const folder = await mkdtemp(join(tmpdir(), 'qdrant-tldr-migrating-'));
    await store.create({
      name: source,
      vectors: [],
      otherVectors: [],
      partitions: [],
      metadata: {},
      native: JSON.stringify({ params, optimizer_config: {} }),
    });
    if (points > 0) await fill(store, source, points);
    const names = { sourceCollection: source, targetCollection: `${source}_2s` };
    const plan = await planMigration({
      source: store,
      target: store,
      ...names,
      encoder,
      vectorName,
      layout: 'two-stage',
    });
    await encoder.save(join(folder, 'encoder.onnx'));
    const config = {
      url: place.url,
      grpcUrl: place.grpcUrl,
      listenRest: ANY_PORT,
      listenGrpc: ANY_PORT,
      listenOperations: ANY_PORT,
      collections: {
        [source]: {
          target: `${source}_2s`,
          encoder: 'encoder.onnx',
          migrating: { source, journal: 'journal' },
        },
      },
    };
    await writeFile(join(folder, 'serve.json'), JSON.stringify(config));
    return new Scenario({ place, folder, source, plan, faults, encoder });
  }

  /** Where clients reach the proxy now; elsewhere after every start of it. */
  get rest(): string {
    return this.#serving?.rest ?? '';
  }

  get grpc(): string {
    return this.#serving?.grpc ?? '';
  }

  /** Resolves when the proxy has logged such a line. */
  async logged(text: string): Promise<void> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const log = this.#serving?.log() ?? '';
      // As it stands in a line of JSON.
      if (log.includes(JSON.stringify(text).slice(1, -1))) return;
      if (performance.now() > endMs) throw new Error(`not logged in time: ${text}\n${log.slice(-4000)}`);
      await forAWhile(20);
    }
  }

  /** The proxy reads its configuration again, with these settings changed. */
  async reload(settings: object): Promise<void> {
    const path = join(this.folder, 'serve.json');
    const before = JSON.parse(await readFile(path, 'utf8')) as object;
    await writeFile(path, JSON.stringify({ ...before, ...settings }));
    this.#serving?.child.kill('SIGHUP');
  }

  /** @param before words before the command that starts the proxy */
  async serve(before: readonly string[] = []): Promise<void> {
    this.#serving = await startServe(this.folder, [], { running: this.#place.running, before });
    this.#grpc = new PlainGrpc(this.#serving.grpc);
  }

  /** As `kill -9` does it, with requests under way. */
  async kill(): Promise<void> {
    this.#grpc?.close();
    this.#serving?.child.kill('SIGKILL');
    await this.#serving?.ended;
  }

  async killAndServe(): Promise<void> {
    await this.kill();
    await this.serve();
  }

  /** The disk takes so many bytes more of the journal for a while, by the kernel's limit of the process. */
  async fillDisk(spareBytes: number, ms: number): Promise<void> {
    const limit = (bytes: number | string): Promise<unknown> =>
      run('prlimit', ['--pid', String(this.#serving?.child.pid), `--fsize=${bytes}:`]);
    const { size } = await stat(join(this.journal, 'writes.journal'));
    await limit(size + spareBytes);
    await forAWhile(ms);
    await limit('unlimited');
  }

  /** The process stands still, as on a machine that has no time for it. */
  async pause(ms: number): Promise<void> {
    this.#serving?.child.kill('SIGSTOP');
    await forAWhile(ms);
    this.#serving?.child.kill('SIGCONT');
  }

  /** The process is asked to stop, and does. */
  async end(): Promise<number | null> {
    this.#grpc?.close();
    this.#serving?.child.kill('SIGTERM');
    return (await this.#serving?.ended) ?? null;
  }

  begin(seed: number): void {
    const writers = Array.from({ length: WRITERS }, (_, i) => this.#write(seed * 1000 + i));
    const rng = new Rng(seed);
    this.#working = Promise.all([...writers, this.#readOwnWrites(), this.#search(), this.#keepLedger(rng)]);
  }

  /** Returns once clients wrote this often again, however long that takes. */
  async moreWrites(count = 30): Promise<void> {
    const enough = this.writes + count;
    while (this.writes < enough) await forAWhile(20);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#working;
  }

  async #write(seed: number): Promise<void> {
    const writes = new RandomWrites(seed, POINTS + 60);
    const rng = new Rng(seed);
    const givesUp = (): boolean => rng.uniform() < GIVES_UP;
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
      }, givesUp);
      this.writes++;
    }
  }

  /** Remembers what was acknowledged of the writes to points of its own. */
  async #keepLedger(rng: Rng): Promise<void> {
    while (!this.#stopped)
      await this.#try(async () => {
        const { path, method, body, acknowledged } = this.#ledger.next(rng);
        const { status, text } = await this.#request(method, `/collections/${this.source}${path}`, body);
        if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
        acknowledged();
      });
  }

  /** A client that waited for its write reads it, whichever side answers. */
  async #readOwnWrites(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const id = 5_000_000 + (i % 7);
      const at = `/collections/${this.source}/points`;
      await this.#try(async () => {
        const vector = Array.from({ length: DIM }, (_, j) => (j === i % DIM ? 1 : 0.25));
        const point = { id, vector, payload: { written: i } };
        const written = await this.#request('PUT', `${at}?wait=true`, JSON.stringify({ points: [point] }));
        const read = await this.#request('POST', at, JSON.stringify({ ids: [id], with_payload: true }));
        if (written.status !== 200 || read.status !== 200) throw new Error(`${written.text} ${read.text}`);
        if (!read.text.includes(`"written":${i}}`)) this.failures.push(`wrote ${i}, read ${read.text}`);
        const removed = await this.#request(
          'POST',
          `${at}/delete?wait=true`,
          JSON.stringify({ points: [id] }),
        );
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

  /** Until it works or is given up, where there are faults; every failure counts where there are none. */
  async #try(task: () => Promise<void>, givesUp = (): boolean => false): Promise<void> {
    await forAWhile(this.#faults ? REST_WITH_FAULTS_MS : REST_MS);
    for (;;) {
      try {
        await task();
        return;
      } catch (error) {
        if (!this.#faults) {
          this.failures.push(String(error));
          return;
        }
        if (this.#stopped || givesUp()) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async #request(method: string, path: string, body: string): Promise<{ status: number; text: string }> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetchOnce(this.rest + path, { method, body, headers });
    return { status: response.status, text: await response.text() };
  }

  async want(plan: DesiredState, until: (report: ProxyReport) => boolean): Promise<void> {
    await writeDesiredState(this.journal, plan);
    await this.reported(
      (report) => report.state === plan.state && report.side === plan.side && until(report),
    );
  }

  async reported(until: (report: ProxyReport) => boolean): Promise<void> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const report = await readReport(this.journal);
      if (report !== null && report.pid === this.#serving?.child.pid && until(report)) return;
      if (performance.now() > endMs) {
        const said = this.#serving?.log().slice(-4000);
        throw new Error(`not reported in time: ${JSON.stringify(report)}\n${said}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  copy(): Promise<void> {
    const encoder = this.#encoder;
    return copyOnce({ plan: this.plan, store: this.#place.store, encoder, batchSize: 8 });
  }

  /** Between both sides, and between the source and what was acknowledged. */
  async differences(): Promise<string[]> {
    const { directUrl } = this.#place;
    const { source, target } = this;
    const encoder = this.#encoder;
    return [
      ...(await compareSides(directUrl, { source, target, encoder })),
      ...(await this.#ledger.differences(directUrl, source)),
    ];
  }
}
