import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Upstream } from './proxy-options.js';

/** Vectors come in pages of megabytes: with the default window of 64 kB they would trickle. */
const WINDOW_BYTES = 8 * 1024 ** 2;

/** A few HTTP/2 connections to the database's gRPC port, opened when needed and again after they were lost. */
export class GrpcUpstream {
  readonly #upstream: Upstream;
  readonly #sessions: (ClientHttp2Session | undefined)[];
  #next = 0;

  constructor(upstream: Upstream, connections: number) {
    this.#upstream = upstream;
    this.#sessions = Array.from({ length: connections });
  }

  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    return this.#session().request(headers);
  }

  close(): void {
    for (const session of this.#sessions) session?.destroy();
  }

  #session(): ClientHttp2Session {
    this.#next = (this.#next + 1) % this.#sessions.length;
    const at = this.#next;
    const there = this.#sessions[at];
    if (there !== undefined && !there.closed && !there.destroyed) return there;
    const { grpcUrl, ca } = this.#upstream;
    const session = connect(new URL(grpcUrl).origin, {
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
      ...(ca === undefined ? {} : { ca }),
    });
    session.on('connect', () => session.setLocalWindowSize(WINDOW_BYTES));
    // Calls under way get their own errors; without a listener the process would end.
    session.on('error', () => undefined);
    session.on('goaway', () => {
      if (this.#sessions[at] === session) this.#sessions[at] = undefined;
      session.close();
    });
    session.unref();
    this.#sessions[at] = session;
    return session;
  }
}
