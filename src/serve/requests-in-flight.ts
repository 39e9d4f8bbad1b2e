import type { EventEmitter } from 'node:events';

/**
 * Limits how many requests are in progress at once. A request is in progress until its answer is closed and
 * its work is done: a mirrored write continues if its client hangs up.
 */
export class RequestsInFlight {
  readonly #most: number;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Starts the work of a request if there is room for it. Otherwise, the request counts until its answer is
   * closed.
   * @param answer emits `close` once the client has the answer or is gone
   * @returns whether there was room
   */
  begin(answer: EventEmitter, work: () => Promise<void>): boolean {
    this.#count++;
    const hasRoom = this.#count <= this.#most;
    const closed = new Promise<void>((resolve) => answer.once('close', resolve));
    const done = hasRoom ? work() : Promise.resolve();
    void Promise.all([closed, done]).finally(() => this.#count--);
    return hasRoom;
  }
}
