import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { expectDefined } from '../../core/errors.js';
import type { CallStatus } from '../protocol.js';
import { decodeStatusText, encodeStatusText } from './frames.js';

/** Status fields with which a call ended, as the metadata has them. */
export interface CallEnd {
  readonly status: string;
  readonly message: string;
}

/** Changes to the client's metadata. */
export interface MetadataChange {
  /** The request is sent uncompressed. */
  readonly plain: boolean;
  /** The server is asked for an uncompressed answer. */
  readonly plainAnswer: boolean;
}

/** Replaced for the connection to the database: the client's own values name the proxy. */
const CONNECTION_NAMES = new Set([':authority', ':scheme', ':path', 'host', 'connection']);

/** Returns the metadata for a call to the database. `raw` holds the client's names and values in turn. */
export function forwardedMetadata(
  raw: readonly string[],
  path: string,
  { plain, plainAnswer }: MetadataChange,
): OutgoingHttpHeaders {
  const headers = new Map<string, string | string[]>([[':path', path]]);
  for (let i = 0; i < raw.length; i += 2) {
    const name = expectDefined(raw[i], 'the name of a header');
    if (CONNECTION_NAMES.has(name)) continue;
    if (plain && (name === 'grpc-encoding' || name === 'content-length')) continue;
    if (plainAnswer && name === 'grpc-accept-encoding') continue;
    const value = expectDefined(raw[i + 1], 'the value of a header');
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : [before, value].flat());
  }
  // Clients choose the names: `fromEntries` is safe for `__proto__`.
  return Object.fromEntries(headers);
}

/** Returns received headers or trailers in the form in which Node sends them. */
export function outgoing(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return { ...headers };
}

/** Returns how a call ended; null if these headers or trailers do not say it. */
export function endOf(headers: IncomingHttpHeaders): CallEnd | null {
  const status = headerText(headers['grpc-status']);
  if (status === undefined) return null;
  return { status, message: decodeStatusText(headerText(headers['grpc-message']) ?? '') };
}

/** Returns one text for a header that may occur several times. */
export function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}

/** Returns the status with which a call ended. */
export function callStatusOf({ status, message }: CallEnd): CallStatus {
  return { code: Number(status), message };
}

/** Returns the trailers for a status. */
export function trailersOf({ code, message }: CallStatus): IncomingHttpHeaders {
  return { 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
}

/** Returns the trailers with their error, if they hold one, rewritten for the client. */
export function clientTrailers(
  trailers: OutgoingHttpHeaders,
  rewrite: (status: CallStatus) => CallStatus,
): OutgoingHttpHeaders {
  const [text, status] = [trailers['grpc-message'], trailers['grpc-status']];
  if (typeof text !== 'string' || typeof status !== 'string' || status === '0') return trailers;
  const { code, message } = rewrite({ code: Number(status), message: decodeStatusText(text) });
  return { ...trailers, 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
}
