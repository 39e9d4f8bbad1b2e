import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { expectDefined, messageOf } from '../../core/errors.js';
import type { WriteInterceptor } from '../../store/write-interceptor.js';
import type {
  AnswerForm,
  LookupAnswer,
  ProxyFailure,
  ReadHead,
  RestAnswer,
  RestRequest,
  RestRoute,
} from '../protocol.js';
import type { HeldBytes } from '../byte-budget.js';
import type { CompactVectors, KeptVectors } from '../kept-vectors.js';
import type { CrossOrigin } from './cross-origin.js';
import type { ListenerDependencies } from '../listener-dependencies.js';
import { ExchangeRewriter } from '../exchange-rewriter.js';
import { answerOwn } from './own-answer.js';
import type { ProxyOptions } from '../proxy-options.js';
import { awaitBody, hasBody, passingBody, smallBody, wholeBody } from './request-body.js';
import { handleRestChange } from './change.js';
import { failureOf } from './failures.js';
import {
  BODY_HEADERS,
  EXCHANGE_HEADERS,
  forwardedHeaders,
  headerOf,
  headersOf,
  ownHeaders,
  readableEncodings,
} from './headers.js';
import { RestRelay, wholeAnswer } from './relay.js';
import { bodyOf, type RestUpstream, type WholeAnswer } from './upstream.js';
import { SHADOWED_BYTES_MAX, type ShadowPlace } from '../shadow.js';

/** Points that a request refers to may have to be fetched first. More rounds than this are a bug. */
const LOOKUP_ROUNDS_MAX = 3;

/** Dependencies of the REST listener. */
export interface RestDependencies extends ListenerDependencies {
  readonly upstream: RestUpstream;
  readonly failure: ProxyOptions['failure'];
  readonly crossOrigin: CrossOrigin;
}

/** A search to repeat on the full collection. */
interface Shadowing {
  readonly place: ShadowPlace;
  readonly body: Uint8Array;
  readonly compact: CompactVectors | undefined;
}

/** The request to the database and the treatment of its answer. */
interface Sending {
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: Buffer | Readable | null;
  readonly form: AnswerForm | null;
  readonly shadow?: Shadowing | undefined;
  readonly kept?: KeptVectors | undefined;
}

/** One request and its answer. */
export class RestExchange {
  readonly #parts: RestDependencies;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #head: ReadHead;
  readonly #rewriter: ExchangeRewriter;
  readonly #held: HeldBytes;
  readonly #startedAtMs = performance.now();
  #relay: RestRelay | undefined;
  #beforeAnswer: (() => Promise<void>) | undefined;
  #lookups: AbortController | undefined;
  #gone = false;
  #over = false;
  /** True once the request's body is only sent and no longer processed. */
  #settled = false;
  #kind = 'answer';
  /**
   * The body of a request that may change something, if it is small. It is read before the names are looked
   * up.
   */
  #early: Buffer | undefined;
  #bytesIn = 0;
  /** Bytes of answers that did not pass through the relay. */
  #bytesOut = 0;
  readonly #onBytes = (bytes: number): void => void (this.#bytesIn += bytes);

  constructor(parts: RestDependencies, request: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#request = request;
    this.#response = response;
    this.#held = parts.budget.open();
    this.#rewriter = new ExchangeRewriter(parts);
    this.#head = this.#rewriter.current.readRest({
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: headersOf(request),
    });
    response.sendDate = false;
    parts.metrics.requestStarted('rest');
    response.once('close', () => this.#ended());
    // A client that hangs up is no failure of the proxy.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
  }

  async run(): Promise<void> {
    if (!/^(\/|https?:)/.test(this.#head.url)) {
      this.fail('no-path', 'the address of the request is not a path');
      return;
    }
    try {
      const { guard } = this.#parts;
      if (guard !== undefined && this.#rewriter.current.isRestChange(this.#head)) await this.#change(guard);
      else {
        await this.#rewriter.learn(this.#head.addressed);
        await this.#handle(this.#rewriter.current.routeRest(this.#head));
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#settled = true;
      this.#release();
    }
  }

  /** Answers with the proxy's own failure. */
  fail(failure: ProxyFailure, message: string): void {
    this.#answer(this.#parts.failure(failure, message));
  }

  /** @param whole the body, if it was read already */
  async #handle(route: RestRoute, whole?: Uint8Array): Promise<void> {
    this.#kind = route.kind;
    if (route.kind === 'answer') this.#answer(route);
    else if (route.kind === 'rewrite') await this.#rewrite(whole);
    else if (route.kind === 'pass') await this.#pass(this.#head.url, null, whole);
    else await this.#pass(route.url, route.answer, whole);
  }

  /** Handles a request that may change something. A small body is read first. */
  async #change(guard: WriteInterceptor): Promise<void> {
    this.#early = await smallBody(this.#request, this.#parts.limits.clientTimeoutMs, this.#onBytes);
    await handleRestChange({
      head: this.#head,
      guard,
      renewed: () => this.#rewriter.renew(),
      make: (request) => this.#exchange(request),
      ask: (request) => this.#exchange(request, ownHeaders(this.#request.rawHeaders)),
      hasCome: () => this.#early !== undefined || !hasBody(this.#request),
      wholeBody: () => this.#wholeBody(),
      handle: (route, { whole, beforeAnswer }) => {
        this.#beforeAnswer = beforeAnswer;
        return this.#handle(route, whole);
      },
      answer: (answer) => this.#answer(answer),
      give: (answer) => this.#give(answer),
      count: (kind) => (this.#kind = kind),
    });
  }

  /** Answers with an answer of the database, even if the client is still sending. */
  #give({ status, headers, body }: WholeAnswer): void {
    const [request, response] = [this.#request, this.#response];
    if (response.destroyed) return;
    if (request.complete) {
      const head = { status, headers, last: this.#parts.draining() };
      this.#bytesOut += wholeAnswer({ request, response }, head, body);
      return;
    }
    const contentType = headerOf(headers, 'content-type') ?? '';
    const retryAfter = headerOf(headers, 'retry-after');
    this.#answer({ kind: 'answer', status, contentType, body: body.toString('utf8'), retryAfter });
  }

  #exchange(
    request: RestRequest,
    headers = forwardedHeaders(this.#request.rawHeaders, EXCHANGE_HEADERS),
  ): Promise<WholeAnswer> {
    const { upstream, limits } = this.#parts;
    const bounds = { limitBytes: limits.answerBytesMax, meter: this.#held.answerMeter };
    return upstream.exchange(request, { headers, ...bounds });
  }

  /** Sends the client's body on as it arrives. */
  async #pass(path: string, form: AnswerForm | null, whole?: Uint8Array): Promise<void> {
    awaitBody(this.#request, this.#parts.limits.clientTimeoutMs);
    const coming = async (): Promise<Buffer | Readable | null> =>
      this.#early ?? (await passingBody(this.#request, this.#onBytes));
    const body = whole === undefined ? await coming() : bodyOf(whole);
    const without = new Set(whole === undefined ? [] : BODY_HEADERS);
    if (form !== null && !form.errorsOnly) without.add('accept-encoding');
    const headers = this.#headersFor(form, without);
    this.#send({ method: this.#head.method, path, headers, body, form });
  }

  /** Returns the headers to send. If the answer may be rewritten, they ask only for readable compressions. */
  #headersFor(form: AnswerForm | null, without: ReadonlySet<string>): string[] {
    const headers = forwardedHeaders(this.#request.rawHeaders, without);
    return form === null ? headers : readableEncodings(headers);
  }

  async #rewrite(whole?: Uint8Array): Promise<void> {
    const { metrics } = this.#parts;
    const startedAtMs = performance.now();
    let body: Uint8Array = whole ?? (await this.#wholeBody());
    let lookups: LookupAnswer[] | undefined;
    for (let round = 0; round < LOOKUP_ROUNDS_MAX; round++) {
      const made = await this.#rewriter.current.run({ kind: 'rest', head: this.#head, body, lookups });
      body = made.body;
      const { result } = made;
      if (result.kind === 'answer') {
        this.#kind = 'answer';
        this.#answer(result);
        return;
      }
      if (result.kind === 'send') {
        metrics.stage('rest', 'rewrite', (performance.now() - startedAtMs) / 1000);
        metrics.projected('rest', result.projected);
        const { request, answer: form } = result;
        const place = result.search ? this.#parts.shadow()?.pick(this.#head.url) : undefined;
        const plainAnswer = (form !== null && !form.errorsOnly) || place != null;
        const without = plainAnswer ? EXCHANGE_HEADERS : BODY_HEADERS;
        const headers = this.#headersFor(form, without);
        const { method, url: path } = request;
        const { kept } = made;
        const shadow = place == null ? undefined : { place, body, compact: kept?.compact };
        this.#send({ method, path, headers, body: bodyOf(request.body), form, shadow, kept });
        return;
      }
      lookups = await this.#lookUp(result.requests);
    }
    throw new Error('looking up points did not end');
  }

  async #wholeBody(): Promise<Buffer> {
    const [held, early] = [this.#held, this.#early];
    if (early === undefined)
      return wholeBody(this.#request, { limits: this.#parts.limits, held, onBytes: this.#onBytes });
    held.take(2 * early.length);
    return early;
  }

  #lookUp(requests: readonly RestRequest[]): Promise<LookupAnswer[]> {
    const { upstream, limits } = this.#parts;
    const headers = ownHeaders(this.#request.rawHeaders);
    this.#lookups = new AbortController();
    const bounds = { limitBytes: limits.answerBytesMax, meter: this.#held.meter };
    const options = { headers, ...bounds, signal: this.#lookups.signal };
    return Promise.all(
      requests.map(async (request) => {
        const { status, headers: received, body } = await upstream.exchange(request, options);
        const contentType = headerOf(received, 'content-type') ?? '';
        return { status, body, contentType, retryAfter: headerOf(received, 'retry-after') };
      }),
    );
  }

  #send({ form, shadow, kept, ...request }: Sending): void {
    const { upstream, limits, metrics, crossOrigin } = this.#parts;
    if (this.#gone) return;
    const startedAtMs = performance.now();
    this.#relay = new RestRelay({
      request: this.#request,
      response: this.#response,
      beforeAnswer: this.#beforeAnswer,
      rewriteFrom: form === null ? Number.POSITIVE_INFINITY : form.errorsOnly ? 400 : 0,
      rewriteAnswer: async (status, body) => {
        if (form === null) return body;
        if (form.form === 'deleted' && status < 300 && this.#rewriter.current.isRestDeleted(body))
          this.#parts.events.onDeleted(form.collection);
        if (form.form === 'updated' && status < 300) await this.#parts.events.onUpdated(form.collection);
        return (await this.#rewriter.current.run({ kind: 'rest-answer', form, status, body })).result;
      },
      answerBytesMax: limits.answerBytesMax,
      held: this.#held,
      copyBytesMax: shadow === undefined ? 0 : SHADOWED_BYTES_MAX,
      clientTimeoutMs: limits.clientTimeoutMs,
      endsConnection: this.#parts.draining,
      onHead: (status, headers) => {
        metrics.stage('rest', 'upstream', (performance.now() - startedAtMs) / 1000);
        // Only successes: errors may come from a gateway, or from before the database checked the origin.
        if (status < 300) crossOrigin.learn(headers);
        // Only then the database has accepted the client's credentials.
        if (status === 200 && kept !== undefined) this.#parts.keep(kept);
      },
      onEnd: (status, copy) => {
        if (shadow !== undefined && copy !== null && status === 200) this.#shadow(shadow, copy);
      },
      onFailed: (error) => this.#failed(error),
    });
    upstream.dispatch(request, this.#relay);
  }

  #shadow({ place, body, compact }: Shadowing, served: Uint8Array): void {
    const headers = ownHeaders(this.#request.rawHeaders);
    const request = { method: this.#head.method, url: place.url, body };
    this.#parts.shadow()?.compare({
      collection: place.collection,
      servedSeconds: (performance.now() - this.#startedAtMs) / 1000,
      compact,
      served: () => this.#rewriter.current.resultIds(served),
      full: async () => {
        const options = { headers, limitBytes: SHADOWED_BYTES_MAX };
        const { status, body: answer } = await this.#parts.upstream.exchange(request, options);
        if (status !== 200) throw new Error(`status ${status}`);
        return this.#rewriter.current.resultIds(answer);
      },
    });
  }

  #answer(answer: RestAnswer): void {
    const [request, response] = [this.#request, this.#response];
    const headers = this.#parts.crossOrigin.headers(request.headers.origin);
    const options = { headers, last: this.#parts.draining() };
    this.#bytesOut += answerOwn({ request, response }, answer, options);
  }

  #failed(error: unknown): void {
    if (this.#gone) return;
    const { metrics, log, limits, failure } = this.#parts;
    const failed = failureOf(error, limits);
    if (failed.upstream) metrics.upstreamError('rest');
    if (failed.failure === 'internal')
      log?.('warn', 'a request failed', { path: pathOf(this.#head.url), error: messageOf(error) });
    // The request is over: it holds no more bytes.
    this.#held.close();
    const { retryAfter } = failed;
    const answer = failure(failed.failure, failed.message, failed.size);
    this.#answer(retryAfter === undefined ? answer : { ...answer, retryAfter });
  }

  /** Gives the held bytes back once the exchange is over. If the client hangs up, a sent write keeps them. */
  #release(): void {
    if (this.#settled && this.#over) this.#held.close();
  }

  #ended(): void {
    const { metrics, log } = this.#parts;
    this.#over = true;
    this.#release();
    this.#rewriter.release();
    if (!this.#response.writableFinished) {
      this.#gone = true;
      this.#relay?.abort();
      this.#lookups?.abort();
    }
    const status = this.#response.headersSent ? String(this.#response.statusCode) : 'gone';
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    const [kind, bytesIn] = [this.#kind, this.#bytesIn];
    const bytesOut = this.#bytesOut + (this.#relay?.bytesOut ?? 0);
    metrics.requestEnded('rest', { kind, status, seconds, bytesIn, bytesOut });
    const { method, url } = this.#head;
    const ms = Math.round(seconds * 1000);
    log?.('debug', 'rest', { method, path: pathOf(url), kind, status, ms, bytesIn, bytesOut });
  }
}

/** Returns the path without the query string, which may hold anything and is not logged. */
function pathOf(url: string): string {
  return expectDefined(url.split('?', 1)[0], 'the path');
}
