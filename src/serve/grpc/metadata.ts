import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import type { CallStatus } from '../protocol.js';
import { decodeStatusText, encodeStatusText } from './frames.js';

/** How a call ended. */
export interface CallEnd {
  readonly status: string;
  readonly message: string;
}

/** What is left out of the client's metadata. */
export interface MetadataChange {
  /** The body is sent without compression. */
  readonly plain: boolean;
  /** The answer is to come without compression. */
  readonly plainAnswer: boolean;
}

/** Set anew for the connection to the database: where the client went is not where the database is. */
const CONNECTION_NAMES = new Set([':authority', ':scheme', ':path', 'host', 'connection']);

/** The client's metadata, names and values in turn as they came, for a call to the database. */
export function forwardedMetadata(
  raw: readonly string[],
  path: string,
  { plain, plainAnswer }: MetadataChange,
): OutgoingHttpHeaders {
  const headers = new Map<string, string | string[]>([[':path', path]]);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (CONNECTION_NAMES.has(name)) continue;
    if (plain && (name === 'grpc-encoding' || name === 'content-length')) continue;
    if (plainAnswer && name === 'grpc-accept-encoding') continue;
    const value = raw[i + 1] ?? '';
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : [before, value].flat());
  }
  // A client chooses these names, too.
  return Object.fromEntries(headers);
}

/** Received headers or trailers as they are sent on. */
export function outgoing(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return { ...headers };
}

/** A call's end, where these headers or trailers say it. */
export function endOf(headers: IncomingHttpHeaders): CallEnd | null {
  const status = headerText(headers['grpc-status']);
  if (status === undefined) return null;
  return { status, message: decodeStatusText(headerText(headers['grpc-message']) ?? '') };
}

/** One text of a header that may have come several times. */
export function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}

/** A call's end as a status. */
export function callStatusOf({ status, message }: CallEnd): CallStatus {
  return { code: Number(status), message };
}

/** Trailers that say how a call ended. */
export function trailersOf({ code, message }: CallStatus): IncomingHttpHeaders {
  return { 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
}

/** Trailers whose error, if they tell of one, is another. */
export function clientTrailers(
  trailers: OutgoingHttpHeaders,
  rewrite: (status: CallStatus) => CallStatus,
): OutgoingHttpHeaders {
  const [text, status] = [trailers['grpc-message'], trailers['grpc-status']];
  if (typeof text !== 'string' || typeof status !== 'string' || status === '0') return trailers;
  const { code, message } = rewrite({ code: Number(status), message: decodeStatusText(text) });
  return { ...trailers, 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
}
