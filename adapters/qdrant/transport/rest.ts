import { TldrError } from '../../../src/core/errors.js';
import { isRedirect, RedirectError } from '../../../src/core/masked-address-and-redirect.js';
import type { Log } from '../../../src/core/run-options.js';
import { connectionError, httpError } from './errors.js';
import { parseJson, stringifyJson, valueAt, type Json } from './json.js';
import { withRetry, type RetryOptions } from './retry.js';

export interface RestOptions {
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly retry: RetryOptions;
  readonly log: Log | undefined;
  /** Called whenever the server refuses a call because it is overloaded. */
  readonly refused: () => void;
}

/** Makes REST calls with lossless JSON: settings, ids and payloads keep every digit. */
export class Rest {
  readonly #options: RestOptions;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  /** Returns the `result` of an answer. The caller percent-encodes names in `path`. */
  async call(method: string, path: string, body?: Json): Promise<Json> {
    return this.callText(method, path, body === undefined ? undefined : stringifyJson(body));
  }

  /** Returns the `result` of an answer to a request whose body is JSON text. */
  async callText(method: string, path: string, body?: string): Promise<Json> {
    const answer = await this.#retried(method, path, body);
    const result = valueAt(answer, 'result');
    if (result === undefined) {
      throw new TldrError(
        'UNAVAILABLE',
        `${method} ${path}: the answer has no "result": is ${this.#options.url} a Qdrant?`,
      );
    }
    return result;
  }

  /** Returns the whole answer. */
  raw(method: string, path: string, body?: Json): Promise<Json> {
    return this.#retried(method, path, body === undefined ? undefined : stringifyJson(body));
  }

  #retried(method: string, path: string, body?: string): Promise<Json> {
    const { retry, log, refused } = this.#options;
    return withRetry(() => this.#once(method, path, body), retry, { log, refused });
  }

  /**
   * Returns bytes `from` (included) to `to` (excluded) of a file.
   * @throws UNSUPPORTED without partial downloads
   */
  bytes(path: string, from: number, to: number): Promise<Buffer> {
    const { retry, log, refused } = this.#options;
    return withRetry(() => this.#bytesOnce(path, from, to), retry, { log, refused });
  }

  async #bytesOnce(path: string, from: number, to: number): Promise<Buffer> {
    const { url, apiKey, timeoutMs } = this.#options;
    const call = `GET ${path}`;
    let response: Response;
    let body: ArrayBuffer;
    try {
      response = await fetch(url + path, {
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          'accept-encoding': 'identity',
          range: `bytes=${from}-${to - 1}`,
          ...(apiKey === undefined ? {} : { 'api-key': apiKey }),
        },
      });
      await refuseRedirect(response, url + path);
      if (response.status === 200) {
        await response.body?.cancel();
        throw new TldrError('UNSUPPORTED', `${call}: ${url} does not support partial downloads`);
      }
      body = await response.arrayBuffer();
    } catch (cause) {
      throw connectionError(cause, { call, endpoint: url });
    }
    if (!response.ok)
      throw httpError(response.status, Buffer.from(body).toString(), { call, retryAfter: null });
    return Buffer.from(body);
  }

  async #once(method: string, path: string, body?: string): Promise<Json> {
    const { url, apiKey, timeoutMs } = this.#options;
    const call = `${method} ${path}`;
    let response: Response;
    let text: string;
    try {
      response = await fetch(url + path, {
        method,
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        // Compression costs the server far more than sending over loopback or a data-centre network.
        headers: {
          'accept-encoding': 'identity',
          ...(apiKey === undefined ? {} : { 'api-key': apiKey }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
      });
      await refuseRedirect(response, url + path);
      text = await response.text();
    } catch (cause) {
      throw connectionError(cause, { call, endpoint: url });
    }
    if (!response.ok) {
      throw httpError(response.status, text, { call, retryAfter: response.headers.get('retry-after') });
    }
    return parseJson(text);
  }
}

/** @throws RedirectError for a redirect */
async function refuseRedirect(response: Response, from: string): Promise<void> {
  const { status } = response;
  if (!isRedirect(status)) return;
  await response.body?.cancel();
  const location = response.headers.get('location') ?? undefined;
  throw new RedirectError({ from, status, location, setting: { hint: 'server-address' } });
}
