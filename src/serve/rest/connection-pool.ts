import { Client, type Dispatcher } from 'undici';
import { isRedirect, RedirectError } from '../../core/masked-address-and-redirect.js';

/** How users name the database's REST address. */
const SETTING = 'the setting url';

/** Sends requests to one origin over connections that carry one request at a time. */
export class ConnectionPool {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #connectionsMax: number;
  readonly #all = new Set<Client>();
  /** Free connections. The one used last is taken first, so that idle ones can close. */
  readonly #free: Client[] = [];
  readonly #waiting: ((connection: Client) => void)[] = [];

  constructor(origin: string, connectionsMax: number, options: Client.Options) {
    this.#origin = origin;
    this.#connectionsMax = connectionsMax;
    this.#options = { ...options, pipelining: 1 };
  }

  /**
   * Sends a request at once if a connection is free or can be opened. Otherwise the request waits in a queue.
   */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const send = (connection: Client): void => {
      const hasBody = options.body !== null && options.body !== undefined;
      const done = (reusable: boolean): void => this.#release(connection, reusable);
      connection.dispatch(options, new Leased(handler, { origin: this.#origin, hasBody, done }));
    };
    const connection = this.#free.pop() ?? this.#another();
    if (connection === null) this.#waiting.push(send);
    else send(connection);
  }

  /** Ends every connection and the requests on it. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((connection) => connection.destroy()));
  }

  #another(): Client | null {
    if (this.#all.size >= this.#connectionsMax) return null;
    const connection = new Client(this.#origin, this.#options);
    // Each request gets its own error.
    connection.on('connectionError', () => undefined);
    this.#all.add(connection);
    return connection;
  }

  #release(connection: Client, reusable: boolean): void {
    if (!reusable) {
      this.#all.delete(connection);
      void connection.destroy();
    }
    const usable = reusable ? connection : this.#waiting.length > 0 ? this.#another() : null;
    if (usable === null) return;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(usable);
    else next(usable);
  }
}

interface Lease {
  /** The origin that the request is sent to. */
  readonly origin: string;
  readonly hasBody: boolean;
  readonly done: (reusable: boolean) => void;
}

/**
 * Handles one request on its connection and gives the connection back when the request has ended. A server
 * that refuses a request may close the connection without notice if it has not read the body. Such a
 * connection is not used again, since the next request would be lost on it.
 *
 * If the answer is a redirect, the request fails with an error: clients would follow the redirect with their
 * API key.
 */
class Leased implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #lease: Lease;
  #refused = false;
  #ended = false;

  constructor(handler: Dispatcher.DispatchHandler, lease: Lease) {
    this.#handler = handler;
    this.#lease = lease;
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context);
  }

  onResponseStart(...answer: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>): void {
    const [controller, status, { location }] = answer;
    if (isRedirect(status)) {
      const to = Array.isArray(location) ? location[0] : location;
      controller.abort(
        new RedirectError({ from: this.#lease.origin, status, location: to, setting: SETTING }),
      );
      return;
    }
    this.#refused = status >= 400;
    this.#handler.onResponseStart?.(...answer);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(...end: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>): void {
    this.#end(!(this.#refused && this.#lease.hasBody));
    this.#handler.onResponseEnd?.(...end);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#end(true);
    this.#handler.onResponseError?.(controller, error);
  }

  /** Has an effect only the first time, since errors may follow the end. */
  #end(reusable: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lease.done(reusable);
  }
}
