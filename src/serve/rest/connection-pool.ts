import { Client, type Dispatcher } from 'undici';
import { isRedirect, RedirectError } from '../../core/redirect.js';

/** How users name the database's REST address. */
const SETTING = 'the setting url';

/** Requests to one origin over connections that carry one request at a time. */
export class ConnectionPool {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #connectionsMax: number;
  readonly #all = new Set<Client>();
  /** The one used last is taken first: the others may close for want of use. */
  readonly #free: Client[] = [];
  readonly #waiting: ((connection: Client) => void)[] = [];

  constructor(origin: string, connectionsMax: number, options: Client.Options) {
    this.#origin = origin;
    this.#connectionsMax = connectionsMax;
    this.#options = { ...options, pipelining: 1 };
  }

  /** At once where a connection is free or can be made, else in turn. */
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

  /** Ends every connection, and with them what they carry. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((connection) => connection.destroy()));
  }

  #another(): Client | null {
    if (this.#all.size >= this.#connectionsMax) return null;
    const connection = new Client(this.#origin, this.#options);
    // Every request is told of its own error.
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
  /** Where the request goes. */
  readonly origin: string;
  readonly hasBody: boolean;
  readonly done: (reusable: boolean) => void;
}

/**
 * Ends a request that is answered by a redirect with an error. Clients would follow it with their API key.
 *
 * Gives the connection back when its request has ended. A server that refuses a request may not have read its body,
 * and then closes the connection without saying so: the next request would be lost on it.
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

  /** Once: what fails at its end fails after it. */
  #end(reusable: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lease.done(reusable);
  }
}
