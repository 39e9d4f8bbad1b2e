import { TldrError } from '../../core/errors.js';

interface Waiting {
  readonly alone: boolean;
  readonly start: () => void;
}

/** Runs shared tasks at the same time, and exclusive tasks alone, in the order of their arrival. */
export class SharedAndExclusiveTasks {
  readonly #waitMs: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #alone = false;

  /** @param waitMs longest wait for a turn */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** Runs a task beside other shared tasks. @throws UNAVAILABLE when its turn does not come in time */
  async shared<T>(task: () => Promise<T>): Promise<T> {
    if (!(await this.#turn(false, this.#waitMs))) throw tooLate();
    return this.#run(task);
  }

  /** Runs a task while no other task runs. @throws UNAVAILABLE when its turn does not come in time */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    if (!(await this.#turn(true, this.#waitMs))) throw tooLate();
    return this.#run(task);
  }

  /** As `alone`, but waits at most `waitMs`. @returns null if the turn did not come */
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

  /** Waits for a turn. @returns false if it does not come in time */
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
  return new TldrError('UNAVAILABLE', 'earlier writes did not finish in time: this write was not made');
}
