import { constants, type ClientHttp2Stream } from 'node:http2';
import { codeOf, isTldrError } from '../../core/errors.js';
import { RedirectError } from '../../core/redirect.js';
import { NoRoom } from '../byte-budget.js';
import { BodyTooLarge, BodyUnreadable, CodingUnsupported } from '../whole-body.js';

/** What clients read where the database cannot be reached. */
const NO_ANSWER = 'the database does not answer';

/** Status codes of gRPC ("Status codes and their use in gRPC"). */
export const CODE = {
  cancelled: 1,
  unknown: 2,
  invalid: 3,
  deadline: 4,
  notFound: 5,
  denied: 7,
  exhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** A call that the database refused, made for the proxy itself. */
export class UpstreamStatus extends Error {
  constructor(
    readonly code: number,
    message: string,
    /** The metadata of that name. */
    readonly retryAfter?: string,
  ) {
    super(message);
  }
}

/** What went wrong with a call, as the client should read it. */
export interface CallFailure {
  readonly code: number;
  readonly message: string;
  readonly retryAfter?: string | undefined;
  /** Whether the database is to blame, or nobody but the proxy. */
  readonly blame: 'database' | 'proxy' | 'none';
}

/** Status of a call that its server reset, by the HTTP/2 code ("gRPC over HTTP2", "Errors"); others mean INTERNAL. */
const RESETS: ReadonlyMap<number, number> = new Map([
  [constants.NGHTTP2_CANCEL, CODE.cancelled],
  [constants.NGHTTP2_STREAM_CLOSED, CODE.unknown],
  [constants.NGHTTP2_REFUSED_STREAM, CODE.unavailable],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, CODE.exhausted],
  [constants.NGHTTP2_INADEQUATE_SECURITY, CODE.denied],
]);

/** Whether a stream failed because its other end reset it. */
export function isReset(error: unknown): boolean {
  return codeOf(error) === 'ERR_HTTP2_STREAM_ERROR';
}

/**
 * Returns what says with which status a call to the database ended that broke off without one. To be called while the
 * stream is open, since it forgets its connection. If the connection was lost, the stream's own code says nothing.
 */
export function watchReset(stream: ClientHttp2Stream): () => UpstreamStatus {
  const { session } = stream;
  return () => {
    const { rstCode: code } = stream;
    if (session === undefined || session.destroyed) return new UpstreamStatus(CODE.unavailable, NO_ANSWER);
    return new UpstreamStatus(
      RESETS.get(code) ?? CODE.internal,
      `the database ended the call without a status (HTTP/2 error code ${code})`,
    );
  };
}

/** Tells failures apart by what was thrown. */
export function callFailureOf(error: unknown): CallFailure {
  if (error instanceof BodyTooLarge) return { code: CODE.exhausted, message: error.message, blame: 'none' };
  if (error instanceof NoRoom)
    return {
      ...{ code: CODE.exhausted, message: error.message },
      ...{ retryAfter: error.retryAfter, blame: 'none' },
    };
  if (error instanceof BodyUnreadable) return { code: CODE.internal, message: error.message, blame: 'none' };
  if (error instanceof CodingUnsupported)
    return { code: CODE.unimplemented, message: error.message, blame: 'none' };
  if (error instanceof UpstreamStatus) {
    const blame = error.code === CODE.unavailable ? 'database' : 'none';
    return { code: error.code, message: error.message, retryAfter: error.retryAfter, blame };
  }
  if (error instanceof RedirectError)
    return { code: CODE.unavailable, message: error.message, blame: 'database' };
  if (isTldrError(error, 'UNAVAILABLE'))
    return { code: CODE.unavailable, message: error.message, blame: 'none' };
  if (isTldrError(error, 'INVALID_ARGUMENT'))
    return { code: CODE.invalid, message: error.message, blame: 'none' };
  if (typeof error === 'object' && error !== null && 'code' in error && !('fields' in error))
    return { code: CODE.unavailable, message: NO_ANSWER, blame: 'database' };
  return { code: CODE.internal, message: 'the proxy failed', blame: 'proxy' };
}
