import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { TldrError } from '../../../src/core/errors.js';
import { isRedirect, RedirectError } from '../../../src/core/redirect.js';
import type { Log } from '../../../src/core/run.js';
import { CallError } from './call-error.js';
import { connectionError, grpcError } from './errors.js';
import { withRetry, type RetryOptions } from './retry.js';
import { SpareMemory } from './spare-memory.js';

const WINDOW_BYTES = 8 * 1024 ** 2;
/** Larger than the 16 KiB of HTTP/2's default: every frame costs the same work, whatever it holds. */
const FRAME_BYTES = 1024 ** 2;
const PREFIX_BYTES = 5;
const RESPONSE_BYTES_MAX = 1024 ** 3;
const GRPC_SETTING = '--grpc-url or QDRANT_TLDR_GRPC_URL';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly answerBytesMax?: number;
}

/** An answer above the size allowed for it: ask for less at a time. */
export class AnswerTooLarge extends TldrError {
  constructor(message: string) {
    super('INVALID_DATA', message);
  }
}

export interface GrpcOptions {
  /** `http://host:port` or `https://host:port` */
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly retry: RetryOptions;
  readonly log: Log | undefined;
  /** Called whenever the server turns a call away as one too many. */
  readonly refused: () => void;
}

/**
 * Unary gRPC calls over one HTTP/2 connection. No grpc-accept-encoding is sent: with it the server compresses
 * every page of vectors, which costs it about twenty times the work of sending them.
 */
export class Grpc {
  /** What answers are received in. One that is taken apart, or a message that was answered, may be given to it. */
  readonly memory = new SpareMemory();
  readonly #options: GrpcOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: GrpcOptions) {
    this.#options = options;
  }

  /**
   * @param method for example `Points/Scroll`
   * @param message not to be changed before the call has been answered, nor after it failed
   * @throws AnswerTooLarge, before it is received, for an answer above `answerBytesMax`
   */
  call(method: string, message: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { retry, log, refused } = this.#options;
    return withRetry(() => this.#once(method, message, options), retry, {
      log,
      refused,
      signal: options.signal,
    });
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  #connection(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed)
      return this.#session;
    const session = connect(this.#options.url, {
      settings: { initialWindowSize: WINDOW_BYTES, maxFrameSize: FRAME_BYTES },
    });
    session.on('connect', () => session.setLocalWindowSize(WINDOW_BYTES));
    // Calls in flight get their own errors; without a listener the process would end.
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
        // A connection that went dead would swallow every attempt to come: the next one opens another.
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
        // Written after it, no bytes would leave the end of the stream unsent over TLS.
        stream.end(prefix);
        return;
      }
      stream.cork();
      stream.write(prefix);
      stream.end(message);
    });
  }
}

/** The one message of an answer, put together in memory of the length announced in front of it. */
class Message {
  readonly #memory: SpareMemory;
  #prefix: Buffer = Buffer.alloc(0);
  #bytes: Uint8Array | undefined;
  #filled = 0;

  constructor(memory: SpareMemory) {
    this.#memory = memory;
  }

  /** Why the answer is refused, as soon as more is announced than `mostBytes` or comes than was announced; or null. */
  add(chunk: Buffer, mostBytes: number): string | null {
    let rest: Uint8Array = chunk;
    if (this.#bytes === undefined) {
      this.#prefix = this.#prefix.length === 0 ? chunk : Buffer.concat([this.#prefix, chunk]);
      if (this.#prefix.length < PREFIX_BYTES) return null;
      // A byte for compression, four for the length.
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

  /** The message, once all of it is there. */
  whole(): Uint8Array | undefined {
    return this.#filled === this.#bytes?.length ? this.#bytes : undefined;
  }
}

interface Reading {
  readonly call: string;
  readonly url: string;
  readonly answerBytesMax: number;
  readonly memory: SpareMemory;
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
        reject(new CallError('UNAVAILABLE', `${call}: the answer ends before its end`, { safe: true }));
      } else if (isRedirect(httpStatus)) {
        reject(new RedirectError({ from: url, status: httpStatus, location, setting: GRPC_SETTING }));
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

/** The text of a grpc-message; as it came where it is not encoded as it should be. */
function percentDecoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
