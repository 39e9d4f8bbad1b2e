import type { IncomingMessage } from 'node:http';
import { expectDefined } from '../../core/errors.js';
import { contentCoding } from '../../core/content-coding.js';
import { isReadable } from '../whole-body.js';

/** Headers that concern one connection only (RFC 9110, 7.6.1), and headers that the sender sets itself. */
const CONNECTION_HEADERS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'upgrade',
  'http2-settings',
  'expect',
  // The client's `host` names the proxy.
  'host',
]);

/** Headers that no longer fit after the body was rewritten. */
export const BODY_HEADERS: ReadonlySet<string> = new Set(['content-length', 'content-encoding']);

/** `BODY_HEADERS` and the header that does not fit if the answer is rewritten as well. */
export const EXCHANGE_HEADERS: ReadonlySet<string> = new Set([...BODY_HEADERS, 'accept-encoding']);

/** Headers of the client that a request of the proxy's own does not copy. */
const OWN_HEADERS: ReadonlySet<string> = new Set([...EXCHANGE_HEADERS, 'content-type', 'accept', 'trailer']);

const NONE: ReadonlySet<string> = new Set();

/** Returns received headers, names and values in turn, without connection headers and those in `without`. */
export function forwardedHeaders(raw: readonly string[], without: ReadonlySet<string> = NONE): string[] {
  let listed: Set<string> | undefined;
  const kept: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = expectDefined(raw[i], 'the name of a header');
    const value = expectDefined(raw[i + 1], 'the value of a header');
    const lower = name.toLowerCase();
    if (lower === 'connection')
      for (const word of value.split(',')) (listed ??= new Set()).add(word.trim().toLowerCase());
    else if (!CONNECTION_HEADERS.has(lower) && !without.has(lower)) kept.push(name, value);
  }
  if (listed === undefined) return kept;
  const own = listed;
  return kept.filter(
    (_, i) => !own.has(expectDefined(kept[i - (i % 2)], 'the name of a header').toLowerCase()),
  );
}

/** Returns the headers of a request of the proxy's own, with the client's credentials. */
export function ownHeaders(raw: readonly string[]): string[] {
  const taken = forwardedHeaders(raw, OWN_HEADERS);
  return [...taken, 'content-type', 'application/json', 'accept-encoding', 'identity'];
}

/** Returns the value of a header by its lower-case name; the first of several. */
export function headerOf(raw: readonly string[], name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) if (raw[i]?.toLowerCase() === name) return raw[i + 1];
  return undefined;
}

/** Returns a request's headers by lower-case name; the first of several compressions, as the server does. */
export function headersOf({
  headers,
  rawHeaders,
}: IncomingMessage): Readonly<Record<string, string | undefined>> {
  const own = headers as Readonly<Record<string, string | undefined>>;
  if (own['content-encoding'] === undefined) return own;
  return { ...own, 'content-encoding': headerOf(rawHeaders, 'content-encoding') };
}

/** Returns the headers, names and values in turn, asking only for compressions that the proxy can read. */
export function readableEncodings(headers: readonly string[]): string[] {
  return headers.map((value, i) =>
    i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'accept-encoding' ? readableEncoding(value) : value,
  );
}

function readableEncoding(value: string): string {
  const wanted = value.split(',');
  const kept = wanted.filter((item) => {
    const coding = contentCoding(item.split(';', 1)[0]);
    return coding === null || isReadable(coding);
  });
  if (kept.length === wanted.length) return value;
  return kept.length === 0 ? 'identity' : kept.join(',').trim();
}
