/** Lets many tasks run at once, or one alone, in the order in which they came: nobody waits for ever. */
export class WriteTurns {
  #running = 0;
  #alone = false;
  readonly #waiting: { readonly alone: boolean; readonly start: () => void }[] = [];

  /** With other shared tasks at the same time. */
  shared<T>(task: () => Promise<T>): Promise<T> {
    return this.#run(false, task);
  }

  /** With no other task at the same time. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#run(true, task);
  }

  async #run<T>(alone: boolean, task: () => Promise<T>): Promise<T> {
    await new Promise<void>((start) => {
      this.#waiting.push({ alone, start });
      this.#next();
    });
    try {
      return await task();
    } finally {
      this.#running--;
      this.#alone = false;
      this.#next();
    }
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
