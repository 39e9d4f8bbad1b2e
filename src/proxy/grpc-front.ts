import {
  constants,
  createSecureServer,
  createServer,
  type ClientHttp2Stream,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { messageOf } from '../core/errors.js';
import type { Log } from '../core/run.js';
import type { AnswerForm, GrpcCall, GrpcStatus } from '../core/wire.js';
import { decodeStatusText, encodeStatusText, frame, unframe } from './grpc-frames.js';
import type { GrpcUpstream } from './grpc-upstream.js';
import type { Metrics } from './metrics.js';
import type { ProxyLimits, ProxyOptions } from './proxy-options.js';
import type { Rewriting } from './rewriting.js';
import { BodyTooLarge, BodyUnreadable, readWhole } from './whole-body.js';

const LOOKUP_ROUNDS_MAX = 3;
const WINDOW_BYTES = 8 * 1024 ** 2;
/** Status codes of gRPC ("Status codes and their use in gRPC"). */
const CODE = { invalid: 3, exhausted: 8, internal: 13, unavailable: 14 } as const;

/** What the gRPC listener works with; `rewriting` is asked for anew by every call. */
export interface GrpcFrontParts {
  readonly upstream: GrpcUpstream;
  readonly limits: ProxyLimits;
  readonly metrics: Metrics;
  readonly rewriting: () => Rewriting;
  readonly onDeleted: (collection: string) => void;
  readonly log: Log | undefined;
}

/** The listener for gRPC calls: plain HTTP/2, or TLS with it. */
export function createGrpcFront(parts: GrpcFrontParts, tls: ProxyOptions['tls']): Http2Server {
  const settings = { initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: parts.limits.requestsMax };
  const options = { settings, maxSessionMemory: 64 };
  const server = tls === undefined ? createServer(options) : createSecureServer({ ...options, ...tls });
  let inFlight = 0;
  server.on('session', (session) => {
    session.setLocalWindowSize(WINDOW_BYTES);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream: ServerHttp2Stream, headers, _flags, rawHeaders?: string[]) => {
    const call = new Call(parts, stream, { headers, raw: rawHeaders ?? [] });
    inFlight++;
    stream.once('close', () => inFlight--);
    if (inFlight > parts.limits.requestsMax)
      call.refuse(CODE.exhausted, 'the proxy has too many calls under way');
    else void call.run();
  });
  return server;
}

/** Reads what is known of a call's end: where the status came from trailers or from the only headers. */
interface CallEnd {
  readonly status: string;
  readonly message: string;
}

/** One call and its answer. */
class Call {
  readonly #parts: GrpcFrontParts;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #raw: readonly string[];
  readonly #path: string;
  readonly #startedAtMs = performance.now();
  #upstream: ClientHttp2Stream | undefined;
  #kind = 'answer';
  #status = 'gone';

  constructor(
    parts: GrpcFrontParts,
    stream: ServerHttp2Stream,
    { headers, raw }: { readonly headers: IncomingHttpHeaders; readonly raw: readonly string[] },
  ) {
    this.#parts = parts;
    this.#stream = stream;
    this.#headers = headers;
    this.#raw = raw;
    this.#path = headers[':path'] ?? '/';
    parts.metrics.requestStarted('grpc');
    stream.on('error', () => undefined);
    stream.once('close', () => this.#ended());
  }

  async run(): Promise<void> {
    const rewriting = this.#parts.rewriting();
    try {
      const route = rewriting.routeGrpc(this.#path);
      this.#kind = route.kind;
      if (route.kind === 'status') this.#refuse(route);
      else if (route.kind === 'pass') this.#stream.pipe(this.#open(this.#path, { rewriting, form: null }));
      else await this.#rewrite(rewriting);
    } catch (error) {
      this.#failed(error);
    }
  }

  refuse(code: number, message: string): void {
    this.#refuse({ kind: 'status', code, message });
  }

  async #rewrite(rewriting: Rewriting): Promise<void> {
    const { limits, metrics } = this.#parts;
    const startedAtMs = performance.now();
    const body = await readWhole(this.#stream, limits.grpcMessageBytesMax);
    const message = await unframe(body, {
      encoding: textOf(this.#headers['grpc-encoding']),
      limitBytes: limits.grpcMessageBytesMax,
    });
    let lookups: Uint8Array[] | undefined;
    for (let round = 0; round < LOOKUP_ROUNDS_MAX; round++) {
      const made = await rewriting.rewriteGrpc(this.#path, message, lookups);
      switch (made.kind) {
        case 'status':
          this.#kind = 'answer';
          this.#refuse(made);
          return;
        case 'pass':
          this.#kind = 'pass';
          this.#open(this.#path, { rewriting, form: null }).end(body);
          return;
        case 'reply':
          this.#kind = 'answer';
          this.#reply({ 'content-type': 'application/grpc' }, made.message, { status: '0', message: '' });
          return;
        case 'send':
          metrics.stage('grpc', 'rewrite', (performance.now() - startedAtMs) / 1000);
          metrics.projected('grpc', made.projected);
          this.#open(made.call.path, { rewriting, form: made.answer, plain: true }).end(
            frame(made.call.message),
          );
          return;
        case 'lookup':
          lookups = await Promise.all(made.calls.map((call) => this.#lookup(call)));
      }
    }
    throw new Error('points were looked up again and again');
  }

  /** A call of the proxy's own with the client's credentials. */
  #lookup({ path, message }: GrpcCall): Promise<Buffer> {
    const { limits, upstream } = this.#parts;
    const stream = upstream.request(this.#upstreamHeaders(path, { plain: true, plainAnswer: true }));
    const end: { status: string; message: string } = { status: '', message: '' };
    const note = (headers: IncomingHttpHeaders): void => void Object.assign(end, endOf(headers) ?? {});
    stream.on('response', note);
    stream.on('trailers', note);
    stream.end(frame(message));
    this.#stream.once('close', () => stream.close(constants.NGHTTP2_CANCEL));
    return readWhole(stream, limits.answerBytesMax).then((body) => {
      if (end.status !== '0') throw new UpstreamStatus(Number(end.status || CODE.unavailable), end.message);
      return unframe(body, { encoding: undefined, limitBytes: limits.answerBytesMax });
    });
  }

  /** Opens the call to the database and lets its answer flow back; the request body is the caller's to send. */
  #open(
    path: string,
    options: { rewriting: Rewriting; form: AnswerForm | null; plain?: boolean },
  ): ClientHttp2Stream {
    const { rewriting, form, plain = false } = options;
    const { limits, metrics } = this.#parts;
    const whole = form !== null && !form.errorsOnly;
    const startedAtMs = performance.now();
    const upstream = this.#parts.upstream.request(this.#upstreamHeaders(path, { plain, plainAnswer: whole }));
    this.#upstream = upstream;
    upstream.setTimeout(limits.upstreamTimeoutMs, () => {
      this.refuse(4, `the database did not answer within ${limits.upstreamTimeoutMs} ms`);
      upstream.close(constants.NGHTTP2_CANCEL);
    });
    let trailers: IncomingHttpHeaders | undefined;
    upstream.on('error', (error) => this.#failed(error));
    upstream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
    upstream.once('response', (headers: IncomingHttpHeaders, flags: number) => {
      metrics.stage('grpc', 'upstream', (performance.now() - startedAtMs) / 1000);
      if (this.#stream.destroyed) return;
      const only = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (only) this.#respondOnly(headers, options);
      else if (whole)
        this.#respondWhole({ headers, upstream, trailers: () => trailers }, { rewriting, form });
      else this.#respondStreamed({ headers, upstream, trailers: () => trailers }, options);
    });
    upstream.once('close', () => {
      // A stream that ends without an answer: the connection was lost, or refused.
      if (!this.#stream.headersSent && !this.#stream.destroyed) {
        metrics.upstreamError('grpc');
        this.refuse(CODE.unavailable, 'the database does not answer');
      } else if (upstream.rstCode !== constants.NGHTTP2_NO_ERROR) this.#stream.close(upstream.rstCode);
    });
    return upstream;
  }

  /** Headers that are the whole answer: an error, or an empty stream. */
  #respondOnly(
    headers: IncomingHttpHeaders,
    options: { rewriting: Rewriting; form: AnswerForm | null },
  ): void {
    this.#note(headers);
    this.#stream.respond(this.#clientTrailers(outgoing(headers), options), { endStream: true });
  }

  #respondStreamed(answer: AnswerParts, options: { rewriting: Rewriting; form: AnswerForm | null }): void {
    const stream = this.#stream;
    stream.respond(outgoing(answer.headers), { waitForTrailers: true });
    stream.once('wantTrailers', () => {
      const trailers = answer.trailers();
      if (trailers === undefined) {
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        return;
      }
      this.#note(trailers);
      stream.sendTrailers(this.#clientTrailers(outgoing(trailers), options));
    });
    answer.upstream.pipe(stream);
  }

  #respondWhole(answer: AnswerParts, { rewriting, form }: { rewriting: Rewriting; form: AnswerForm }): void {
    const limitBytes = this.#parts.limits.answerBytesMax;
    readWhole(answer.upstream, limitBytes)
      .then(async (body) => {
        const end = endOf(answer.trailers() ?? {}) ?? { status: '13', message: 'the answer has no end' };
        const text = end.status === '0' ? '' : rewriting.rewriteGrpcStatus(form, end.message);
        if (body.length === 0) {
          this.refuse(Number(end.status), text);
          return;
        }
        const message = await unframe(body, {
          encoding: textOf(answer.headers['grpc-encoding']),
          limitBytes,
        });
        const rewritten = end.status === '0' ? rewriting.rewriteGrpcAnswer(form, message) : message;
        this.#reply(outgoing(answer.headers), rewritten, { status: end.status, message: text });
        if (form.form === 'deleted' && end.status === '0') this.#parts.onDeleted(form.collection);
      })
      .catch((error: unknown) => this.#failed(error));
  }

  #reply(headers: OutgoingHttpHeaders, message: Uint8Array, end: CallEnd): void {
    if (this.#stream.destroyed || this.#stream.headersSent) return;
    const kept = without(headers, ['grpc-encoding', 'content-length']);
    this.#status = end.status;
    this.#stream.respond({ ...kept, ':status': 200 }, { waitForTrailers: true });
    this.#stream.once('wantTrailers', () =>
      this.#stream.sendTrailers({ 'grpc-status': end.status, 'grpc-message': encodeStatusText(end.message) }),
    );
    this.#stream.end(frame(message));
  }

  #refuse({ code, message }: GrpcStatus): void {
    if (this.#stream.destroyed || this.#stream.headersSent) {
      if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    this.#status = String(code);
    const status = { 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
    this.#stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', ...status },
      { endStream: true },
    );
    // What the client still sends is not read.
    if (!this.#stream.readableEnded) this.#stream.resume();
  }

  #failed(error: unknown): void {
    const { log, metrics } = this.#parts;
    if (this.#stream.destroyed) return;
    if (error instanceof BodyTooLarge)
      this.refuse(CODE.exhausted, `a message of more than ${error.limitBytes} bytes`);
    else if (error instanceof BodyUnreadable) this.refuse(CODE.invalid, error.message);
    else if (error instanceof UpstreamStatus) this.refuse(error.code, error.message);
    else if (typeof error === 'object' && error !== null && 'code' in error) {
      metrics.upstreamError('grpc');
      this.refuse(CODE.unavailable, 'the database does not answer');
    } else {
      log?.('warn', 'a call failed', { path: this.#path, error: messageOf(error) });
      this.refuse(CODE.internal, 'the proxy failed');
    }
  }

  /** The client's metadata for the call to the database. */
  #upstreamHeaders(path: string, change: { plain: boolean; plainAnswer: boolean }): OutgoingHttpHeaders {
    const headers: Record<string, string | string[]> = {};
    const drop = (name: string): boolean =>
      (change.plain && (name === 'grpc-encoding' || name === 'content-length')) ||
      (change.plainAnswer && name === 'grpc-accept-encoding');
    for (let i = 0; i < this.#raw.length; i += 2) {
      const [name = '', value = ''] = [this.#raw[i], this.#raw[i + 1]];
      if (drop(name) || name === 'connection') continue;
      const before = headers[name];
      headers[name] = before === undefined ? value : [before, value].flat();
    }
    return { ...headers, ':path': path };
  }

  #clientTrailers(
    trailers: OutgoingHttpHeaders,
    { rewriting, form }: { rewriting: Rewriting; form: AnswerForm | null },
  ): OutgoingHttpHeaders {
    const text = trailers['grpc-message'];
    if (form === null || typeof text !== 'string' || trailers['grpc-status'] === '0') return trailers;
    return {
      ...trailers,
      'grpc-message': encodeStatusText(rewriting.rewriteGrpcStatus(form, decodeStatusText(text))),
    };
  }

  #note(headers: IncomingHttpHeaders): void {
    this.#status = endOf(headers)?.status ?? this.#status;
  }

  #ended(): void {
    const { metrics, log } = this.#parts;
    const upstream = this.#upstream;
    if (upstream !== undefined && !upstream.closed) upstream.close(constants.NGHTTP2_CANCEL);
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    metrics.requestEnded('grpc', { kind: this.#kind, status: this.#status, seconds });
    const ms = Math.round(seconds * 1000);
    log?.('debug', 'grpc', { path: this.#path, kind: this.#kind, status: this.#status, ms });
  }
}

interface AnswerParts {
  readonly headers: IncomingHttpHeaders;
  readonly upstream: ClientHttp2Stream;
  readonly trailers: () => IncomingHttpHeaders | undefined;
}

/** A call of the proxy's own that the database refused. */
class UpstreamStatus extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

function endOf(headers: IncomingHttpHeaders): CallEnd | null {
  const status = textOf(headers['grpc-status']);
  if (status === undefined) return null;
  return { status, message: decodeStatusText(textOf(headers['grpc-message']) ?? '') };
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}

/** Received headers as they are sent on. */
function outgoing(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return without(headers, ['connection']);
}

function without(headers: OutgoingHttpHeaders, names: readonly string[]): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}
