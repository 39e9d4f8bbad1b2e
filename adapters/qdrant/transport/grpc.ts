import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { TldrError } from '../../../src/core/errors.js';
import { isRedirect, RedirectError } from '../../../src/core/masked-address-and-redirect.js';
import type { Log } from '../../../src/core/run-options.js';
import { CallError } from './call-error.js';
import { connectionError, grpcError } from './errors.js';
import { withRetry, type RetryOptions } from './retry.js';
import { ReusedMessageMemory } from './reused-message-memory.js';

const WINDOW_BYTES = 8 * 1024 ** 2;
/** Larger than HTTP/2's default of 16 KiB, since each frame costs the same work regardless of its size. */
const FRAME_BYTES = 1024 ** 2;
const PREFIX_BYTES = 5;
const RESPONSE_BYTES_MAX = 1024 ** 3;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly answerBytesMax?: number;
  /** Retries of this call alone, which are not logged. */
  readonly retry?: RetryOptions | undefined;
}

/** Thrown for an answer above its allowed size. The caller should request less at a time. */
export class AnswerTooLarge extends TldrError {
  constructor(message: string) {
    super('INVALID_DATA', message);
  }
}

export interface GrpcOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly retry: RetryOptions;
  readonly log: Log | undefined;
  /** Called whenever the server refuses a call because it is overloaded. */
  readonly refused: () => void;
}

/**
 * Makes unary gRPC calls over one HTTP/2 connection. No grpc-accept-encoding is sent: with it, the server
 * would compress every page of vectors, which costs it about twenty times the work of sending them.
 */
export class Grpc {
  /** Memory for answers. Processed answers and answered messages may be given back to it. */
  readonly memory = new ReusedMessageMemory();
  readonly #options: GrpcOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: GrpcOptions) {
    this.#options = options;
  }

  /**
   * @param method for example `Points/Scroll`
   * @param message the caller must not change it before the call is answered, nor after it failed
   * @throws AnswerTooLarge for an answer above `answerBytesMax`, before it is received
   */
  call(method: string, message: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { retry, log, refused } = this.#options;
    const own = options.retry;
    return withRetry(() => this.#once(method, message, options), own ?? retry, {
      log: own === undefined ? log : undefined,
      refused,
      signal: options.signal,
    });
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  /** Ends the connection at once, also one that the other side never accepted or never answers. */
  destroy(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  #connection(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed)
      return this.#session;
    const session = connect(this.#options.url, {
      settings: { initialWindowSize: WINDOW_BYTES, maxFrameSize: FRAME_BYTES },
    });
    session.on('connect', () => session.setLocalWindowSize(WINDOW_BYTES));
    // Calls in progress get their own errors. Without this listener, the process would end.
    session.on('error', () => undefined);
    session.on('goaway', () => session.close());
    session.unref();
    this.#session = session;
    return session;
  }

  #once(method: string, message: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { url, apiKey, timeoutMs } = this.#options;
    const { signal, answerBytesMax = RESPONSE_BYTES_MAX } = options;
    const call = `gRPC ${method}`;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(new TldrError('ABORTED', 'stopped before it was finished', { cause: signal.reason }));
        return;
      }
      const session = this.#connection();
      session.ref();
      const stream = session.request({
        ':method': 'POST',
        ':path': `/qdrant.${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(apiKey === undefined ? {} : { 'api-key': apiKey }),
      });
      const finish = (then: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        session.unref();
        then();
      };
      const timer = setTimeout(() => {
        // The connection may be dead. The next attempt opens another one.
        if (this.#session === session) this.#session = undefined;
        session.destroy();
        finish(() =>
          reject(new CallError('TIMEOUT', `${call}: no answer within ${timeoutMs} ms`, { safe: true })),
        );
      }, timeoutMs);
      const onAbort = (): void => {
        stream.close(constants.NGHTTP2_CANCEL);
        finish(() =>
          reject(new TldrError('ABORTED', 'stopped before it was finished', { cause: signal?.reason })),
        );
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      readAnswer(stream, { call, url, answerBytesMax, memory: this.memory }).then(
        (body) => finish(() => resolve(body)),
        (error: unknown) => finish(() => reject(connectionError(error, { call, endpoint: url }))),
      );
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32BE(message.length, 1);
      if (message.length === 0) {
        // If zero bytes were written after it, the end of the stream would not be sent over TLS.
        stream.end(prefix);
        return;
      }
      stream.cork();
      stream.write(prefix);
      stream.end(message);
    });
  }
}

/** Collects the one message of an answer, in memory of its announced length. */
class Message {
  readonly #memory: ReusedMessageMemory;
  #prefix: Buffer = Buffer.alloc(0);
  #bytes: Uint8Array | undefined;
  #filled = 0;

  constructor(memory: ReusedMessageMemory) {
    this.#memory = memory;
  }

  /** Adds a piece. Returns why the answer is refused (longer than `mostBytes` or than announced), or null. */
  add(chunk: Buffer, mostBytes: number): string | null {
    let rest: Uint8Array = chunk;
    if (this.#bytes === undefined) {
      this.#prefix = this.#prefix.length === 0 ? chunk : Buffer.concat([this.#prefix, chunk]);
      if (this.#prefix.length < PREFIX_BYTES) return null;
      // The prefix: one byte for compression, four for the length.
      const sizeBytes = this.#prefix.readUInt32BE(1);
      if (sizeBytes > mostBytes) return `the answer exceeds ${mostBytes} bytes`;
      this.#bytes = this.#memory.take(sizeBytes).subarray(0, sizeBytes);
      rest = this.#prefix.subarray(PREFIX_BYTES);
    }
    if (this.#filled + rest.length > this.#bytes.length) return 'the answer is longer than it announced';
    this.#bytes.set(rest, this.#filled);
    this.#filled += rest.length;
    return null;
  }

  /** Returns the message once it is complete. */
  whole(): Uint8Array | undefined {
    return this.#filled === this.#bytes?.length ? this.#bytes : undefined;
  }
}

interface Reading {
  readonly call: string;
  readonly url: string;
  readonly answerBytesMax: number;
  readonly memory: ReusedMessageMemory;
}

function readAnswer(
  stream: ClientHttp2Stream,
  { call, url, answerBytesMax, memory }: Reading,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const answer = new Message(memory);
    let status: string | undefined;
    let message = '';
    let retryAfter: string | undefined;
    let httpStatus = 0;
    let location: string | undefined;
    const readStatus = (headers: Readonly<Record<string, unknown>>): void => {
      const text = (name: string): string | undefined => {
        const value = headers[name];
        return typeof value === 'string' ? value : undefined;
      };
      status = text('grpc-status') ?? status;
      message = text('grpc-message') ?? message;
      retryAfter = text('retry-after') ?? retryAfter;
    };
    stream.on('response', (headers) => {
      httpStatus = headers[':status'] ?? 0;
      ({ location } = headers);
      readStatus(headers);
    });
    stream.on('trailers', readStatus);
    stream.on('data', (chunk: Buffer) => {
      const refusal = answer.add(chunk, answerBytesMax);
      if (refusal === null) return;
      stream.close(constants.NGHTTP2_CANCEL);
      reject(new AnswerTooLarge(`${call}: ${refusal}`));
    });
    stream.on('error', reject);
    stream.on('close', () => {
      const whole = answer.whole();
      if (status === '0' && whole !== undefined) {
        resolve(whole);
      } else if (status === '0') {
        reject(new CallError('UNAVAILABLE', `${call}: the answer broke off`, { safe: true }));
      } else if (isRedirect(httpStatus)) {
        reject(
          new RedirectError({ from: url, status: httpStatus, location, setting: { hint: 'grpc-address' } }),
        );
      } else if (status === undefined) {
        const what = httpStatus === 0 ? 'the connection closed' : `HTTP ${httpStatus} without a gRPC status`;
        const safe = httpStatus === 0 || httpStatus === 200 || httpStatus >= 500;
        reject(new CallError('UNAVAILABLE', `${call}: ${what}`, { safe }));
      } else {
        reject(grpcError(Number(status), percentDecoded(message), { call, retryAfter }));
      }
    });
  });
}

/** Returns the decoded text of a grpc-message; the text as received if its encoding is invalid. */
function percentDecoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
