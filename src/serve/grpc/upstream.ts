import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { isRedirect, RedirectError } from '../../core/masked-address-and-redirect.js';
import type { ProxyLimits, Upstream } from '../proxy-options.js';

/** Clients send megabytes of vectors. With the default window of 64 kB, distant clients would be slow. */
export const CLIENT_WINDOW_BYTES = 8 * 1024 ** 2;
/**
 * Smaller, since the database is near, and a client that takes nothing leaves this much of each answer in
 * memory.
 */
export const UPSTREAM_WINDOW_BYTES = 1024 ** 2;
const UPSTREAM_CONNECTION_WINDOW_BYTES = 8 * 1024 ** 2;
const CONNECT_TIMEOUT_MS = 10_000;
/** How users name the database's gRPC address. */
const SETTING = 'the setting grpcUrl';
type Limits = Pick<ProxyLimits, 'grpcConnections' | 'probeIntervalMs' | 'probeTimeoutMs'>;

/** A few HTTP/2 connections to the database's gRPC port, opened when needed and reopened after a loss. */
export class GrpcUpstream {
  readonly #origin: string;
  readonly #limits: Limits;
  readonly #sessions: (ClientHttp2Session | undefined)[];
  #next = 0;

  constructor({ grpcUrl }: Upstream, limits: Limits) {
    this.#origin = new URL(grpcUrl).origin;
    this.#limits = limits;
    this.#sessions = Array.from({ length: limits.grpcConnections });
  }

  /** Opens a call; the caller ends its body. The stream emits errors of the connection and redirects. */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    const stream = this.#session().request(headers);
    stream.once('response', ({ ':status': status = 0, location }) => {
      if (isRedirect(status))
        stream.destroy(new RedirectError({ from: this.#origin, status, location, setting: SETTING }));
    });
    return stream;
  }

  close(): void {
    for (const session of this.#sessions) session?.destroy();
  }

  #session(): ClientHttp2Session {
    this.#next = (this.#next + 1) % this.#sessions.length;
    const at = this.#next;
    const there = this.#sessions[at];
    if (there !== undefined && !there.closed && !there.destroyed) return there;
    const session = connect(this.#origin, {
      settings: { initialWindowSize: UPSTREAM_WINDOW_BYTES, enablePush: false },
    });
    this.#sessions[at] = session;
    this.#watch(session);
    // Calls in progress get their own errors. Without this listener, the process would end.
    session.on('error', () => undefined);
    session.on('goaway', () => {
      if (this.#sessions[at] === session) this.#sessions[at] = undefined;
      session.close();
    });
    session.unref();
    return session;
  }

  /** Pings the connection, since a dead connection gives no sign and calls would wait on it forever. */
  #watch(session: ClientHttp2Session): void {
    const { probeIntervalMs, probeTimeoutMs } = this.#limits;
    const tooLate = setTimeout(() => session.destroy(), CONNECT_TIMEOUT_MS).unref();
    session.once('connect', () => {
      clearTimeout(tooLate);
      session.setLocalWindowSize(UPSTREAM_CONNECTION_WINDOW_BYTES);
    });
    let answer: NodeJS.Timeout | undefined;
    const probe = setInterval(() => {
      if (session.connecting || session.destroyed || answer !== undefined) return;
      answer = setTimeout(() => session.destroy(), probeTimeoutMs).unref();
      session.ping(() => {
        clearTimeout(answer);
        answer = undefined;
      });
    }, probeIntervalMs).unref();
    session.once('close', () => {
      clearTimeout(tooLate);
      clearTimeout(answer);
      clearInterval(probe);
    });
  }
}
