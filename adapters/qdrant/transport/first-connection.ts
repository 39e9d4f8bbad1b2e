import { connect as connectTls } from 'node:tls';
import { codeOf, isTldrError, messageOf, TldrError } from '../../../src/core/errors.js';
import { isRedirect, RedirectError } from '../../../src/core/masked-address-and-redirect.js';
import { ANSWER_TIMEOUT_MS } from '../../../src/store/defaults.js';
import { CallError } from './call-error.js';
import { CERTIFICATE, connectionError, httpError } from './errors.js';
import { Grpc } from './grpc.js';
import { parseJson, textAt } from './json.js';
import type { RestOptions } from './rest.js';
import { withRetry, type RetryOptions } from './retry.js';
import { abortedAfter } from './time-limit.js';
import { webPageTitle } from './web-page.js';

/** How the first answers of a server are awaited. */
export interface FirstConnection {
  /**
   * Longest wait for REST and for gRPC, each with all its attempts. If it is null, every attempt may take as long as any
   * other call, and a server that is not there yet is waited for.
   */
  readonly limitMs: number | null;
  readonly retry: RetryOptions;
}

/** Longest wait for a probe that looks for the cause of a failure. */
const PROBE_MS = 600;
const PROBE_BYTES_MAX = 64 * 1024;
const ATTEMPT_ONCE: RetryOptions = { attempts: 1, firstDelayMs: 0, longestDelayMs: 0, turnMs: 0 };

/** Answers that say nothing about the kind of server: it is busy, or wants credentials. */
const REFUSALS: readonly number[] = [401, 403, 408, 429, 502, 503, 504];
const HOPELESS: readonly string[] = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH'];

/** What a server answered to `GET /`. */
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly retryAfter: string | null;
}

/**
 * Returns the version of the Qdrant server at a REST address.
 * @throws UNAVAILABLE with the likely cause when no Qdrant answers, UNAUTHORIZED, FORBIDDEN
 */
export async function serverVersion(
  { url, apiKey, timeoutMs, log, refused }: RestOptions,
  { limitMs, retry }: FirstConnection,
): Promise<string> {
  const limit = limitMs === null ? null : abortedAfter(limitMs);
  let last: unknown;
  const attempt = async (): Promise<Answer> => {
    const signal = limit?.signal ?? AbortSignal.timeout(timeoutMs);
    try {
      return await firstAnswer(url, { apiKey, signal });
    } catch (error) {
      if (limit?.signal.aborted !== true) last = error;
      throw limit === null ? error : withoutHope(error);
    }
  };
  let answer: Answer;
  try {
    const run = limit === null ? { log, refused } : { signal: limit.signal };
    answer = await withRetry(attempt, retry, run);
  } catch (error) {
    const isLate = limit?.signal.aborted === true;
    throw await restFailure(isLate ? last : error, { url, limitMs, isLate });
  } finally {
    limit?.clear();
  }
  const version = versionIn(answer);
  if (version !== null) return version;
  throw await otherServer(url, answer);
}

/**
 * Checks that a gRPC address answers.
 * @throws UNAVAILABLE with the likely cause when it does not
 */
export async function checkGrpc(grpc: Grpc, url: string, { limitMs, retry }: FirstConnection): Promise<void> {
  const limit = limitMs === null ? null : abortedAfter(limitMs);
  const own = limit === null ? {} : { signal: limit.signal, retry };
  try {
    await grpc.call('Qdrant/HealthCheck', new Uint8Array(0), own);
  } catch (cause) {
    grpc.destroy();
    const isLate = limit?.signal.aborted === true;
    if (!isLate && !['UNAVAILABLE', 'UNSUPPORTED', 'TIMEOUT'].includes(codeOf(cause))) throw cause;
    const why = isLate
      ? noAnswer(url, limitMs)
      : ((await grpcCause(url)) ?? causeOf(cause, url) ?? messageOf(cause));
    throw new TldrError(
      'UNAVAILABLE',
      `no gRPC at ${url}, over which points are copied (port 6334 by default): ${why}`,
      { cause, hint: 'grpc-address' },
    );
  } finally {
    limit?.clear();
  }
}

async function firstAnswer(
  url: string,
  { apiKey, signal }: { readonly apiKey?: string | undefined; readonly signal: AbortSignal },
): Promise<Answer> {
  const call = 'GET /';
  let answer: Answer;
  try {
    const response = await fetch(`${url}/`, {
      redirect: 'manual',
      signal,
      headers: { 'accept-encoding': 'identity', ...(apiKey === undefined ? {} : { 'api-key': apiKey }) },
    });
    const { status, headers } = response;
    if (isRedirect(status)) {
      await response.body?.cancel();
      const location = headers.get('location') ?? undefined;
      throw new RedirectError({ from: `${url}/`, status, location, setting: { hint: 'server-address' } });
    }
    const type = headers.get('content-type') ?? '';
    answer = { status, type, text: await textOf(response), retryAfter: headers.get('retry-after') };
  } catch (cause) {
    throw connectionError(cause, { call, endpoint: url });
  }
  const { status, text, retryAfter } = answer;
  if (REFUSALS.includes(status)) throw httpError(status, text, { call, retryAfter });
  return answer;
}

/** Returns an error that is not worth another attempt: nobody listens, or the name is unknown. */
function withoutHope(error: unknown): unknown {
  if (!(error instanceof CallError) || !HOPELESS.includes(systemCodeOf(error))) return error;
  return new CallError(error.code, error.message, { ...error.retry, safe: false }, { cause: error });
}

/** Returns the beginning of a body, which tells what kind of server sent it. */
async function textOf(response: Response): Promise<string> {
  if (response.body === null) return '';
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
  const chunks: Uint8Array[] = [];
  for (let bytes = 0; bytes <= PROBE_BYTES_MAX;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks).toString();
    chunks.push(value);
    bytes += value.length;
  }
  await reader.cancel();
  return Buffer.concat(chunks).toString();
}

function versionIn({ status, text }: Answer): string | null {
  if (status !== 200 || !/^\s*\{/.test(text)) return null;
  try {
    const json = parseJson(text);
    if (!(textAt(json, 'title') ?? '').startsWith('qdrant')) return null;
    return textAt(json, 'version') ?? null;
  } catch {
    return null;
  }
}

/** Returns the error for a REST address from which no HTTP answer came. */
async function restFailure(
  error: unknown,
  {
    url,
    limitMs,
    isLate,
  }: { readonly url: string; readonly limitMs: number | null; readonly isLate: boolean },
): Promise<unknown> {
  const failure = (why: string): TldrError =>
    new TldrError('UNAVAILABLE', `no Qdrant server at ${url}: ${why}`, {
      cause: error,
      hint: 'rest-address',
    });
  if (isLate && error === undefined) return failure(noAnswer(url, limitMs));
  if (!isTldrError(error, 'UNAVAILABLE')) return error;
  if (!isConnectionFailure(error))
    return failure(`${error.message}. A gateway may have answered for a server that is down or busy`);
  const known = causeOf(error, url);
  if (isUntrusted(error)) return error;
  if (known !== null && HOPELESS.includes(systemCodeOf(error))) return failure(known);
  const [scheme, grpc] = await Promise.all([otherScheme(url), grpcThere(url)]);
  return failure(scheme ?? grpc ?? known ?? `the connection broke: ${innermostMessage(error)}`);
}

/** Returns the error for a server that answers in HTTP, but not as a Qdrant server. */
async function otherServer(url: string, answer: Answer): Promise<TldrError> {
  const { origin } = new URL(url);
  const whys = await Promise.all([
    url === origin ? null : qdrantAt(origin),
    answer.status === 400 ? otherScheme(url) : null,
  ]);
  const [above, scheme] = whys;
  const better =
    typeof above === 'string' ? `; a Qdrant server answers at ${origin}: leave the path out` : '';
  const why = scheme ?? `${shown(answer)}${better}`;
  return new TldrError(
    'UNAVAILABLE',
    `${url} answers, but not as a Qdrant server (${why}): expected its REST address (port 6333 by default)`,
    { hint: 'rest-address' },
  );
}

function shown({ status, type, text }: Answer): string {
  const title = webPageTitle(text);
  if (title !== null)
    return `HTTP ${status}, a web page${title === '' ? '' : ` with the title "${title}"`}, as from a proxy or another program`;
  return type === '' ? `HTTP ${status}` : `HTTP ${status}, ${type}`;
}

/** Returns what a failed connection means by its code; null if the code does not say. */
function causeOf(error: unknown, url: string): string | null {
  const { host, hostname } = new URL(url);
  const code = systemCodeOf(error);
  switch (code) {
    case 'ECONNREFUSED':
      return `the connection to ${host} was refused: no program listens there. Start Qdrant, or correct host and port`;
    case 'ENOTFOUND':
      return `the host name ${hostname} is unknown: correct it`;
    case 'EAI_AGAIN':
      return `the host name ${hostname} could not be looked up: the name service does not answer, or does not know it`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no route to ${hostname}: correct the host, or look at the network`;
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return `no connection to ${host}: a firewall may drop it, or the host is down`;
    case 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL':
      return `the server there speaks HTTP/2 only, as at a gRPC address: give the REST address`;
    default:
      if (code.startsWith('HPE_')) return `the program that listens there does not speak HTTP`;
      return innermostMessage(error) === 'bad port'
        ? `port ${new URL(url).port} is reserved, and HTTP clients refuse it: correct the port`
        : null;
  }
}

function innermostMessage(error: unknown): string {
  let message = '';
  for (let cause = error; typeof cause === 'object' && cause !== null;) {
    message = messageOf(cause);
    cause = 'cause' in cause ? cause.cause : null;
  }
  return message;
}

function noAnswer(url: string, limitMs: number | null): string {
  const { host } = new URL(url);
  const time = limitMs === null ? '' : ` within ${limitMs / 1000} s`;
  return `${host} did not answer${time}: a firewall may drop the connection, another program may listen there, or the server is too busy ("connectTimeoutMs" allows more time)`;
}

function isConnectionFailure(error: TldrError): boolean {
  return error.cause !== undefined;
}

function isUntrusted(error: unknown): boolean {
  return CERTIFICATE.test(systemCodeOf(error));
}

/** Returns the system's code of an error, such as ECONNREFUSED: that of its innermost cause; '' without one. */
function systemCodeOf(error: unknown): string {
  let code = '';
  for (let cause = error; typeof cause === 'object' && cause !== null;) {
    if (!isTldrError(cause)) code = codeOf(cause) || code;
    cause = 'cause' in cause ? cause.cause : null;
  }
  return code;
}

/** Returns why a gRPC address does not answer, if the server there speaks something else; otherwise null. */
async function grpcCause(url: string): Promise<string | null> {
  const [answer, scheme] = await Promise.all([answersAt(url), otherScheme(url)]);
  if (answer === null) return scheme;
  if (versionIn(answer) !== null)
    return 'that is the REST address of a Qdrant server; its gRPC port is another one, usually the next';
  return scheme ?? `a server answers there in HTTP, but not in gRPC (${shown(answer)})`;
}

/** Returns that a server speaks the other one of http and https, if it does; otherwise null. */
async function otherScheme(url: string): Promise<string | null> {
  const { protocol, host } = new URL(url);
  if (protocol === 'http:')
    return (await speaksTls(url)) ? `the server there speaks https: give https://${host}` : null;
  const http = `http://${host}`;
  const isHttp = (await answersAt(http)) !== null || (await grpcAnswers(http));
  return isHttp ? `the server there speaks http, without TLS: give ${http}` : null;
}

/** Returns that a gRPC server answers at this address, if it does; otherwise null. */
async function grpcThere(url: string): Promise<string | null> {
  if (!(await grpcAnswers(url))) return null;
  const { protocol, hostname, port } = new URL(url);
  const rest = port === '' ? '' : `, usually ${protocol}//${hostname}:${Number(port) - 1}`;
  return `that is a gRPC address: give the REST address${rest}`;
}

async function grpcAnswers(url: string): Promise<boolean> {
  const grpc = new Grpc({
    url: new URL(url).origin,
    apiKey: undefined,
    timeoutMs: ANSWER_TIMEOUT_MS,
    retry: ATTEMPT_ONCE,
    log: undefined,
    refused: () => undefined,
  });
  const limit = abortedAfter(PROBE_MS);
  try {
    await grpc.call('Qdrant/HealthCheck', new Uint8Array(0), { signal: limit.signal });
    return true;
  } catch (error) {
    return isTldrError(error, 'UNAUTHORIZED') || isTldrError(error, 'FORBIDDEN');
  } finally {
    limit.clear();
    grpc.destroy();
  }
}

async function qdrantAt(url: string): Promise<string | null> {
  const answer = await answersAt(url);
  return answer === null ? null : versionIn(answer);
}

/** Returns the answer of a server to a request without credentials; null if none comes soon. */
async function answersAt(url: string): Promise<Answer | null> {
  const limit = abortedAfter(PROBE_MS);
  try {
    return await firstAnswer(url, { signal: limit.signal });
  } catch {
    return null;
  } finally {
    limit.clear();
  }
}

/** Whether a TLS handshake succeeds at this address. No request is sent, so any certificate will do. */
function speaksTls(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const limit = abortedAfter(PROBE_MS);
  return new Promise((resolve) => {
    const socket = connectTls({ host, port: Number(port || 80), rejectUnauthorized: false }, () => end(true));
    const end = (answer: boolean): void => {
      limit.clear();
      socket.destroy();
      resolve(answer);
    };
    limit.signal.addEventListener('abort', () => end(false));
    socket.on('error', () => end(false));
  });
}
