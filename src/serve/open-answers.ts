import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** The answers that each client's connection still waits for, in the order of their requests. */
export class OpenAnswers {
  readonly #open = new WeakMap<Duplex, Set<ServerResponse>>();

  /** Remembers an answer until it is over. */
  add(response: ServerResponse): void {
    const { socket } = response.req;
    const open = this.#open.get(socket) ?? this.#watch(socket);
    open.add(response);
    response.once('close', () => open.delete(response));
  }

  /**
   * Ends a connection whose next bytes cannot be read. Requests that came as a whole get their own answers first: they
   * may have been made already. `text`, an answer as it is sent, is for the bytes that cannot be read.
   */
  async endAfter(socket: Duplex, text: string): Promise<void> {
    const open = this.#open.get(socket) ?? new Set();
    await ended([...open].filter(({ req }) => req.complete));
    // The request whose body cannot be read may have an answer that has begun.
    const hasBegun = [...open].some(({ headersSent }) => headersSent);
    if (socket.writable && !hasBegun) socket.end(text);
    // A connection that its last answer ended closes once that answer was sent.
    else if (hasBegun || !socket.writableEnded) socket.destroy();
  }

  /** Waits for the answers to every request that a connection has brought so far. */
  async allOf(socket: Duplex): Promise<void> {
    await ended([...(this.#open.get(socket) ?? [])]);
  }

  /**
   * Ends all answers of a connection with it. If requests were pipelined, Node does this only for the answer whose turn
   * it is; the others would count as under way for ever.
   */
  #watch(socket: Duplex): Set<ServerResponse> {
    const open = new Set<ServerResponse>();
    this.#open.set(socket, open);
    socket.once('close', () =>
      // Node's own listener comes first.
      setImmediate(() => {
        for (const response of open) {
          response.destroy();
          response.emit('close');
        }
      }),
    );
    return open;
  }
}

async function ended(answers: readonly ServerResponse[]): Promise<void> {
  await Promise.all(answers.map((response) => new Promise((done) => response.once('close', done))));
}
