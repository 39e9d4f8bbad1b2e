import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { messageOf } from '../core/errors.js';
import type { Aliases, WriteGuard } from '../core/followed.js';
import type {
  Addressed,
  AnswerForm,
  LookupAnswer,
  ProxyFailure,
  RestAnswer,
  RestHead,
  RestRequest,
} from '../core/wire.js';
import type { HeldBytes } from './byte-budget.js';
import type { CrossOrigin } from './cross-origin.js';
import type { ExchangeParts } from './exchange-parts.js';
import type { ProxyOptions } from './proxy-options.js';
import { awaitBody, passingBody, wholeBody } from './request-body.js';
import { failureOf } from './rest-failures.js';
import {
  BODY_HEADERS,
  EXCHANGE_HEADERS,
  forwardedHeaders,
  headerOf,
  headersOf,
  ownHeaders,
  readableEncodings,
} from './rest-headers.js';
import { refuseAlias, sendChange, sendUnnamed, type ChangeSender } from './send-change.js';
import { beginAnswer, RestRelay, wholeAnswer } from './rest-relay.js';
import { bodyOf, type RestUpstream, type WholeAnswer } from './rest-upstream.js';
import type { Rewriting } from './rewriting.js';
import { SHADOWED_BYTES_MAX, type ShadowPlace } from './shadow.js';

/** Points that a request refers to may have to be fetched first; more rounds than this are a fault. */
const LOOKUP_ROUNDS_MAX = 3;
/** How long the rest of a body that nobody wants is taken, so that its sender comes to read the answer. */
const LINGER_MS = 2_000;

/** What the REST listener works with. */
export interface RestParts extends ExchangeParts {
  readonly upstream: RestUpstream;
  readonly failure: ProxyOptions['failure'];
  readonly crossOrigin: CrossOrigin;
}

/** What is sent to the database, and what happens to its answer. */
interface Sending {
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: Buffer | Readable | null;
  readonly form: AnswerForm | null;
  readonly shadow?: { readonly place: ShadowPlace; readonly body: Uint8Array } | undefined;
}

/** One request and its answer. */
export class RestExchange {
  readonly #parts: RestParts;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #head: RestHead;
  #rewriting: Rewriting;
  readonly #held: HeldBytes;
  readonly #startedAtMs = performance.now();
  #relay: RestRelay | undefined;
  #beforeAnswer: (() => Promise<void>) | undefined;
  #lookups: AbortController | undefined;
  #gone = false;
  #over = false;
  /** Nothing is done with the request's body any more but sending it. */
  #settled = false;
  #kind = 'answer';
  #bytesIn = 0;
  /** Of answers that did not come through the relay. */
  #bytesOut = 0;

  constructor(parts: RestParts, request: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#request = request;
    this.#response = response;
    this.#held = parts.budget.open();
    this.#head = {
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: headersOf(request),
    };
    this.#rewriting = parts.rewriting().use();
    response.sendDate = false;
    parts.metrics.requestStarted('rest');
    response.once('close', () => this.#ended());
    // A client that hangs up in the middle is no failure of ours.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
  }

  async run(): Promise<void> {
    if (!/^(\/|https?:)/.test(this.#head.url)) {
      this.fail('no-path', 'the address is no path');
      return;
    }
    try {
      const { guard } = this.#parts;
      if (guard !== undefined && this.#rewriting.isRestChange(this.#head)) await this.#change(guard);
      else {
        await this.#named(this.#rewriting.restCollection(this.#head));
        await this.#route();
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#settled = true;
      this.#letGo();
    }
  }

  /** Goes by what a name means now. */
  async #named(addressed: Addressed | null): Promise<void> {
    const learning = addressed === null ? null : this.#parts.names?.learn(addressed);
    if (learning == null) return;
    await learning;
    if (!this.#over) this.#rewriting = this.#rewriting.exchangedFor(this.#parts.rewriting());
  }

  /** Answers with a failure of the proxy's own. */
  fail(failure: ProxyFailure, message: string): void {
    this.#answer(this.#parts.failure(failure, message));
  }

  /** @param whole the body, where it was read already */
  async #route(whole?: Uint8Array): Promise<void> {
    const route = this.#rewriting.routeRest(this.#head);
    this.#kind = route.kind;
    if (route.kind === 'answer') this.#answer(route);
    else if (route.kind === 'rewrite') await this.#rewrite(whole);
    else if (route.kind === 'pass') await this.#pass(this.#head.url, null, whole);
    else await this.#pass(route.url, route.answer, whole);
  }

  /** What may change something goes by the names as they are now. */
  async #change(guard: WriteGuard, tries = 0): Promise<void> {
    const aliases = await guard.aliases();
    if (!this.#over) this.#rewriting = this.#rewriting.exchangedFor(this.#parts.rewriting());
    const change = this.#rewriting.routeRestChange(this.#head, aliases);
    if (change.kind === 'answer') this.#answer(change);
    else if (change.kind === 'read') await this.#follow(guard, aliases);
    else if (change.kind === 'other' || this.#rewriting.routeRest(this.#head).kind !== 'pass')
      await this.#route();
    else {
      const sent = await sendUnnamed<RestRequest, WholeAnswer>(change, { guard, tries }, this.#sender());
      if (sent === 'pass') {
        this.#beforeAnswer = () => refuseAlias(change.name, guard);
        await this.#route();
      } else if (sent === 'again') await this.#change(guard, tries + 1);
      else {
        const { status, headers, body } = sent.answer;
        const contentType = headerOf(headers, 'content-type') ?? '';
        const retryAfter = headerOf(headers, 'retry-after');
        this.#answer({ kind: 'answer', status, contentType, body: body.toString('utf8'), retryAfter });
      }
    }
  }

  #sender(): ChangeSender<RestRequest, WholeAnswer> {
    const rewriting = this.#rewriting;
    return {
      make: (request) => this.#exchange(request),
      isPermitted: ({ status, body }) => rewriting.isRestPermitted(status, body),
      outcomeOf: ({ status, body }) => rewriting.restOutcome(status, body),
      isDone: ({ status }) => status < 300,
      isDenied: ({ status }) => status === 403,
      isMissing: ({ status }) => status === 404,
    };
  }

  /** A change of a followed collection goes to its end once it was sent, whether its client waits or not. */
  async #follow(guard: WriteGuard, aliases: Aliases): Promise<void> {
    const rewriting = this.#rewriting;
    const task = { head: this.#head, body: await this.#wholeBody(), aliases };
    const { result: change, body } = await rewriting.run({ kind: 'rest-change', ...task });
    if (change.kind === 'answer') {
      this.#answer(change);
      return;
    }
    const isServed = (): boolean => rewriting.routeRest(this.#head).kind !== 'pass';
    if (change.kind === 'other' || change.kind === 'unnamed' || (change.kind === 'elsewhere' && isServed())) {
      await this.#route(body);
      return;
    }
    this.#kind = change.kind === 'elsewhere' ? 'pass' : 'follow';
    const answer = await sendChange<RestRequest, WholeAnswer>(change, guard, this.#sender());
    if (this.#response.destroyed) return;
    const head = { status: answer.status, headers: answer.headers, last: this.#parts.draining() };
    const exchange = { request: this.#request, response: this.#response };
    this.#bytesOut += wholeAnswer(exchange, head, answer.body);
  }

  #exchange(request: RestRequest): Promise<WholeAnswer> {
    const { upstream, limits } = this.#parts;
    const headers = forwardedHeaders(this.#request.rawHeaders, EXCHANGE_HEADERS);
    const bounds = { limitBytes: limits.answerBytesMax, meter: this.#held.answerMeter };
    return upstream.exchange(request, { headers, ...bounds });
  }

  /** Sends the client's body on as it comes. */
  async #pass(path: string, form: AnswerForm | null, whole?: Uint8Array): Promise<void> {
    awaitBody(this.#request, this.#parts.limits.clientTimeoutMs);
    const taken = (bytes: number): void => void (this.#bytesIn += bytes);
    const body = whole === undefined ? await passingBody(this.#request, taken) : bodyOf(whole);
    const without = new Set(whole === undefined ? [] : BODY_HEADERS);
    if (form !== null && !form.errorsOnly) without.add('accept-encoding');
    const headers = this.#headersFor(form, without);
    this.#send({ method: this.#head.method, path, headers, body, form });
  }

  /** An answer that may have to be rewritten comes in a compression that can be read. */
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
      const made = await this.#rewriting.run({ kind: 'rest', head: this.#head, body, lookups });
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
        const shadow = place == null ? undefined : { place, body };
        this.#send({ method, path, headers, body: bodyOf(request.body), form, shadow });
        return;
      }
      lookups = await this.#lookUp(result.requests);
    }
    throw new Error('points were looked up again and again');
  }

  #wholeBody(): Promise<Buffer> {
    const onBytes = (bytes: number): void => void (this.#bytesIn += bytes);
    return wholeBody(this.#request, { limits: this.#parts.limits, held: this.#held, onBytes });
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

  #send({ form, shadow, ...request }: Sending): void {
    const { upstream, limits, metrics, crossOrigin } = this.#parts;
    if (this.#gone) return;
    const startedAtMs = performance.now();
    this.#relay = new RestRelay({
      ...{ request: this.#request, response: this.#response, beforeAnswer: this.#beforeAnswer },
      rewriteFrom: form === null ? Number.POSITIVE_INFINITY : form.errorsOnly ? 400 : 0,
      rewriteAnswer: async (status, body) => {
        if (form === null) return body;
        if (form.form === 'deleted' && status < 300 && this.#rewriting.isRestDeleted(body))
          this.#parts.onDeleted(form.collection);
        return (await this.#rewriting.run({ kind: 'rest-answer', form, status, body })).result;
      },
      answerBytesMax: limits.answerBytesMax,
      held: this.#held,
      copyBytesMax: shadow === undefined ? 0 : SHADOWED_BYTES_MAX,
      clientTimeoutMs: limits.clientTimeoutMs,
      endsConnection: this.#parts.draining,
      onHead: (status, headers) => {
        metrics.stage('rest', 'upstream', (performance.now() - startedAtMs) / 1000);
        // Errors may come from a gateway, or from before the database looked where its client is.
        if (status < 300) crossOrigin.learn(headers);
      },
      onEnd: (status, copy) => {
        if (shadow !== undefined && copy !== null && status === 200) this.#shadow(shadow, copy);
      },
      onFailed: (error) => this.#failed(error),
    });
    upstream.dispatch(request, this.#relay);
  }

  #shadow({ place, body }: { place: ShadowPlace; body: Uint8Array }, served: Uint8Array): void {
    const headers = ownHeaders(this.#request.rawHeaders);
    const request = { method: this.#head.method, url: place.url, body };
    this.#parts.shadow()?.compare({
      collection: place.collection,
      servedSeconds: (performance.now() - this.#startedAtMs) / 1000,
      served: () => this.#rewriting.resultIds(served),
      full: async () => {
        const options = { headers, limitBytes: SHADOWED_BYTES_MAX };
        const { status, body: answer } = await this.#parts.upstream.exchange(request, options);
        if (status !== 200) throw new Error(`status ${status}`);
        return this.#rewriting.resultIds(answer);
      },
    });
  }

  #answer({ status, contentType, body, retryAfter }: RestAnswer): void {
    const [request, response] = [this.#request, this.#response];
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const bytes = Buffer.from(body);
    const headers = this.#parts.crossOrigin.headers(request.headers.origin);
    headers.push('content-length', String(bytes.length));
    if (contentType !== '') headers.push('content-type', contentType);
    if (retryAfter !== undefined) headers.push('retry-after', retryAfter);
    headers.push('date', new Date().toUTCString());
    beginAnswer(
      { request, response },
      { status, headers, last: !request.complete || this.#parts.draining() },
    );
    const sent = this.#head.method === 'HEAD' ? undefined : bytes;
    this.#bytesOut += sent?.length ?? 0;
    if (request.complete) response.end(sent);
    else this.#answerEarly(sent);
  }

  /** Answers a client that is still sending: closing at once would lose it the answer. */
  #answerEarly(bytes: Buffer | undefined): void {
    const [request, response] = [this.#request, this.#response];
    if (bytes !== undefined) response.write(bytes);
    const end = (): void => {
      clearTimeout(timer);
      response.end();
    };
    const timer = setTimeout(end, LINGER_MS);
    request.once('end', end).once('close', end).resume();
  }

  #failed(error: unknown): void {
    if (this.#gone) return;
    const { metrics, log, limits, failure } = this.#parts;
    const failed = failureOf(error, limits);
    if (failed.upstream) metrics.upstreamError('rest');
    if (failed.failure === 'internal')
      log?.('warn', 'a request failed', { path: pathOf(this.#head.url), error: messageOf(error) });
    // Nothing more is done for it.
    this.#held.close();
    const { retryAfter } = failed;
    const answer = failure(failed.failure, failed.message, failed.size);
    this.#answer(retryAfter === undefined ? answer : { ...answer, retryAfter });
  }

  /** A write that was sent goes on without its client, and with its body. */
  #letGo(): void {
    if (this.#settled && this.#over) this.#held.close();
  }

  #ended(): void {
    const { metrics, log } = this.#parts;
    this.#over = true;
    this.#letGo();
    this.#rewriting.release();
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

/** Without the query string, which may hold anything. */
function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}
