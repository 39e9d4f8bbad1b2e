import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { forAWhile, type Scenario, type ScenarioPlace } from '../support/migrate/migrating-scenario.js';

const CHILD = fileURLToPath(new URL('./copy-child.js', import.meta.url));
/** How often a worker may fail by itself. */
const ATTEMPTS = 5;

/** The copy of a scenario's collection, by workers in processes of their own that are started again until they are done. */
export class Copying {
  readonly #place: ScenarioPlace;
  readonly #scenario: Scenario;
  readonly #children = new Map<number, ChildProcess>();
  #of = 0;
  #stopped = false;
  #workers: Promise<void>[] = [];
  #sawProgress: () => void = () => undefined;
  /** Resolves when the first points were copied. */
  readonly begun: Promise<void>;

  constructor(place: ScenarioPlace, scenario: Scenario) {
    this.#place = place;
    this.#scenario = scenario;
    this.begun = new Promise((resolve) => (this.#sawProgress = resolve));
  }

  begin(workers: number): void {
    this.#of = workers;
    this.#stopped = false;
    this.#workers = Array.from({ length: workers }, (_, i) => this.#untilDone(i + 1));
    for (const worker of this.#workers) worker.catch(() => undefined);
  }

  /** Resolves when every worker is done. @throws where one cannot do its work */
  async ended(): Promise<void> {
    await Promise.all(this.#workers);
  }

  /** `kill -9` of one worker, which is started again. @returns whether one was at work */
  killOne(at: number): boolean {
    const running = [...this.#children.values()];
    return running[at % Math.max(1, running.length)]?.kill('SIGKILL') === true;
  }

  /** `kill -9` of all, and another number of workers in their place. @returns whether they were at work */
  async changeWorkers(): Promise<boolean> {
    if (this.#children.size === 0) return false;
    this.#stopped = true;
    for (const child of this.#children.values()) child.kill('SIGKILL');
    await Promise.all(this.#workers);
    this.begin((this.#of % 3) + 1);
    return true;
  }

  /** Nobody is started again. */
  stop(): void {
    this.#stopped = true;
  }

  async #untilDone(index: number): Promise<void> {
    for (let failures = 0; !this.#stopped;) {
      const { code, signal, log } = await this.#once(index);
      if (code === 0) return;
      if (signal === 'SIGKILL') continue;
      if (++failures === ATTEMPTS) throw new Error(`worker ${index} of ${this.#of}: ${log}`);
      await forAWhile(300);
    }
  }

  #once(index: number): Promise<{ code: number | null; signal: string | null; log: string }> {
    const { url, grpcUrl, running } = this.#place;
    const { source, target, folder } = this.#scenario;
    const args = [CHILD, url, grpcUrl, source, target, join(folder, 'state.json')];
    const child = spawn(process.execPath, [...args, String(index), String(this.#of)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    this.#children.set(index, child);
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('copying')) this.#sawProgress();
    });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(child);
        this.#children.delete(index);
        resolve({ code, signal, log });
      });
    });
  }
}
