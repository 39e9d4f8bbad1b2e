import cluster, { type Worker } from 'node:cluster';
import type { Config } from '../../config/load.js';
import type { Address } from '../../config/settings.js';
import { expectDefined, TldrError } from '../../core/errors.js';
import type { Log } from '../../core/run-options.js';
import type { DriftCount } from '../../serve/drift-meter.js';
import type { Counts } from '../../serve/metrics.js';
import { freePorts } from '../proxy-adapter.js';
import type { SearchedBatch } from './searched-batches.js';
import type { FromWorker, ToWorker } from './worker-process.js';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;
/** A process that ran this long did not fail at its start. */
const SOUND_AFTER_MS = 30_000;
const COUNT_TIMEOUT_MS = 2_000;
const KILL_AFTER_MS = 2_000;

interface Ports {
  readonly rest: Address;
  readonly grpc: Address;
}

/** What any of the processes reports. */
interface WorkerEvents {
  /** Takes samples of what clients searched for. */
  readonly onSearched: (batch: SearchedBatch) => void;
  /** Takes what was counted when vectors were compared with an encoder's training sample. */
  readonly onDrift: (count: DriftCount) => void;
}

/**
 * Several processes that serve on the same ports. A process that dies is started again, later each time if it
 * dies at once.
 */
export class WorkerProcesses {
  readonly #log: Log;
  readonly #ready = new Set<Worker>();
  readonly #counting = new Map<number, (counts: Counts) => void>();
  /** Processes that are to be started again. */
  readonly #restarts = new Set<NodeJS.Timeout>();
  #config: Config;
  #delayMs = FIRST_DELAY_MS;
  #seed = 0;
  #asked = 0;
  #ending = false;
  readonly #events: WorkerEvents;
  #onReady: (ports: Ports) => void = () => undefined;
  #onFailed: ((error: TldrError) => void) | null = null;

  constructor(config: Config, log: Log, events: WorkerEvents) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
  }

  /**
   * Starts all processes and resolves when every one listens.
   * @throws the error of the first that cannot listen
   */
  async start(): Promise<Ports> {
    this.#config = await withFixedPorts(this.#config);
    return new Promise((resolve, reject) => {
      this.#onFailed = reject;
      this.#onReady = (ports) => {
        if (this.#ready.size < this.#config.workers) return;
        this.#onFailed = null;
        resolve(ports);
      };
      for (let i = 0; i < this.#config.workers; i++) this.#fork();
    });
  }

  get ready(): boolean {
    return !this.#ending && this.#ready.size > 0;
  }

  configure(config: Config): void {
    const { listenRest, listenGrpc } = this.#config;
    this.#config = { ...config, listenRest, listenGrpc };
    for (const worker of this.#all()) this.#tell(worker, { kind: 'configure', config, seed: 0 });
  }

  /** Returns the counters of all processes; a process that does not answer in time is missing. */
  async counts(): Promise<Counts[]> {
    const counts = await Promise.all([...this.#ready].map((worker) => this.#count(worker)));
    return counts.filter((one) => one !== null);
  }

  /** Ends all processes after their requests under way; true if they ended in time. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#ending = true;
    for (const restart of this.#restarts) clearTimeout(restart);
    let inTime = true;
    await Promise.all(
      this.#all().map(
        (worker) =>
          new Promise<void>((resolve) => {
            const kill = setTimeout(() => {
              inTime = false;
              worker.process.kill('SIGKILL');
            }, timeoutMs + KILL_AFTER_MS);
            // The last messages may come after the process has ended.
            const gone = ['exit', 'disconnect'].map(
              (event) => new Promise<void>((ended) => worker.once(event, ended)),
            );
            void Promise.all(worker.isConnected() ? gone : gone.slice(0, 1)).then(() => {
              clearTimeout(kill);
              resolve();
            });
            this.#tell(worker, { kind: 'drain' });
          }),
      ),
    );
    return inTime;
  }

  #all(): Worker[] {
    return Object.values(expectDefined(cluster.workers, 'the list of workers')).filter(
      (worker) => worker !== undefined,
    );
  }

  #fork(): void {
    const worker = cluster.fork();
    const startedAtMs = performance.now();
    worker.on('message', (message: FromWorker) => this.#heard(worker, message));
    worker.on('error', () => undefined);
    worker.once('exit', (code, signal) => {
      this.#ready.delete(worker);
      this.#onFailed?.(new TldrError('INTERNAL', 'a serving process ended before it listened'));
      if (this.#ending || this.#onFailed !== null) return;
      if (performance.now() - startedAtMs > SOUND_AFTER_MS) this.#delayMs = FIRST_DELAY_MS;
      this.#log('warn', `a serving process ended and is started again in ${this.#delayMs} ms`, {
        code,
        signal,
      });
      // The timer keeps this process running even if every other has ended.
      const restart = setTimeout(() => {
        this.#restarts.delete(restart);
        this.#fork();
      }, this.#delayMs);
      this.#restarts.add(restart);
      this.#delayMs = Math.min(2 * this.#delayMs, LONGEST_DELAY_MS);
    });
  }

  #heard(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      // Not when the process starts: a message that is sent before it listens is lost.
      case 'listening':
        this.#tell(worker, { kind: 'configure', config: this.#config, seed: ++this.#seed });
        break;
      case 'ready':
        this.#ready.add(worker);
        if (this.#onFailed === null) this.#log('info', 'a serving process that was started again serves');
        this.#onReady(message);
        break;
      case 'failed':
        if (this.#onFailed === null) this.#log('warn', `a serving process cannot start: ${message.message}`);
        else this.#onFailed(new TldrError(message.code, message.message));
        break;
      case 'refused':
        this.#log('warn', `a serving process refused the configuration: ${message.message}`);
        break;
      case 'deleted':
        this.#drop(worker, message.collection);
        break;
      case 'updated':
        this.#tellOthers(worker, { kind: 'refresh', collection: message.collection });
        break;
      case 'searched':
        for (const batch of message.batches) this.#events.onSearched(batch);
        break;
      case 'drift':
        this.#events.onDrift(message.count);
        break;
      case 'counts':
        this.#counting.get(message.id)?.(message.counts);
    }
  }

  /** Stops serving a collection in all processes after it was deleted through one of them. */
  #drop(by: Worker, collection: string): void {
    const kept = Object.entries(this.#config.collections).filter(([name]) => name !== collection);
    this.#config = { ...this.#config, collections: Object.fromEntries(kept) };
    this.#tellOthers(by, { kind: 'drop', collection });
  }

  #tellOthers(by: Worker, message: ToWorker): void {
    for (const worker of this.#all()) if (worker !== by) this.#tell(worker, message);
  }

  #count(worker: Worker): Promise<Counts | null> {
    const id = this.#asked++;
    return new Promise<Counts | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), COUNT_TIMEOUT_MS);
      this.#counting.set(id, (counts) => {
        clearTimeout(timer);
        resolve(counts);
      });
      this.#tell(worker, { kind: 'count', id });
    }).finally(() => this.#counting.delete(id));
  }

  #tell(worker: Worker, message: ToWorker): void {
    if (worker.isConnected()) worker.send(message, () => undefined);
  }
}

/**
 * Replaces port 0 by a free port, once: all processes must use the same one, also those that are started
 * again.
 */
async function withFixedPorts(config: Config): Promise<Config> {
  const fixed = async (address: Address): Promise<Address> => {
    if (address.port !== 0) return address;
    const [port = 0] = await freePorts(1, address.host);
    return { ...address, port };
  };
  return {
    ...config,
    listenRest: await fixed(config.listenRest),
    listenGrpc: await fixed(config.listenGrpc),
  };
}
