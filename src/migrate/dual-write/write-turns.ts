import { TldrError } from '../../core/errors.js';

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
  async shared<T>(task: () => Promise<T>): Promise<T> {
    if (!(await this.#turn(false, this.#waitMs))) throw tooLate();
    return this.#run(task);
  }

  /** With no other task at the same time. @throws UNAVAILABLE where its turn does not come in time */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    if (!(await this.#turn(true, this.#waitMs))) throw tooLate();
    return this.#run(task);
  }

  /** As `alone`, but gives up after another time. @returns null if the turn did not come */
  async aloneWithin<T>(waitMs: number, task: () => Promise<T>): Promise<T | null> {
    return (await this.#turn(true, waitMs)) ? this.#run(task) : null;
  }

  async #run<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } finally {
      this.#running--;
      this.#alone = false;
      this.#next();
    }
  }

  /** @returns false where the turn does not come in time */
  #turn(alone: boolean, waitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        resolve(false);
        this.#next();
      }, waitMs);
      const start = (): void => {
        clearTimeout(timer);
        resolve(true);
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

function tooLate(): TldrError {
  return new TldrError('UNAVAILABLE', 'writes before this one are not over: it was not made');
}
