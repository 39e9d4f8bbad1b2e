import {
  constants,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { messageOf } from '../../core/errors.js';
import type { WriteInterceptor } from '../../store/write-interceptor.js';
import type { AnswerForm, GrpcCall, GrpcRewrite } from '../protocol.js';
import {
  answerWith,
  refuseWith,
  countPauses,
  rewrittenMessage,
  streamAnswer,
  wholeMessage,
} from './bodies.js';
import { endWith, PREFIX_BYTES, unframe } from './frames.js';
import type { HeldBytes } from '../byte-budget.js';
import type { KeptVectors } from '../kept-vectors.js';
import {
  clientTrailers,
  endOf,
  forwardedMetadata,
  outgoing,
  callStatusOf,
  headerText,
  trailersOf,
  type CallEnd,
} from './metadata.js';
import { CLIENT_WINDOW_BYTES, UPSTREAM_WINDOW_BYTES } from './upstream.js';
import { makeCall, readAnswer, type GrpcAnswer } from './make-call.js';
import { handleGrpcChange, type ChangingCall } from './change.js';
import { callFailureOf, CODE, isReset, UpstreamStatus, watchReset } from './failures.js';
import type { AnswerParts, Answering, GrpcDependencies } from './listener-dependencies.js';
import { ExchangeRewriter } from '../exchange-rewriter.js';
import type { Rewritten } from '../rewrite-threads.js';
import { SHADOWED_BYTES_MAX, type ShadowCall } from '../shadow.js';

const LOOKUP_ROUNDS_MAX = 3;

/** One call and its answer. */
export class GrpcExchange {
  readonly #parts: GrpcDependencies;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #raw: readonly string[];
  readonly #path: string;
  readonly #held: HeldBytes;
  readonly #rewriter: ExchangeRewriter;
  readonly #startedAtMs = performance.now();
  readonly #open = new Set<ClientHttp2Stream>();
  #kind = 'answer';
  #status = 'gone';
  #refused = false;
  #over = false;
  #settled = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #kept: KeptVectors | undefined;

  constructor(
    parts: GrpcDependencies,
    stream: ServerHttp2Stream,
    { headers, raw }: { readonly headers: IncomingHttpHeaders; readonly raw: readonly string[] },
  ) {
    this.#parts = parts;
    this.#stream = stream;
    this.#headers = headers;
    this.#held = parts.budget.open();
    this.#raw = raw;
    this.#path = headers[':path'] ?? '/';
    this.#rewriter = new ExchangeRewriter(parts);
    parts.metrics.requestStarted('grpc');
    stream.on('error', () => undefined);
    stream.once('close', () => this.#ended());
    // The timeout is set only while the client has to send or to take something.
    stream.on('timeout', () => stream.close(constants.NGHTTP2_CANCEL));
  }

  async run(): Promise<void> {
    try {
      const { guard } = this.#parts;
      const route = this.#rewriter.current.routeGrpc(this.#path);
      this.#kind = route.kind;
      if (route.kind === 'status') this.refuse(route.code, route.message);
      else if (guard !== undefined && this.#rewriter.current.isGrpcChange(this.#path))
        await this.#change(guard, await this.#message());
      else if (route.kind === 'rewrite') {
        const message = await this.#message();
        await this.#rewriter.learn(this.#rewriter.current.grpcCollection(this.#path, message));
        await this.#rewrite(message);
      } else {
        this.#stream.on('data', (chunk: Buffer) => (this.#bytesIn += chunk.length));
        countPauses(this.#stream, CLIENT_WINDOW_BYTES, this.#held);
        this.#stream.pipe(this.#send(this.#path, { form: null, plain: false, timed: false }));
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#settled = true;
      this.#release();
    }
  }

  /** Answers with a status and no message. */
  refuse(code: number, message: string, retryAfter?: string): void {
    const stream = this.#stream;
    // The refusal itself makes later steps fail: the client already has its answer.
    if (stream.destroyed || this.#refused) return;
    this.#refused = true;
    if (stream.headersSent) {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    this.#status = String(code);
    refuseWith(stream, { code, message }, retryAfter);
    // The rest of the client's body is read and thrown away.
    if (!stream.readableEnded) stream.resume();
  }

  #change(guard: WriteInterceptor, message: Uint8Array): Promise<void> {
    const call: ChangingCall = {
      path: this.#path,
      guard,
      renewed: () => this.#rewriter.renew(),
      make: (made) => this.#make(made),
      rewrite: (body, made) => this.#rewrite(body, made),
      refuse: ({ code, message: text }) => this.refuse(code, text),
      give: (answer) => this.#give(answer),
      count: (kind) => (this.#kind = kind),
    };
    return handleGrpcChange(call, message);
  }

  #give({ headers, trailers, message, end }: GrpcAnswer): void {
    if (this.#stream.destroyed) return;
    if (end.status === '0') this.#reply(outgoing(headers), message, end);
    else this.#respondOnly({ ...headers, ...trailers }, null);
  }

  /** Makes a call with the client's credentials. The call continues if the client hangs up. */
  #make({ path, message }: GrpcCall): Promise<GrpcAnswer> {
    const { upstream, limits } = this.#parts;
    const metadata = forwardedMetadata(this.#raw, path, { plain: true, plainAnswer: true });
    const bounds = { limitBytes: limits.answerBytesMax, meter: this.#held.answerMeter };
    const options = { ...bounds, timeoutMs: limits.upstreamTimeoutMs };
    return makeCall(upstream.request(metadata), message, options);
  }

  /** @param first the first rewrite, if it was already made */
  async #rewrite(message: Uint8Array, first?: Rewritten<GrpcRewrite>): Promise<void> {
    const { metrics } = this.#parts;
    const startedAtMs = performance.now();
    const task = { kind: 'grpc', path: this.#path } as const;
    let made = first ?? (await this.#rewriter.current.run({ ...task, body: message }));
    for (let round = 1; made.result.kind === 'lookup'; round++) {
      if (round === LOOKUP_ROUNDS_MAX) throw new Error('looking up points did not end');
      const { calls, answer } = made.result;
      const lookups = await Promise.all(calls.map((call) => this.#lookUp(call, answer)));
      made = await this.#rewriter.current.run({ ...task, body: made.body, lookups });
    }
    const { result, body } = made;
    this.#kind = result.kind === 'send' ? 'rewrite' : result.kind === 'pass' ? 'pass' : 'answer';
    if (result.kind === 'status') this.refuse(result.code, result.message);
    else if (result.kind === 'reply') this.#reply({}, result.message, { status: '0', message: '' });
    else if (result.kind === 'pass')
      endWith(this.#send(this.#path, { form: null, plain: true, timed: true }), body);
    else {
      metrics.stage('grpc', 'rewrite', (performance.now() - startedAtMs) / 1000);
      metrics.projected('grpc', result.projected);
      const { path, message: rewritten } = result.call;
      const call = { path: this.#path, message: body };
      const shadow = result.search ? (this.#parts.shadow()?.pickCall(call) ?? null) : null;
      this.#kept = made.kept;
      endWith(this.#send(path, { form: result.answer, plain: true, timed: true, shadow }), rewritten);
    }
  }

  /** Reads the call's one message. */
  #message(): Promise<Buffer> {
    const encoding = headerText(this.#headers['grpc-encoding']);
    const onBytes = (bytes: number): void => void (this.#bytesIn += bytes);
    return wholeMessage(this.#stream, { encoding, limits: this.#parts.limits, held: this.#held, onBytes });
  }

  /** Makes a call of the proxy's own with the client's credentials and returns the answer's message. */
  async #lookUp({ path, message }: GrpcCall, form: AnswerForm): Promise<Buffer> {
    const { answerBytesMax: limitBytes } = this.#parts.limits;
    const stream = this.#request(path, { plain: true, plainAnswer: true });
    const answer = await makeCall(stream, message, { limitBytes, timeoutMs: 0, meter: this.#held.meter });
    const { headers, trailers, end } = answer;
    if (end.status === '0') return answer.message;
    const { code, message: text } = this.#rewriter.current.grpcStatus(form, callStatusOf(end));
    throw new UpstreamStatus(code, text, headerText({ ...headers, ...trailers }['retry-after']));
  }

  /** Opens the call to the database and passes its answer back. The caller sends the request's body. */
  #send(path: string, answering: Answering): ClientHttp2Stream {
    const { form, plain, timed, shadow = null } = answering;
    const { limits, metrics } = this.#parts;
    const whole = form !== null && !form.errorsOnly;
    const startedAtMs = performance.now();
    const upstream = this.#request(path, { plain, plainAnswer: whole || shadow !== null });
    if (timed)
      upstream.setTimeout(limits.upstreamTimeoutMs, () => {
        metrics.upstreamError('grpc');
        this.refuse(CODE.deadline, `the database did not answer within ${limits.upstreamTimeoutMs} ms`);
        upstream.close(constants.NGHTTP2_CANCEL);
      });
    let trailers: IncomingHttpHeaders | undefined;
    let answered = false;
    const brokenOff = watchReset(upstream);
    upstream.on('error', (error) => {
      // A reset is reported when the stream ends.
      if (!isReset(error)) this.#failed(error);
    });
    upstream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
    upstream.once('response', (headers: IncomingHttpHeaders, flags: number) => {
      if (upstream.destroyed) return;
      answered = true;
      metrics.stage('grpc', 'upstream', (performance.now() - startedAtMs) / 1000);
      if (this.#stream.destroyed) return;
      const answer = { headers, upstream, trailers: () => trailers, brokenOff };
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) this.#respondOnly(headers, form);
      else if (whole) this.#respondWhole(answer, form).catch((error: unknown) => this.#failed(error));
      else this.#respondStreamed(answer, form, shadow);
    });
    upstream.once('close', () => {
      if (!answered) this.#failed(brokenOff());
      else if (upstream.rstCode !== constants.NGHTTP2_NO_ERROR && !whole) {
        metrics.upstreamError('grpc');
        this.#stream.end();
      }
    });
    return upstream;
  }

  #request(path: string, change: { plain: boolean; plainAnswer: boolean }): ClientHttp2Stream {
    const stream = this.#parts.upstream.request(forwardedMetadata(this.#raw, path, change));
    this.#open.add(stream);
    stream.once('close', () => this.#open.delete(stream));
    return stream;
  }

  /** Handles headers that are the whole answer: an error, or an empty stream. */
  #respondOnly(headers: IncomingHttpHeaders, form: AnswerForm | null): void {
    this.#note(headers);
    this.#stream.respond(this.#clientTrailers(outgoing(headers), form), { endStream: true });
    if (!this.#stream.readableEnded) this.#stream.resume();
  }

  #respondStreamed(answer: AnswerParts, form: AnswerForm | null, shadow: ShadowCall | null): void {
    const stream = this.#stream;
    stream.respond(outgoing(answer.headers), { waitForTrailers: true });
    stream.once('wantTrailers', () => {
      const trailers = answer.trailers() ?? trailersOf(answer.brokenOff());
      this.#note(trailers);
      stream.sendTrailers(this.#clientTrailers(outgoing(trailers), form));
      if (shadow !== null && copy.length > 0 && this.#status === '0') this.#compare(shadow, copy);
    });
    const copy = streamAnswer(answer.upstream, stream, {
      held: this.#held,
      windowBytes: UPSTREAM_WINDOW_BYTES,
      copied: shadow !== null,
      clientTimeoutMs: this.#parts.limits.clientTimeoutMs,
      onBytes: (bytes) => (this.#bytesOut += bytes),
    });
  }

  #compare({ collection, call }: ShadowCall, copy: readonly Buffer[]): void {
    const { path } = call;
    const options = { encoding: undefined, limitBytes: SHADOWED_BYTES_MAX };
    this.#parts.shadow()?.compare({
      collection,
      servedSeconds: (performance.now() - this.#startedAtMs) / 1000,
      compact: this.#kept?.compact,
      served: async () =>
        this.#rewriter.current.grpcResultIds(path, await unframe(Buffer.concat(copy), options)),
      full: async () => {
        const { end, message } = await this.#make(call);
        if (end.status !== '0') throw new UpstreamStatus(Number(end.status), end.message);
        return this.#rewriter.current.grpcResultIds(path, message);
      },
    });
  }

  async #respondWhole(answer: AnswerParts, form: AnswerForm): Promise<void> {
    const limitBytes = this.#parts.limits.answerBytesMax;
    const meter = this.#held.answerMeter;
    const body = await readAnswer(answer, { limitBytes: limitBytes + PREFIX_BYTES, meter });
    const end = endOf(answer.trailers() ?? {});
    if (end === null) throw answer.brokenOff();
    if (end.status !== '0') {
      const { code, message } = this.#rewriter.current.grpcStatus(form, callStatusOf(end));
      this.refuse(code, message);
      return;
    }
    const encoding = headerText(answer.headers['grpc-encoding']);
    const result = await rewrittenMessage(
      body,
      { encoding, limitBytes, held: this.#held },
      async (message) => {
        const task = { kind: 'grpc-answer', form, body: message } as const;
        return (await this.#rewriter.current.run(task)).result;
      },
    );
    if (form.form === 'deleted' && this.#rewriter.current.isGrpcDeleted(result))
      this.#parts.events.onDeleted(form.collection);
    if (form.form === 'updated') await this.#parts.events.onUpdated(form.collection);
    this.#reply(outgoing(answer.headers), result, end);
  }

  #reply(headers: OutgoingHttpHeaders, message: Uint8Array, end: CallEnd): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.headersSent) return;
    this.#status = end.status;
    this.#bytesOut += PREFIX_BYTES + message.length;
    stream.setTimeout(this.#parts.limits.clientTimeoutMs);
    answerWith(stream, headers, { message, end });
  }

  #failed(error: unknown): void {
    const { log, metrics } = this.#parts;
    if (this.#stream.destroyed) return;
    const { code, message, retryAfter, blame } = callFailureOf(error);
    this.#held.close();
    if (blame === 'database') metrics.upstreamError('grpc');
    if (blame === 'proxy') log?.('warn', 'a call failed', { path: this.#path, error: messageOf(error) });
    this.refuse(code, message, retryAfter);
  }

  #clientTrailers(trailers: OutgoingHttpHeaders, form: AnswerForm | null): OutgoingHttpHeaders {
    if (form === null) return trailers;
    return clientTrailers(trailers, (end) => this.#rewriter.current.grpcStatus(form, end));
  }

  #note(headers: IncomingHttpHeaders): void {
    this.#status = endOf(headers)?.status ?? this.#status;
  }

  /** Gives the held bytes back once the exchange is over. If the client hangs up, a sent write keeps them. */
  #release(): void {
    if (this.#settled && this.#over) this.#held.close();
  }

  #ended(): void {
    const { metrics, log, keep } = this.#parts;
    this.#over = true;
    // Only then the database has accepted the client's credentials.
    if (this.#status === '0' && this.#kept !== undefined) keep(this.#kept);
    this.#release();
    this.#rewriter.release();
    for (const upstream of this.#open) upstream.close(constants.NGHTTP2_CANCEL);
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    const bytes = { bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
    metrics.requestEnded('grpc', { kind: this.#kind, status: this.#status, seconds, ...bytes });
    const ms = Math.round(seconds * 1000);
    log?.('debug', 'grpc', { path: this.#path, kind: this.#kind, status: this.#status, ms, ...bytes });
  }
}
