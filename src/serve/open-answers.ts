import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** The open answers of each client's connection, in the order of their requests. */
export class OpenAnswers {
  readonly #open = new WeakMap<Duplex, Set<ServerResponse>>();

  /** Remembers an answer until it is closed. */
  add(response: ServerResponse): void {
    const { socket } = response.req;
    const open = this.#open.get(socket) ?? this.#watch(socket);
    open.add(response);
    response.once('close', () => open.delete(response));
  }

  /**
   * Ends a connection whose next bytes are no readable request. Requests that arrived completely get their
   * answers first: the database may have carried them out.
   * @param text the raw HTTP answer to the unreadable bytes
   */
  async endAfter(socket: Duplex, text: string): Promise<void> {
    const open = this.#open.get(socket) ?? new Set();
    await ended([...open].filter(({ req }) => req.complete));
    // The answer to the request with the unreadable body may have begun.
    const hasBegun = [...open].some(({ headersSent }) => headersSent);
    if (socket.writable && !hasBegun) socket.end(text);
    // If the last answer already ended the connection, it closes once that answer was sent.
    else if (hasBegun || !socket.writableEnded) socket.destroy();
  }

  /** Waits until all open answers of a connection are closed. */
  async allOf(socket: Duplex): Promise<void> {
    await ended([...(this.#open.get(socket) ?? [])]);
  }

  /**
   * Closes all open answers when their connection closes. If requests were pipelined, Node closes only the
   * answer that is being sent; the others would count as in progress forever.
   */
  #watch(socket: Duplex): Set<ServerResponse> {
    const open = new Set<ServerResponse>();
    this.#open.set(socket, open);
    socket.once('close', () =>
      // Runs after Node's own listener.
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
