import type { Dispatcher } from 'undici';
import type { RestRequest } from '../protocol.js';
import type { Meter } from '../byte-budget.js';
import { ConnectionPool } from './connection-pool.js';
import { ignoreWriteErrorsConnector } from './ignore-write-errors-connector.js';
import type { ProxyLimits, Upstream } from '../proxy-options.js';
import { BodyPieces } from '../body-pieces.js';
import { forwardedHeaders } from './headers.js';
import { BodyTooLarge } from '../whole-body.js';

/** Largest header of a request or an answer, as servers allow it. */
export const HEADER_BYTES_MAX = 128 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
/**
 * Shorter than servers keep idle connections open, so that the proxy uses none while the server closes it.
 */
const IDLE_CONNECTION_MS = 4_000;
const READY_ANSWER_BYTES_MAX = 64 * 1024;

export interface WholeAnswer {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export interface ExchangeOptions {
  readonly headers: readonly string[];
  readonly limitBytes: number;
  readonly meter?: Meter | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Keep-alive connections to the database's REST port. */
export class RestUpstream {
  readonly #pool: ConnectionPool;
  readonly #prefix: string;
  readonly #readyPath: string;

  constructor({ restUrl, readyPath }: Upstream, limits: ProxyLimits) {
    const { origin, pathname } = new URL(restUrl);
    this.#prefix = pathname.replace(/\/+$/, '');
    this.#readyPath = readyPath;
    this.#pool = new ConnectionPool(origin, limits.upstreamConnections, {
      connect: ignoreWriteErrorsConnector(Math.min(CONNECT_TIMEOUT_MS, limits.upstreamTimeoutMs)),
      headersTimeout: limits.upstreamTimeoutMs,
      bodyTimeout: limits.upstreamTimeoutMs,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      keepAliveMaxTimeout: IDLE_CONNECTION_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    });
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const { path } = options;
    // An absolute address has no place for the prefix.
    const prefixed = this.#prefix === '' || !path.startsWith('/') ? path : this.#prefix + path;
    this.#pool.dispatch({ ...options, path: prefixed }, handler);
  }

  /**
   * Sends a request and returns the whole answer.
   * @throws BodyTooLarge, the errors of the meter, or undici's error when the database does not answer
   */
  exchange({ method, url, body }: RestRequest, options: ExchangeOptions): Promise<WholeAnswer> {
    return new Promise((resolve, reject) => {
      this.dispatch(
        { path: url, method, headers: [...options.headers], body: bodyOf(body) },
        new WholeAnswerHandler(options, resolve, reject),
      );
    });
  }

  /** Returns whether the database accepts a connection and answers. */
  async ready(timeoutMs: number): Promise<boolean> {
    try {
      const { status } = await this.exchange(
        { method: 'GET', url: this.#readyPath, body: new Uint8Array(0) },
        { headers: [], limitBytes: READY_ANSWER_BYTES_MAX, signal: AbortSignal.timeout(timeoutMs) },
      );
      return status < 500;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

/** Returns a body in the form that the connection takes; null if it is empty. */
export function bodyOf(body: Uint8Array): Buffer | null {
  return body.length === 0 ? null : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

/** Returns an answer's headers for the client, names and values in turn, without connection headers. */
export function receivedHeaders(controller: Dispatcher.DispatchController): string[] {
  return forwardedHeaders(textsOf(controller.rawHeaders));
}

/** Returns the received trailers, names and values in turn. */
export function receivedTrailers(controller: Dispatcher.DispatchController): string[] {
  return textsOf(controller.rawTrailers);
}

function textsOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}

class WholeAnswerHandler implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  readonly #resolve: (answer: WholeAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #pieces = new BodyPieces();
  #sizeBytes = 0;
  #status = 0;
  #headers: string[] = [];
  #giveUp: (() => void) | undefined;

  constructor(
    options: ExchangeOptions,
    resolve: (answer: WholeAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    this.#giveUp = () => controller.abort(new Error('given up'));
    if (signal.aborted) this.#giveUp();
    else signal.addEventListener('abort', this.#giveUp, { once: true });
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = receivedHeaders(controller);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    const { limitBytes, meter } = this.#options;
    try {
      if (this.#sizeBytes > limitBytes) throw new BodyTooLarge(limitBytes);
      meter?.(chunk.length, this.#sizeBytes);
      this.#pieces.add(chunk);
    } catch (error) {
      this.#pieces.clear();
      controller.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  onResponseEnd(): void {
    this.#done();
    const body = this.#pieces.join();
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done();
    this.#reject(error);
  }

  #done(): void {
    if (this.#giveUp !== undefined) this.#options.signal?.removeEventListener('abort', this.#giveUp);
  }
}
