import { constants, type ClientHttp2Stream } from 'node:http2';
import { codeOf, isTldrError } from '../../core/errors.js';
import { RedirectError } from '../../core/masked-address-and-redirect.js';
import { NoRoom } from '../byte-budget.js';
import { BodyTooLarge, BodyUnreadable, CodingUnsupported } from '../whole-body.js';

/** The message to clients if the database cannot be reached. */
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

/** The status with which a call to the database failed. */
export class UpstreamStatus extends Error {
  constructor(
    readonly code: number,
    message: string,
    /** Value of the metadata `retry-after`. */
    readonly retryAfter?: string,
  ) {
    super(message);
  }
}

/** A failed call, in the form that the client reads. */
export interface CallFailure {
  readonly code: number;
  readonly message: string;
  readonly retryAfter?: string | undefined;
  /** Whether the database failed, or the proxy itself. */
  readonly blame: 'database' | 'proxy' | 'none';
}

/**
 * Status of a call that its server reset, by HTTP/2 error code ("gRPC over HTTP2", "Errors"). Others:
 * INTERNAL.
 */
const RESETS: ReadonlyMap<number, number> = new Map([
  [constants.NGHTTP2_CANCEL, CODE.cancelled],
  [constants.NGHTTP2_STREAM_CLOSED, CODE.unknown],
  [constants.NGHTTP2_REFUSED_STREAM, CODE.unavailable],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, CODE.exhausted],
  [constants.NGHTTP2_INADEQUATE_SECURITY, CODE.denied],
]);

/** Returns whether a stream failed because the server reset it. */
export function isReset(error: unknown): boolean {
  return codeOf(error) === 'ERR_HTTP2_STREAM_ERROR';
}

/**
 * Returns a function that names the status of a call to the database that broke off without one. Call
 * `watchReset` while the stream is open, since a closed stream forgets its connection. If the connection was
 * lost, the stream's own error code says nothing.
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

/** Returns the failure that a thrown error means for the client. */
export function callFailureOf(error: unknown): CallFailure {
  if (error instanceof BodyTooLarge) return { code: CODE.exhausted, message: error.message, blame: 'none' };
  if (error instanceof NoRoom)
    return {
      code: CODE.exhausted,
      message: error.message,
      retryAfter: error.retryAfter,
      blame: 'none',
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
