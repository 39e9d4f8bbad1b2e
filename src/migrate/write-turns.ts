import { TldrError } from '../core/errors.js';

interface Waiting {
  readonly alone: boolean;
  readonly start: () => void;
}

/** Lets many tasks run at once, or one alone, in the order in which they came. */
export class WriteTurns {
  readonly #waitMs: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #alone = false;

  /** @param waitMs longest wait for a turn */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** With other shared tasks at the same time. @throws UNAVAILABLE where its turn does not come in time */
  shared<T>(task: () => Promise<T>): Promise<T> {
    return this.#run(false, task);
  }

  /** With no other task at the same time. @throws UNAVAILABLE where its turn does not come in time */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#run(true, task);
  }

  async #run<T>(alone: boolean, task: () => Promise<T>): Promise<T> {
    await this.#turn(alone);
    try {
      return await task();
    } finally {
      this.#running--;
      this.#alone = false;
      this.#next();
    }
  }

  #turn(alone: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new TldrError('UNAVAILABLE', 'writes before this one are not over: it was not made'));
        this.#next();
      }, this.#waitMs);
      const start = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const waiting: Waiting = { alone, start };
      this.#waiting.push(waiting);
      this.#next();
    });
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#alone || (first.alone && this.#running > 0)) return;
      this.#waiting.shift();
      this.#running++;
      this.#alone = first.alone;
      first.start();
    }
  }
}
