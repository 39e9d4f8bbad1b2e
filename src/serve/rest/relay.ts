import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import { expectDefined } from '../../core/errors.js';
import type { HeldBytes } from '../byte-budget.js';
import { BodyPieces } from '../body-pieces.js';
import { BODY_HEADERS, forwardedHeaders, headerOf } from './headers.js';
import { receivedHeaders, receivedTrailers } from './upstream.js';
import { answerCoding, decompressed } from '../whole-body.js';

/** Options for passing an answer to the client. */
export interface RelayOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Answers with this status or a higher one are read whole and rewritten; Infinity for none. */
  readonly rewriteFrom: number;
  readonly rewriteAnswer: (status: number, body: Buffer) => Promise<Uint8Array>;
  readonly answerBytesMax: number;
  /** Counts an answer that is read whole, and the copy. */
  readonly held: HeldBytes;
  /** Largest answer of which a copy is kept for `onEnd`; 0 for none. */
  readonly copyBytesMax: number;
  readonly clientTimeoutMs: number;
  /** Returns whether the connection closes after this answer. */
  readonly endsConnection: () => boolean;
  /**
   * Awaited before the client gets any part of the answer. If it rejects, the client gets that error instead.
   */
  readonly beforeAnswer: (() => Promise<void>) | undefined;
  /** Called when the answer's head arrives. Headers are names and values in turn. */
  readonly onHead: (status: number, headers: readonly string[]) => void;
  /** Called when the answer was sent. `copy` is null if none was requested or the answer was too large. */
  readonly onEnd: (status: number, copy: Uint8Array | null) => void;
  readonly onFailed: (error: unknown) => void;
}

/** Passes the database's answer to the client: streamed, or rewritten as a whole. */
export class RestRelay implements Dispatcher.DispatchHandler {
  readonly #options: RelayOptions;
  #controller: Dispatcher.DispatchController | undefined;
  #gone = false;
  #head: AnswerHead = { status: 0, headers: [], last: false };
  #whole: BodyPieces | null = null;
  #copy: BodyPieces | null;
  #sizeBytes = 0;
  #bytesOut = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#copy = options.copyBytesMax > 0 ? new BodyPieces() : null;
  }

  /** Bytes of the answer's body sent to the client so far. */
  get bytesOut(): number {
    return this.#bytesOut;
  }

  /** Aborts the request since the client is gone. */
  abort(): void {
    this.#gone = true;
    this.#controller?.abort(new Error('the client is gone'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#gone) this.abort();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText?: string,
  ): void {
    if (status < 200) return;
    const headers = receivedHeaders(controller);
    this.#options.onHead(status, headers);
    this.#head = { status, statusText, headers, last: this.#options.endsConnection() };
    if (this.#options.beforeAnswer === undefined) this.#begin();
    else this.#beginAfter(controller, this.#options.beforeAnswer);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    const { response } = this.#options;
    if (this.#whole !== null) {
      this.#take(this.#whole, controller, chunk);
      return;
    }
    if (this.#copy !== null) this.#keep(this.#copy, chunk);
    this.#bytesOut += chunk.length;
    if (response.write(chunk)) return;
    // A client that takes nothing for too long is cut off. It would hold the database's connection forever.
    controller.pause();
    const { socket } = this.#options.request;
    socket.setTimeout(this.#options.clientTimeoutMs);
    response.once('drain', () => {
      socket.setTimeout(0);
      controller.resume();
    });
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const { response, onEnd, onFailed } = this.#options;
    if (this.#whole !== null) {
      const body = this.#whole.join();
      this.#whole.clear();
      this.#rewritten(body).catch(onFailed);
      return;
    }
    const trailers = receivedTrailers(controller);
    if (trailers.length > 0 && !response.hasHeader('content-length')) response.addTrailers(pairs(trailers));
    response.end();
    onEnd(this.#head.status, this.#copy === null ? null : this.#copy.join());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#options.onFailed(error);
  }

  #begin(): void {
    if (this.#head.status >= this.#options.rewriteFrom) this.#whole = new BodyPieces();
    else beginAnswer(this.#options, this.#head);
  }

  #beginAfter(controller: Dispatcher.DispatchController, before: () => Promise<void>): void {
    controller.pause();
    before()
      .then(() => {
        // The connection may have broken in the meantime.
        if (this.#gone || this.#options.response.headersSent) return;
        this.#begin();
        controller.resume();
      })
      .catch((error: unknown) => controller.abort(error instanceof Error ? error : new Error(String(error))));
  }

  #take(whole: BodyPieces, controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { answerBytesMax, held } = this.#options;
    try {
      if (this.#sizeBytes > answerBytesMax) throw new Error('the answer is larger than can be rewritten');
      held.answerMeter(chunk.length, this.#sizeBytes);
      whole.add(chunk);
    } catch (error) {
      whole.clear();
      controller.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Adds to the copy, or drops the copy if it grows too large. */
  #keep(copy: BodyPieces, chunk: Buffer): void {
    const { copyBytesMax, held } = this.#options;
    if (this.#sizeBytes <= copyBytesMax && held.tryTake(chunk.length)) copy.add(chunk);
    else {
      held.give(copy.sizeBytes);
      this.#copy = null;
    }
  }

  async #rewritten(body: Buffer): Promise<void> {
    const { answerBytesMax, held, rewriteAnswer, onEnd } = this.#options;
    const { status, headers } = this.#head;
    const coding = answerCoding(headerOf(headers, 'content-encoding'));
    const plain = await decompressed(body, coding, { limitBytes: answerBytesMax, meter: held.answerMeter });
    const plainBytes = plain === body ? 0 : plain.length;
    const rewritten = await rewriteAnswer(status, plain);
    held.add(rewritten.length);
    held.give(this.#sizeBytes + plainBytes);
    this.#bytesOut = wholeAnswer(this.#options, this.#head, rewritten);
    onEnd(status, this.#copy === null ? null : rewritten);
  }
}

/** An answer's first line and headers, name and value in turn. */
export interface AnswerHead {
  readonly status: number;
  readonly statusText?: string | undefined;
  readonly headers: readonly string[];
  /** Whether the connection ends with this answer. */
  readonly last: boolean;
}

interface Exchanging {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Sends an answer's head and adds no header to it. */
export function beginAnswer(
  { request, response }: Exchanging,
  { status, statusText, headers, last }: AnswerHead,
): void {
  const sent = last ? [...headers, 'connection', 'close'] : [...headers];
  // Keep-alive is the default of HTTP/1.1 and needs no header.
  if (!last && response.shouldKeepAlive && request.httpVersion === '1.1') response.removeHeader('connection');
  if (statusText === undefined) response.writeHead(status, sent);
  else response.writeHead(status, statusText, sent);
}

/** Sends an answer whose body was replaced. Returns the number of bytes of the body that were sent. */
export function wholeAnswer(exchange: Exchanging, head: AnswerHead, body: Uint8Array): number {
  const headers = forwardedHeaders(head.headers, BODY_HEADERS);
  headers.push('content-length', String(body.length));
  beginAnswer(exchange, { ...head, headers });
  const isHead = exchange.request.method === 'HEAD';
  exchange.response.end(isHead ? undefined : body);
  return isHead ? 0 : body.length;
}

function pairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, i) =>
    i % 2 === 0 ? [[name, expectDefined(flat[i + 1], 'the value of a header')]] : [],
  );
}
