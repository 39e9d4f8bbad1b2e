import { Rng } from '../../src/core/rng.js';
import { forAWhile, type Scenario } from '../support/migrate/migrating-scenario.js';
import type { Copying } from './copy-workers.js';
import type { FrailServer } from './frail-server.js';

/** Every kind of fault, in words. */
export const FAULTS = {
  kill: 'kills of the proxy',
  pause: 'pauses of it',
  full: 'full disks under its journal',
  cut: 'cuts of the line',
  busy: 'times of 429 or 503',
  crash: 'crashes of the server',
  copier: 'kills of a copier',
  workers: 'changes of their number',
} as const;

type Fault = keyof typeof FAULTS;
/** How often each was made. */
export type FaultCounts = Record<Fault, number>;

const ANY_TIME: readonly Fault[] = ['kill', 'pause', 'full', 'cut', 'busy', 'crash'];
const WHILE_COPYING: readonly Fault[] = [...ANY_TIME, 'copier', 'copier', 'copier', 'workers', 'workers'];

/** None made yet. */
export function noFaults(): FaultCounts {
  return { kill: 0, pause: 0, full: 0, cut: 0, busy: 0, crash: 0, copier: 0, workers: 0 };
}

/** Faults at random moments; a seed gives the same ones in the same order again. */
export class Trouble {
  readonly made = noFaults();
  readonly #rng: Rng;
  readonly #scenario: Scenario;
  readonly #server: FrailServer;

  constructor(seed: number, scenario: Scenario, server: FrailServer) {
    this.#rng = new Rng(seed);
    this.#scenario = scenario;
    this.#server = server;
  }

  /** Up to `most` faults, with time between them. */
  async some(most: number, copying?: Copying): Promise<void> {
    const kinds = copying === undefined ? ANY_TIME : WHILE_COPYING;
    for (let left = this.#rng.int(most + 1); left > 0; left--) {
      await forAWhile(30 + this.#rng.int(300));
      const fault = kinds[this.#rng.int(kinds.length)] ?? 'kill';
      const [ms, size, other] = [20 + this.#rng.int(400), this.#rng.int(300), this.#rng.uniform() < 0.3];
      if (await this.#one(fault, { ms, size, other, copying })) this.made[fault]++;
    }
    await forAWhile(30 + this.#rng.int(200));
  }

  /** @returns whether there was anything that it could hit */
  async #one(
    fault: Fault,
    how: {
      readonly ms: number;
      readonly size: number;
      readonly other: boolean;
      readonly copying: Copying | undefined;
    },
  ): Promise<boolean> {
    const { ms, size, other, copying } = how;
    const { trouble } = this.#server;
    switch (fault) {
      case 'kill':
        await this.#scenario.killAndServe();
        return true;
      case 'pause':
        await this.#scenario.pause(ms);
        return true;
      case 'full':
        await this.#scenario.fillDisk(size, ms);
        return true;
      case 'cut':
        trouble.cut = true;
        await forAWhile(ms);
        trouble.cut = false;
        return true;
      case 'busy':
        trouble.busy = other ? 503 : 429;
        await forAWhile(ms);
        trouble.busy = null;
        return true;
      case 'crash':
        await this.#crash(other);
        return true;
      case 'copier':
        return copying?.killOne(size) === true;
      case 'workers':
        return (await copying?.changeWorkers()) === true;
    }
  }

  /** Of the server, and now and then of the proxy at the same moment. */
  async #crash(ofBoth: boolean): Promise<void> {
    await Promise.all([this.#server.crash(), ofBoth ? this.#scenario.kill() : undefined]);
    await this.#server.restart();
    if (!ofBoth) return;
    this.made.kill++;
    await this.#scenario.serve();
  }
}
