import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { messageOf } from '../core/errors.js';
import type { Log } from '../core/run.js';
import type {
  AnswerForm,
  LookupAnswer,
  ProxyFailure,
  RestAnswer,
  RestHead,
  RestRequest,
} from '../core/wire.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits, ProxyOptions } from './proxy-options.js';
import { answerHeaders, forwardedHeaders, type RestUpstream, type WholeAnswer } from './rest-upstream.js';
import type { Rewriting } from './rewriting.js';
import type { Shadow } from './shadow.js';
import { BodyTooLarge, BodyUnreadable, decompressed, readWhole } from './whole-body.js';

/** Points that a request refers to may have to be fetched first; more rounds than this are a fault. */
const LOOKUP_ROUNDS_MAX = 3;
/** Headers that no longer fit a body that was rewritten. */
const BODY_HEADERS = new Set(['content-length', 'content-encoding']);
/** Headers that a request made by the proxy itself takes over from the client's. */
const OWN_REQUEST = new Set([
  'content-length',
  'content-encoding',
  'content-type',
  'accept-encoding',
  'accept',
]);
const NONE: ReadonlySet<string> = new Set();

/** What the REST listener works with; `rewriting` is asked for anew by every request. */
export interface RestFrontParts {
  readonly upstream: RestUpstream;
  readonly limits: ProxyLimits;
  readonly failure: ProxyOptions['failure'];
  readonly metrics: Metrics;
  readonly rewriting: () => Rewriting;
  readonly shadow: () => Shadow | null;
  /** A served collection was deleted by a client. */
  readonly onDeleted: (collection: string) => void;
  readonly log: Log | undefined;
}

/** The listener for REST requests. */
export function createRestFront(parts: RestFrontParts, tls: ProxyOptions['tls']): Server {
  const { limits } = parts;
  const options = {
    requestTimeout: limits.requestTimeoutMs,
    headersTimeout: Math.min(60_000, limits.requestTimeoutMs),
    keepAliveTimeout: 75_000,
    maxHeaderSize: 64 * 1024,
  };
  let inFlight = 0;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new Exchange(parts, request, response);
    inFlight++;
    response.once('close', () => inFlight--);
    if (inFlight > limits.requestsMax)
      exchange.fail('overloaded', 'the proxy has too many requests under way');
    else void exchange.run();
  };
  return tls === undefined
    ? createServer(options, listener)
    : createTlsServer({ ...options, ...tls }, listener);
}

/** One request and its answer. */
class Exchange {
  readonly #parts: RestFrontParts;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #head: RestHead;
  readonly #startedAtMs = performance.now();
  readonly #gone = new AbortController();
  #kind = 'answer';

  constructor(parts: RestFrontParts, request: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#request = request;
    this.#response = response;
    this.#head = {
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: request.headers as Readonly<Record<string, string | undefined>>,
    };
    response.sendDate = false;
    parts.metrics.requestStarted('rest');
    response.once('close', () => this.#ended());
    // A client that hangs up in the middle is no failure of ours.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
  }

  async run(): Promise<void> {
    const rewriting = this.#parts.rewriting();
    try {
      const route = rewriting.routeRest(this.#head);
      this.#kind = route.kind;
      if (route.kind === 'answer') this.#answer(route);
      else if (route.kind === 'pass') this.#stream(this.#head.url, { rewriting, form: null });
      else if (route.kind === 'forward') this.#stream(route.url, { rewriting, form: route.answer });
      else await this.#rewrite(rewriting);
    } catch (error) {
      this.#failed(error);
    }
  }

  fail(failure: ProxyFailure, message: string): void {
    this.#answer(this.#parts.failure(failure, message));
  }

  async #rewrite(rewriting: Rewriting): Promise<void> {
    const { limits, metrics } = this.#parts;
    const startedAtMs = performance.now();
    const raw = await readWhole(this.#request, limits.restBodyBytesMax);
    const encoding = this.#head.headers['content-encoding'];
    const body = await decompressed(raw, encoding, limits.restBodyBytesMax);
    let lookups: LookupAnswer[] | undefined;
    for (let round = 0; round < LOOKUP_ROUNDS_MAX; round++) {
      const made = await rewriting.rewriteRest(this.#head, body, lookups);
      if (made.kind === 'answer') {
        this.#kind = 'answer';
        this.#answer(made);
        return;
      }
      if (made.kind === 'send') {
        metrics.stage('rest', 'rewrite', (performance.now() - startedAtMs) / 1000);
        metrics.projected('rest', made.projected);
        const shadow = made.search
          ? (this.#parts.shadow()?.pick(made.answer?.collection ?? '') ?? null)
          : null;
        if (shadow === null) this.#send(made.request, { rewriting, form: made.answer });
        else {
          const served = await this.#exchange(made.request, { rewriting, form: made.answer });
          const seconds = (performance.now() - this.#startedAtMs) / 1000;
          if (served !== null)
            shadow.repeat(
              { head: this.#head, body, headers: forwardedHeaders(this.#request.rawHeaders, OWN_REQUEST) },
              { served, seconds, resultIds: (bytes) => rewriting.resultIds(bytes) },
            );
        }
        return;
      }
      lookups = await Promise.all(made.requests.map((request) => this.#lookup(request)));
    }
    throw new Error('points were looked up again and again');
  }

  async #lookup(request: RestRequest): Promise<LookupAnswer> {
    const headers = forwardedHeaders(this.#request.rawHeaders, OWN_REQUEST);
    headers.push('content-type', 'application/json', 'accept-encoding', 'identity');
    return this.#parts.upstream.exchange(request, {
      headers,
      limitBytes: this.#parts.limits.answerBytesMax,
      signal: this.#gone.signal,
    });
  }

  /** Sends a rewritten request; its answer is streamed where it can be. */
  #send(request: RestRequest, options: { rewriting: Rewriting; form: AnswerForm | null }): void {
    const headers = forwardedHeaders(this.#request.rawHeaders, BODY_HEADERS);
    this.#dispatch(
      { path: request.url, method: request.method, headers, body: bufferOf(request.body) },
      options,
    );
  }

  /** Sends the client's body on as it comes. */
  #stream(path: string, options: { rewriting: Rewriting; form: AnswerForm | null }): void {
    const request = this.#request;
    const hasBody = request.headers['content-length'] !== undefined || 'transfer-encoding' in request.headers;
    const headers = forwardedHeaders(request.rawHeaders, NONE);
    const body = hasBody && request.headers['content-length'] !== '0' ? request : null;
    this.#dispatch({ path, method: this.#head.method, headers, body }, options);
  }

  #dispatch(
    request: { path: string; method: string; headers: string[]; body: Buffer | IncomingMessage | null },
    { rewriting, form }: { rewriting: Rewriting; form: AnswerForm | null },
  ): void {
    const response = this.#response;
    const { upstream, limits, metrics } = this.#parts;
    const startedAtMs = performance.now();
    let whole: Buffer[] | null = null;
    let sizeBytes = 0;
    let status = 0;
    let headers: Record<string, string | string[]> = {};
    upstream.dispatch(request, {
      onRequestStart: (controller) => {
        if (this.#gone.signal.aborted) controller.abort(new Error('the client is gone'));
        else
          this.#gone.signal.addEventListener(
            'abort',
            () => controller.abort(new Error('the client is gone')),
            {
              once: true,
            },
          );
        response.on('drain', () => controller.resume());
      },
      onResponseStart: (_controller, statusCode, received, statusMessage) => {
        if (statusCode < 200) return;
        metrics.stage('rest', 'upstream', (performance.now() - startedAtMs) / 1000);
        status = statusCode;
        headers = answerHeaders(received);
        if (form !== null && (!form.errorsOnly || status >= 400)) whole = [];
        else response.writeHead(status, statusMessage, headers);
      },
      onResponseData: (controller, chunk) => {
        if (whole === null) {
          if (!response.write(chunk)) controller.pause();
          return;
        }
        sizeBytes += chunk.length;
        if (sizeBytes > limits.answerBytesMax) controller.abort(new BodyTooLarge(limits.answerBytesMax));
        else whole.push(chunk);
      },
      onResponseEnd: () => {
        if (whole === null || form === null) response.end();
        else
          this.#rewriteAnswer(
            { status, headers, body: Buffer.concat(whole, sizeBytes) },
            { rewriting, form },
          ).catch((error: unknown) => this.#failed(error));
        this.#noteDeleted(form, status);
      },
      onResponseError: (_controller, error) => this.#failed(error),
    });
  }

  /** Sends a request and answers with the whole of its answer, which is also returned as the client got it. */
  async #exchange(
    request: RestRequest,
    { rewriting, form }: { rewriting: Rewriting; form: AnswerForm | null },
  ): Promise<Uint8Array | null> {
    const headers = forwardedHeaders(this.#request.rawHeaders, new Set([...BODY_HEADERS, 'accept-encoding']));
    const { limits, metrics, upstream } = this.#parts;
    const startedAtMs = performance.now();
    const answer = await upstream.exchange(request, {
      ...{ headers, limitBytes: limits.answerBytesMax, signal: this.#gone.signal },
    });
    metrics.stage('rest', 'upstream', (performance.now() - startedAtMs) / 1000);
    const rewrites = form !== null && (!form.errorsOnly || answer.status >= 400);
    const body = rewrites ? rewriting.rewriteRestAnswer(form, answer.status, answer.body) : answer.body;
    this.#whole(answer.status, answerHeaders(answer.headers), body);
    return answer.status === 200 ? body : null;
  }

  async #rewriteAnswer(
    { status, headers, body }: WholeAnswer,
    { rewriting, form }: { rewriting: Rewriting; form: AnswerForm },
  ): Promise<void> {
    const encoding = headers['content-encoding'];
    const plain = await decompressed(
      body,
      typeof encoding === 'string' ? encoding : undefined,
      this.#parts.limits.answerBytesMax,
    );
    this.#whole(status, answerHeaders(headers), rewriting.rewriteRestAnswer(form, status, plain));
  }

  #whole(status: number, headers: Record<string, string | string[]>, body: Uint8Array): void {
    for (const name of BODY_HEADERS) Reflect.deleteProperty(headers, name);
    this.#response.writeHead(status, { ...headers, 'content-length': String(body.length) });
    this.#response.end(this.#head.method === 'HEAD' ? undefined : body);
  }

  #answer({ status, contentType, body }: RestAnswer): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const bytes = Buffer.from(body);
    // What is left of the body is not read: the connection cannot be used again.
    const close = this.#request.complete ? {} : { connection: 'close' };
    response.writeHead(status, {
      'content-type': contentType,
      'content-length': String(bytes.length),
      ...close,
    });
    response.end(this.#head.method === 'HEAD' ? undefined : bytes);
  }

  #failed(error: unknown): void {
    const { metrics, log, limits } = this.#parts;
    if (this.#gone.signal.aborted) return;
    if (error instanceof BodyTooLarge && !this.#response.headersSent) {
      this.fail('too-large', `the body is larger than allowed (limit: ${error.limitBytes} bytes)`);
    } else if (error instanceof BodyUnreadable) this.fail('unreadable', error.message);
    else if (isTimeout(error)) {
      metrics.upstreamError('rest');
      this.fail('timeout', `the database did not answer within ${limits.upstreamTimeoutMs} ms`);
    } else if (isConnectionError(error)) {
      metrics.upstreamError('rest');
      this.fail('unavailable', 'the database does not answer');
    } else {
      log?.('warn', 'a request failed', { path: pathOf(this.#head.url), error: messageOf(error) });
      this.fail('internal', 'the proxy failed');
    }
  }

  #noteDeleted(form: AnswerForm | null, status: number): void {
    if (form?.form === 'deleted' && status < 300) this.#parts.onDeleted(form.collection);
  }

  #ended(): void {
    const { metrics, log } = this.#parts;
    if (!this.#response.writableFinished) this.#gone.abort();
    const status = this.#response.headersSent ? String(this.#response.statusCode) : 'gone';
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    metrics.requestEnded('rest', { kind: this.#kind, status, seconds });
    log?.('debug', 'rest', {
      ...{ method: this.#head.method, path: pathOf(this.#head.url), kind: this.#kind, status },
      ms: Math.round(seconds * 1000),
    });
  }
}

/** Without the query string, which may hold anything. */
function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}

function bufferOf(body: Uint8Array): Buffer | null {
  return body.length === 0 ? null : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function isTimeout(error: unknown): boolean {
  return ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT'].includes(
    codeOf(error),
  );
}

function isConnectionError(error: unknown): boolean {
  return /^(UND_ERR_|E[A-Z]+$|HPE_)/.test(codeOf(error));
}
