import { Pool, type Dispatcher } from 'undici';
import type { RestRequest } from '../core/wire.js';
import type { ProxyLimits, Upstream } from './proxy-options.js';
import { BodyTooLarge } from './whole-body.js';

/** Headers as undici takes and gives them. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface WholeAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Headers that concern one connection only (RFC 9110, 7.6.1), and those that the sender sets itself. */
const CONNECTION_HEADERS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
]);

/** A client's headers, name and value in turn as they were received, without those of its connection. */
export function forwardedHeaders(rawHeaders: readonly string[], without: ReadonlySet<string>): string[] {
  const listed = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === 'connection')
      for (const name of (rawHeaders[i + 1] ?? '').split(',')) listed.add(name.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const lower = name.toLowerCase();
    if (CONNECTION_HEADERS.has(lower) || listed.has(lower) || without.has(lower)) continue;
    kept.push(name, rawHeaders[i + 1] ?? '');
  }
  return kept;
}

/** An answer's headers for the client, without those of the connection to the database. */
export function answerHeaders(headers: Headers): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !CONNECTION_HEADERS.has(name)) kept[name] = value;
  return kept;
}

/** Keep-alive connections to the database's REST port. */
export class RestUpstream {
  readonly #pool: Pool;
  readonly #readyPath: string;

  constructor({ restUrl, readyPath, ca }: Upstream, limits: ProxyLimits) {
    this.#readyPath = readyPath;
    this.#pool = new Pool(new URL(restUrl).origin, {
      connections: limits.upstreamConnections,
      // A request whose turn has not come may be sent again; one that was sent may not.
      pipelining: 1,
      headersTimeout: limits.upstreamTimeoutMs,
      bodyTimeout: limits.upstreamTimeoutMs,
      keepAliveTimeout: 4_000,
      maxHeaderSize: 64 * 1024,
      ...(ca === undefined ? {} : { connect: { ca } }),
    });
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler);
  }

  /**
   * A whole exchange.
   * @throws BodyTooLarge, or undici's error where the database does not answer
   */
  exchange(
    { method, url, body }: RestRequest,
    options: {
      readonly headers: readonly string[];
      readonly limitBytes: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<WholeAnswer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      let status = 0;
      let headers: Headers = {};
      this.dispatch(
        {
          path: url,
          method,
          headers: [...options.headers],
          body: body.length === 0 ? null : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
        },
        {
          onRequestStart: (controller) => {
            options.signal?.addEventListener('abort', () => controller.abort(new Error('given up')), {
              once: true,
            });
          },
          onResponseStart: (_controller, statusCode, received) => {
            if (statusCode < 200) return;
            status = statusCode;
            headers = received;
          },
          onResponseData: (controller, chunk) => {
            sizeBytes += chunk.length;
            if (sizeBytes > options.limitBytes) controller.abort(new BodyTooLarge(options.limitBytes));
            else chunks.push(chunk);
          },
          onResponseEnd: () => resolve({ status, headers, body: Buffer.concat(chunks, sizeBytes) }),
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
  }

  /** True when the database accepts a connection and answers. */
  async ready(timeoutMs: number): Promise<boolean> {
    try {
      const { status } = await this.exchange(
        { method: 'GET', url: this.#readyPath, body: new Uint8Array(0) },
        { headers: [], limitBytes: 64 * 1024, signal: AbortSignal.timeout(timeoutMs) },
      );
      return status < 500;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
